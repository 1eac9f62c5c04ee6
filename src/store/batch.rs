//! What the journal says of a terminal's batch beside sign-on and sign-off: compared totals, uploaded lines,
//! its end. And what the read model can be asked of it.

use super::record::{Reader, RecordError, index_of, put_bytes, put_key};
use super::settlement::Class;
use super::{StoreError, TransactionRow};
use crate::base::{
    BatchLine, BatchNumber, BatchResult, BatchTotals, BindingId, Currency, LineCounts, LineVerdict,
    MaskedPan, Stan, Sum, Timestamp,
};
use crate::binding::TerminalKey;

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// Terminal.
    pub key: TerminalKey,
    /// Its binding then; 0 when it had none.
    pub binding: BindingId,
    /// Batch.
    pub batch: BatchNumber,
    /// When.
    pub at: Timestamp,
    /// What.
    pub step: BatchStep,
}

/// What happened to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchStep {
    /// The terminal's totals were compared with ours.
    Settled(Settled),
    /// Lines were held against the journal.
    Uploaded(Vec<(BatchLine, LineVerdict)>),
    /// It ended.
    Closed(Closed),
}

/// Compared totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Trace number of the request.
    pub stan: Stan,
    /// Currency of all of them.
    pub currency: Currency,
    /// Ours.
    pub ours: BatchTotals,
    /// The terminal's, as many as its dialect has sets of.
    pub claimed: Vec<BatchTotals>,
    /// What it came to.
    pub result: BatchResult,
}

/// The end of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The batch that the terminal gets next.
    pub next: BatchNumber,
    /// Who ended it.
    pub how: Closing,
}

/// Who ended a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The terminal: its upload is complete.
    Terminal {
        /// Trace number of the request.
        stan: Stan,
        /// Lines that it says it uploaded.
        announced: u64,
        /// Lines that came.
        counts: LineCounts,
    },
    /// A person.
    Operator {
        /// Name.
        by: Box<str>,
        /// Why.
        note: Box<str>,
    },
}

impl Closing {
    /// Name in the API and in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Terminal { .. } => "terminal",
            Self::Operator { .. } => "operator",
        }
    }
}

impl BatchRecord {
    /// Appends the record's fields.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_key(out, self.key);
        out.extend_from_slice(&self.binding.0.to_le_bytes());
        out.extend_from_slice(&self.batch.get().to_le_bytes());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        match &self.step {
            BatchStep::Settled(settled) => {
                out.push(0);
                out.extend_from_slice(&settled.stan.get().to_le_bytes());
                out.extend_from_slice(settled.currency.as_bytes());
                out.push(index_of(&BatchResult::ALL, &settled.result));
                put_totals(out, &settled.ours);
                put_count(out, settled.claimed.len());
                for totals in &settled.claimed {
                    put_totals(out, totals);
                }
            }
            BatchStep::Uploaded(lines) => {
                out.push(1);
                put_count(out, lines.len());
                for (line, verdict) in lines {
                    out.extend_from_slice(&line.stan.get().to_le_bytes());
                    out.extend_from_slice(&line.minor.to_le_bytes());
                    put_bytes(out, line.pan.as_str().as_bytes());
                    out.push(index_of(&LineVerdict::ALL, verdict));
                }
            }
            BatchStep::Closed(closed) => {
                out.push(match closed.how {
                    Closing::Terminal { .. } => 2,
                    Closing::Operator { .. } => 3,
                });
                out.extend_from_slice(&closed.next.get().to_le_bytes());
                match &closed.how {
                    Closing::Terminal {
                        stan,
                        announced,
                        counts,
                    } => {
                        out.extend_from_slice(&stan.get().to_le_bytes());
                        let counts = [
                            counts.equal,
                            counts.different,
                            counts.unknown,
                            counts.missing,
                        ];
                        for number in [*announced].into_iter().chain(counts) {
                            out.extend_from_slice(&number.to_le_bytes());
                        }
                    }
                    Closing::Operator { by, note } => {
                        put_bytes(out, by.as_bytes());
                        put_bytes(out, note.as_bytes());
                    }
                }
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, RecordError> {
        let key = r.key()?;
        let binding = BindingId(r.u64()?);
        let batch = r.batch()?;
        let at = Timestamp(r.u64()?);
        let step = match r.u8()? {
            0 => BatchStep::Settled(Settled {
                stan: r.stan()?,
                currency: Currency::from_slice(&r.array::<3>()?).ok_or(RecordError::Value)?,
                result: one_of(&BatchResult::ALL, r.u8()?)?,
                ours: totals(r)?,
                claimed: many(r, totals)?,
            }),
            1 => BatchStep::Uploaded(many(r, |r| {
                let line = BatchLine {
                    stan: r.stan()?,
                    minor: r.u64()?,
                    pan: MaskedPan::of(r.bytes()?),
                };
                Ok((line, one_of(&LineVerdict::ALL, r.u8()?)?))
            })?),
            2 => BatchStep::Closed(Closed {
                next: r.batch()?,
                how: Closing::Terminal {
                    stan: r.stan()?,
                    announced: r.u64()?,
                    counts: LineCounts {
                        equal: r.u64()?,
                        different: r.u64()?,
                        unknown: r.u64()?,
                        missing: r.u64()?,
                    },
                },
            }),
            3 => BatchStep::Closed(Closed {
                next: r.batch()?,
                how: Closing::Operator {
                    by: r.text()?.into(),
                    note: r.text()?.into(),
                },
            }),
            _ => return Err(RecordError::Value),
        };
        Ok(Self {
            key,
            binding,
            batch,
            at,
            step,
        })
    }

    /// The batch that the terminal gets next, when this ended one.
    #[must_use]
    pub const fn next_batch(&self) -> Option<BatchNumber> {
        match &self.step {
            BatchStep::Closed(closed) => Some(closed.next),
            BatchStep::Settled(_) | BatchStep::Uploaded(_) => None,
        }
    }
}

fn one_of<T: Copy>(all: &[T], at: u8) -> Result<T, RecordError> {
    all.get(usize::from(at)).copied().ok_or(RecordError::Value)
}

/// A message holds far fewer lines and sets than two bytes count.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

fn many<'r, T>(
    r: &mut Reader<'r>,
    mut one: impl FnMut(&mut Reader<'r>) -> Result<T, RecordError>,
) -> Result<Vec<T>, RecordError> {
    let count = u16::from_le_bytes(r.array()?);
    (0..count).map(|_| one(r)).collect()
}

fn put_totals(out: &mut Vec<u8>, totals: &BatchTotals) {
    for sum in [totals.debit, totals.credit] {
        out.extend_from_slice(&sum.count.to_le_bytes());
        out.extend_from_slice(&sum.minor.to_le_bytes());
    }
}

fn totals(r: &mut Reader<'_>) -> Result<BatchTotals, RecordError> {
    let mut sum = || {
        Ok(Sum {
            count: r.u64()?,
            minor: r.u64()?,
        })
    };
    Ok(BatchTotals {
        debit: sum()?,
        credit: sum()?,
    })
}

/// Counts a transaction of a batch, if it counts: from its durable approval until a reversal is owed, with
/// the amount that was booked (invariant 8). Whether its payout is held does not matter here.
pub fn count(totals: &mut BatchTotals, row: &TransactionRow) {
    let Some((class, minor)) = Class::of(row) else {
        return;
    };
    match class {
        Class::Sale | Class::Void | Class::Refund | Class::Released | Class::Held => {
            let minor = u64::try_from(minor.unsigned_abs()).unwrap_or(u64::MAX);
            if row.sign > 0 {
                totals.debit.add(minor);
            } else {
                totals.credit.add(minor);
            }
        }
        Class::Unpayable | Class::Suspense | Class::Reversed => {}
    }
}

/// What the read model can be asked of batches.
pub trait BatchModel {
    /// Calls `each` with every transaction of a binding's batch, by trace number.
    ///
    /// # Errors
    /// When reading fails.
    fn batch_transactions(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError>;

    /// Comparisons of a batch, oldest first; the last one under a trace number counts.
    ///
    /// # Errors
    /// When reading fails.
    fn settled(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Vec<(Timestamp, Settled)>, StoreError>;

    /// Uploaded lines of a batch by trace number; the last one under a trace number counts.
    ///
    /// # Errors
    /// When reading fails.
    fn lines(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Vec<(Timestamp, BatchLine, LineVerdict)>, StoreError>;

    /// The end of a terminal's batch, unless a sign-off ended it, and its binding then.
    ///
    /// # Errors
    /// When reading fails.
    fn closed(
        &mut self,
        key: TerminalKey,
        batch: BatchNumber,
    ) -> Result<Option<(Timestamp, BindingId, Closed)>, StoreError>;
}
