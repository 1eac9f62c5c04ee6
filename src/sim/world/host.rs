//! The upstream of a simulated world: its books, and what it says to a request. It judges by what it was
//! sent, never by what the gateway believes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;

use super::Finding;
use crate::base::{BatchNumber, Fate, RequestType, Stan, TerminalId};
use crate::iso8583::{self, Books, Dialect, FieldValue, Message, Request, ResponseCode};

/// What the host made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Approved,
    Declined,
    Reversed,
    /// Its reversal came first.
    Barred,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    state: State,
    minor: u64,
    sign: i64,
    kind: RequestType,
    /// Voids of it that stand.
    voided: bool,
    /// Its authorisation code: of a pre-authorisation.
    code: Option<ApprovalCode>,
    /// The pre-authorisation that it completes.
    completes: Option<Place>,
}

type ApprovalCode = [u8; 6];

/// Most that a completion may take of what was set aside, tips included.
const TAKEN_PERCENT_MAX: u64 = 115;

type Place = (TerminalId, BatchNumber, Stan);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Host {
    rows: BTreeMap<Place, Row>,
    /// Reversals that undid something.
    pub(super) reversed: u64,
    pub(super) repeats: u64,
}

/// How the host treats one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mood {
    pub(super) declines: bool,
    pub(super) refuses_reversal: bool,
    pub(super) bars: bool,
}

impl Host {
    /// Books a request and writes the answer, with its length prefix, to `out`.
    ///
    /// # Errors
    /// What no gateway may do: forward an original twice, or name an original that is not there.
    pub(super) fn take(
        &mut self,
        message: &Message<'_>,
        mood: Mood,
        out: &mut BytesMut,
    ) -> Result<(), Finding> {
        let dialect = message.dialect();
        let request = dialect.classify(message).ok_or(Finding::Unusable)?;
        let terminal = message.terminal().ok_or(Finding::Unusable)?;
        let stan = message.stan().ok_or(Finding::Unusable)?;
        let batch = message.batch().unwrap_or_default();
        let code = if request.kind == RequestType::Reversal {
            self.reverse(message, terminal, mood)
        } else {
            self.book(message, request, (terminal, batch, stan), mood)?
        };
        let reference = format!("{:012}", self.rows.len());
        let given = self.rows.get(&(terminal, batch, stan));
        let approval_code = given.and_then(|row| row.code);
        let mut extras = vec![(dialect.roles().rrn, FieldValue::Text(reference.as_bytes()))];
        if let Some(approval_code) = &approval_code
            && code == ResponseCode::APPROVED
            && request.kind != RequestType::Reversal
        {
            let field = dialect.roles().approval_code;
            extras.push((field, FieldValue::Text(approval_code)));
        }
        iso8583::answer(message, Some(request), code, &extras, out)
            .map_err(|_unwritable| Finding::Unusable)
    }

    fn book(
        &mut self,
        message: &Message<'_>,
        request: &Request,
        place: Place,
        mood: Mood,
    ) -> Result<ResponseCode, Finding> {
        let minor = message.amount().map_or(0, |amount| amount.minor);
        if let Some(known) = self.rows.get(&place) {
            let same = known.minor == minor && known.kind == request.kind;
            return match (known.state, request.fate) {
                (State::Barred, _) => Ok(ResponseCode::new(*b"94")),
                _ if !same => Err(Finding::NumberUsedTwice { stan: place.2 }),
                // What is repeated by its nature may come again, and is booked once.
                (state, Fate::Repeat) => {
                    self.repeats += 1;
                    Ok(code_of(state))
                }
                (_, Fate::Reverse | Fate::Expire) => Err(Finding::ForwardedTwice { stan: place.2 }),
            };
        }
        let stands = request.kind != RequestType::Void || self.void(message, place.0)?;
        let completes = match request.kind {
            RequestType::Completion => Some(self.completed(message, place.0)?),
            _ => None,
        };
        let sets_aside = request.kind == RequestType::NewMoney && request.books == Books::None;
        let code = sets_aside.then(|| {
            let mut code = [b'0'; 6];
            let digits = format!("{:06}", self.rows.len());
            code.copy_from_slice(&digits.as_bytes()[..6]);
            code
        });
        let state = if mood.declines || !stands {
            State::Declined
        } else {
            State::Approved
        };
        let sign = match request.books {
            Books::Debit => 1,
            Books::Credit => -1,
            Books::None => 0,
        };
        self.rows.insert(
            place,
            Row {
                state,
                minor,
                sign,
                kind: request.kind,
                voided: false,
                code,
                completes,
            },
        );
        Ok(code_of(state))
    }

    /// Terminals void only what they saw approved, and nothing may have undone that since.
    fn void(&mut self, message: &Message<'_>, terminal: TerminalId) -> Result<bool, Finding> {
        let original = message.original().unwrap_or_default();
        let stan = original.stan.ok_or(Finding::Unusable)?;
        let place = (terminal, original.batch.unwrap_or_default(), stan);
        match self.rows.get_mut(&place) {
            Some(row) if row.state == State::Approved => {
                let first = !row.voided;
                row.voided = true;
                Ok(first)
            }
            Some(_) | None => Err(Finding::OriginalNotThere { stan }),
        }
    }

    /// Terminals complete only what they saw approved, by its authorisation code, and nothing may have undone that
    /// since.
    fn completed(&self, message: &Message<'_>, terminal: TerminalId) -> Result<Place, Finding> {
        let stan = message.stan().unwrap_or(Stan::FIRST);
        let named = message.approval_code().ok_or(Finding::Unusable)?;
        let mut of = self.rows.iter().filter(|((of, ..), row)| {
            *of == terminal && row.code.is_some_and(|code| code == *named.as_ref())
        });
        match of.next() {
            Some((place, row)) if row.state == State::Approved => Ok(*place),
            Some(_) | None => Err(Finding::OriginalNotThere { stan }),
        }
    }

    /// A pre-authorisation that more than one standing completion takes, or one that takes more than it set aside.
    pub(super) fn overdone(&self) -> Option<Stan> {
        let mut taken = BTreeSet::new();
        let standing = self
            .rows
            .values()
            .filter(|row| row.state == State::Approved);
        let completions = standing.filter_map(|row| Some((row.completes?, row.minor)));
        for (of, minor) in completions {
            let set_aside = self.rows.get(&of).map_or(0, |row| row.minor);
            if !taken.insert(of) || minor > set_aside * TAKEN_PERCENT_MAX / 100 {
                return Some(of.2);
            }
        }
        None
    }

    fn reverse(&mut self, message: &Message<'_>, terminal: TerminalId, mood: Mood) -> ResponseCode {
        if mood.refuses_reversal {
            return ResponseCode::new(*b"96");
        }
        let original = message.original().unwrap_or_default();
        let stan = original.stan.unwrap_or(Stan::FIRST);
        let place = (terminal, original.batch.unwrap_or_default(), stan);
        let Some(row) = self.rows.get_mut(&place) else {
            if mood.bars {
                let row = Row {
                    state: State::Barred,
                    minor: message.amount().map_or(0, |amount| amount.minor),
                    sign: 0,
                    kind: RequestType::NewMoney,
                    voided: false,
                    code: None,
                    completes: None,
                };
                self.rows.insert(place, row);
            }
            return ResponseCode::new(*b"25");
        };
        match row.state {
            State::Approved => {
                row.state = State::Reversed;
                self.reversed += 1;
                ResponseCode::APPROVED
            }
            State::Declined | State::Reversed => ResponseCode::APPROVED,
            State::Barred => ResponseCode::new(*b"25"),
        }
    }

    /// Undoes a request by hand, because a person asks for it. `false` when there is none with that number.
    pub(super) fn undo(&mut self, terminal: TerminalId, stan: Stan) -> bool {
        let mut of = self
            .rows
            .iter_mut()
            .filter(|((of, _, number), _)| (*of, *number) == (terminal, stan));
        let Some((_, row)) = of.next() else {
            return false;
        };
        if row.state == State::Approved {
            row.state = State::Reversed;
            self.reversed += 1;
        }
        true
    }

    /// What stands in a terminal's favour: how many, and their sum.
    pub(super) fn stands(&self, terminal: TerminalId) -> (u64, i64) {
        self.rows
            .iter()
            .filter(|((of, ..), row)| *of == terminal && row.state == State::Approved)
            .filter(|(_, row)| row.sign != 0)
            .fold((0, 0), |(count, net), (_, row)| {
                let minor = i64::try_from(row.minor).unwrap_or(i64::MAX);
                (count + 1, net + row.sign * minor)
            })
    }
}

const fn code_of(state: State) -> ResponseCode {
    match state {
        State::Approved => ResponseCode::APPROVED,
        State::Declined | State::Barred => ResponseCode::new(*b"51"),
        State::Reversed => ResponseCode::new(*b"94"),
    }
}

/// An answer that belongs to nobody: another terminal's, another amount's, another number's.
pub(super) fn foreign(
    dialect: &Dialect,
    answer: &Message<'_>,
    random: &mut fastrand::Rng,
    out: &mut BytesMut,
) -> Result<(), Finding> {
    let mut writer = dialect.write(out);
    writer.envelope_raw(answer.envelope());
    writer.mti(answer.mti());
    let wrong = [4, 11, 41][random.usize(0..3)];
    for de in answer.fields().iter().filter(|de| *de > 1) {
        match de {
            4 if wrong == 4 => writer.number(4, 1),
            11 if wrong == 11 => writer.number(11, 999_000 + random.u64(0..999)),
            41 if wrong == 41 => writer.text(41, b"T9999999"),
            _ => writer.copy(answer, de),
        }
    }
    writer.finish().map_err(|_unwritable| Finding::Unusable)
}
