//! Evidence, and case files: what one person leaves for another.

use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

use super::{Held, Step, Stopped, from_sql, said, to_sql};
use crate::base::Timestamp;
use crate::binding::refusal::two_persons;
use crate::binding::unbinding::Proof;
use crate::binding::{BindingState, ReasonSet, Refusal};
use crate::store::command::Allows;
use crate::store::registry::RegistryError;

/// How long evidence is good, in microseconds: a week.
pub(super) const GOOD_FOR: u64 = 7 * 86_400_000_000;
/// Evidence that lapsed, told in one minute; the rest in the next.
const LAPSES_TOLD: u32 = 100;

/// A case as a command finds it.
#[derive(Clone, Debug)]
pub(super) struct CaseRow {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) binding: u64,
    pub(super) version: u32,
    pub(super) body: Value,
}

/// Evidence as it was filed.
struct Filed {
    about: String,
    allows: String,
    filed_by: String,
    note: String,
    filed_at: u64,
    ended: Option<Ended>,
}

/// How evidence came to its end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Somebody acted on it.
    Used,
    /// Who filed it took it back, or another person did not believe it.
    Refused,
}

impl Step<'_> {
    pub(super) fn file_evidence(
        &mut self,
        about: &str,
        allows: Allows,
        note: &str,
        sha256: &str,
    ) -> Stopped<()> {
        said("what it is about", about)?;
        said("what it is", note)?;
        self.must_be_there(about.trim())?;
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !sha256.is_empty() && !is_hash {
            let (what, problem) = ("the file's SHA-256", "has to have 64 hexadecimal digits");
            return Err(Refusal::Value { what, problem }.into());
        }
        let number = self
            .db
            .prepare_cached(
                "INSERT INTO evidence(about, allows, note, sha256, filed_by, filed_at) \
                 VALUES (?1,?2,?3,?4,?5,?6)",
            )?
            .insert(params![
                about.trim(),
                allows.name(),
                note.trim(),
                sha256,
                self.actor.name,
                to_sql(self.now().0)
            ])?;
        self.done.number = from_sql(number);
        self.tell(
            "evidence.filed",
            about.trim().to_owned(),
            Value::Null,
            json!({ "evidence": number, "allows": allows.name(), "note": note, "sha256": sha256 }),
            Value::Null,
        )
    }

    /// Uses evidence up: who filed it, and what it is.
    pub(super) fn use_evidence(
        &self,
        number: Option<u64>,
        about: &str,
        allows: Allows,
    ) -> Stopped<(String, String)> {
        self.use_evidence_since(Timestamp(0), number, about, allows)
    }

    /// The same of evidence that something is over: what was seen before it began says nothing of its end.
    pub(super) fn use_evidence_since(
        &self,
        began: Timestamp,
        number: Option<u64>,
        about: &str,
        allows: Allows,
    ) -> Stopped<(String, String)> {
        let unproven = |problem: String| {
            Err(Refusal::Unproven {
                problem: problem.into(),
                about: about.into(),
                allows: allows.name().into(),
            }
            .into())
        };
        let Some(number) = number else {
            return unproven("this takes evidence".into());
        };
        let Some(found) = self.filed(number)? else {
            return unproven(format!("there is no evidence {number}"));
        };
        if found.about != about || found.allows != allows.name() {
            return unproven(format!(
                "evidence {number} allows {} of {} and nothing else",
                found.allows, found.about
            ));
        }
        match found.ended {
            Some(Ended::Used) => return unproven(format!("evidence {number} was used already")),
            Some(Ended::Refused) => {
                return unproven(format!(
                    "evidence {number} was refused, or what it is to end came once more since"
                ));
            }
            None => {}
        }
        if self.now().0 > found.filed_at.saturating_add(GOOD_FOR) {
            return unproven(format!("evidence {number} is older than a week"));
        }
        if found.filed_at < began.0 {
            return unproven(format!(
                "evidence {number} was filed before that began which it is to end"
            ));
        }
        let Filed { filed_by, note, .. } = found;
        two_persons(&filed_by, &self.actor.name)?;
        self.db
            .prepare_cached("UPDATE evidence SET used_by = ?2, used_at = ?3 WHERE id = ?1")?
            .execute(params![
                to_sql(number),
                self.actor.name,
                to_sql(self.now().0)
            ])?;
        Ok((filed_by, format!("evidence {number}: {note}")))
    }

    /// A reason that comes once more while it holds: what was filed to clear it was seen before that, and clears nothing.
    pub(super) fn renewed(&self, held: &Held, reasons: ReasonSet) -> Stopped<()> {
        let about = self.subject(held.key)?;
        for reason in reasons.iter() {
            if !held.admission.reasons.contains(reason) {
                continue;
            }
            let allows = Allows::ClearReason(reason);
            let overtaken: Vec<u64> = self
                .db
                .prepare_cached(
                    "UPDATE evidence SET refused_by = ?3, refused_at = ?4 WHERE about = ?1 AND allows = ?2 \
                     AND used_at IS NULL AND refused_at IS NULL RETURNING id",
                )?
                .query_map(
                    params![about, allows.name(), self.actor.name, to_sql(self.now().0)],
                    |row| row.get(0).map(from_sql),
                )?
                .collect::<rusqlite::Result<_>>()?;
            for number in overtaken {
                self.tell(
                    "evidence.overtaken",
                    about.clone(),
                    json!({ "evidence": number, "allows": allows.name() }),
                    Value::Null,
                    json!({ "note": format!("{reason} came once more") }),
                )?;
            }
        }
        Ok(())
    }

    /// Since when a binding has been like this without a break. What an unbinding that was cancelled interrupts goes on.
    pub(super) fn binding_since(
        &self,
        held: &Held,
        is_so: impl Fn(BindingState, ReasonSet) -> bool,
    ) -> Stopped<Timestamp> {
        let mut changes = self.db.prepare_cached(
            "SELECT at, state, reasons FROM binding_change WHERE binding = ?1 ORDER BY version DESC",
        )?;
        let mut rows = changes.query([to_sql(held.admission.binding.0)])?;
        let mut since = Timestamp(0);
        while let Some(row) = rows.next()? {
            let state: String = row.get(1)?;
            let state = BindingState::from_name(&state).unwrap_or(BindingState::Suspended);
            if is_so(state, ReasonSet::from_bits(row.get(2)?)) {
                since = Timestamp(from_sql(row.get(0)?));
            } else if state != BindingState::Unbinding {
                break;
            }
        }
        Ok(since)
    }

    /// What two members of staff saw: one filed it, and the other acts on it now.
    pub(super) fn seen_by_two(&self, evidence: u64, about: &str, allows: Allows) -> Stopped<Proof> {
        let (first, _note) = self.use_evidence(Some(evidence), about, allows)?;
        Ok(Proof::Counter {
            first,
            second: self.actor.name.clone(),
        })
    }

    /// Nobody may act on it any more.
    pub(super) fn refuse_evidence(&mut self, number: u64, note: &str) -> Stopped<()> {
        said("why", note)?;
        let found = self
            .filed(number)?
            .ok_or_else(|| Self::not_there("evidence", number))?;
        let lapsed = self.now().0 > found.filed_at.saturating_add(GOOD_FOR);
        let state = match found.ended {
            Some(Ended::Used) => Some("used"),
            Some(Ended::Refused) => Some("refused"),
            None if lapsed => Some("older than a week"),
            None => None,
        };
        if let Some(state) = state {
            return Err(Refusal::State {
                thing: "evidence",
                state,
                verb: "refused",
                remedy: "nothing can be done with it any more",
            }
            .into());
        }
        self.db
            .prepare_cached("UPDATE evidence SET refused_by = ?2, refused_at = ?3 WHERE id = ?1")?
            .execute(params![
                to_sql(number),
                self.actor.name,
                to_sql(self.now().0)
            ])?;
        self.done.number = number;
        let event = match two_persons(&found.filed_by, &self.actor.name) {
            Ok(()) => "evidence.refused",
            Err(_same) => "evidence.withdrawn",
        };
        self.tell(
            event,
            found.about,
            json!({ "evidence": number, "allows": found.allows, "filed_by": found.filed_by }),
            Value::Null,
            json!({ "note": note.trim() }),
        )
    }

    /// Evidence that nobody acted on in its week: the audit trail says so, once.
    pub(super) fn lapse_evidence(&mut self) -> Stopped<()> {
        let before = to_sql(self.now().0.saturating_sub(GOOD_FOR));
        let lapsed: Vec<(u64, String, String, String)> = {
            let mut all = self.db.prepare_cached(
                "SELECT id, about, allows, filed_by FROM evidence WHERE used_at IS NULL \
                 AND refused_at IS NULL AND lapse_told = 0 AND filed_at < ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = all.query_map(params![before, LAPSES_TOLD], |row| {
                Ok((from_sql(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (number, about, allows, filed_by) in lapsed {
            self.db
                .prepare_cached("UPDATE evidence SET lapse_told = 1 WHERE id = ?1")?
                .execute([to_sql(number)])?;
            self.tell(
                "evidence.lapsed",
                about,
                json!({ "evidence": number, "allows": allows, "filed_by": filed_by }),
                Value::Null,
                Value::Null,
            )?;
        }
        Ok(())
    }

    fn filed(&self, number: u64) -> Stopped<Option<Filed>> {
        let found = self
            .db
            .prepare_cached(
                "SELECT about, allows, filed_by, note, filed_at, used_at IS NOT NULL, \
                 refused_at IS NOT NULL FROM evidence WHERE id = ?1",
            )?
            .query_row([to_sql(number)], |row| {
                let (used, refused): (bool, bool) = (row.get(5)?, row.get(6)?);
                Ok(Filed {
                    about: row.get(0)?,
                    allows: row.get(1)?,
                    filed_by: row.get(2)?,
                    note: row.get(3)?,
                    filed_at: from_sql(row.get(4)?),
                    ended: match (used, refused) {
                        (true, _) => Some(Ended::Used),
                        (false, true) => Some(Ended::Refused),
                        (false, false) => None,
                    },
                })
            })
            .optional()?;
        Ok(found)
    }

    /// That there is what evidence is about: a slip of the pen would be found only when somebody acts on it.
    fn must_be_there(&self, about: &str) -> Stopped<()> {
        let unreadable = || Refusal::Value {
            what: "what it is about",
            problem: "has to be `terminal ACQUIRER/ID`, `account ACQUIRER/REFERENCE`, `merchant ACQUIRER/ID`, \
                      `contact NUMBER` or `case NUMBER`",
        };
        let (kind, name) = about.split_once(' ').ok_or_else(unreadable)?;
        let named = |what: &'static str, sql: &str| -> Stopped<()> {
            let (acquirer, name) = name.split_once('/').ok_or_else(unreadable)?;
            let known: bool = self
                .db
                .prepare_cached(sql)?
                .query_row([acquirer, name], |row| row.get(0))?;
            if known {
                return Ok(());
            }
            Err(RegistryError::Unknown {
                what,
                name: name.to_owned(),
                acquirer: acquirer.to_owned(),
            }
            .into())
        };
        match kind {
            "terminal" => named(
                "terminal",
                "SELECT EXISTS (SELECT 1 FROM terminal t JOIN acquirer a ON a.id = t.acquirer \
                 WHERE a.name = ?1 AND t.terminal_id = ?2)",
            ),
            "account" => named(
                "account",
                "SELECT EXISTS (SELECT 1 FROM account t JOIN acquirer a ON a.id = t.acquirer \
                 WHERE a.name = ?1 AND t.reference = ?2)",
            ),
            "merchant" => named(
                "merchant",
                "SELECT EXISTS (SELECT 1 FROM merchant t JOIN acquirer a ON a.id = t.acquirer \
                 WHERE a.name = ?1 AND t.merchant_id = ?2)",
            ),
            "contact" => {
                let number = name.parse().map_err(|_no_number| unreadable())?;
                self.contact(number).map(|_there| ())
            }
            "case" => {
                let number: u64 = name.parse().map_err(|_no_number| unreadable())?;
                let known: bool = self.db.query_row(
                    "SELECT EXISTS (SELECT 1 FROM case_file WHERE id = ?1)",
                    [to_sql(number)],
                    |row| row.get(0),
                )?;
                if known {
                    return Ok(());
                }
                Err(Self::not_there("case", number))
            }
            _other => Err(unreadable().into()),
        }
    }

    pub(super) fn open_case(
        &mut self,
        kind: &str,
        held: &Held,
        stage: &str,
        body: &Value,
    ) -> Stopped<u64> {
        let binding = to_sql(held.admission.binding.0);
        let open: Option<(i64, String)> = self
            .db
            .prepare_cached("SELECT id, kind FROM case_file WHERE binding = ?1 AND is_over = 0")?
            .query_row([binding], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((number, open)) = open {
            return Err(Refusal::Taken {
                what: "the binding",
                holder: format!("case {number} ({open})").into(),
                remedy: "one case at a time: finish it or cancel it",
            }
            .into());
        }
        let number = self
            .db
            .prepare_cached(
                "INSERT INTO case_file(kind, binding, stage, is_over, version, body, opened_at) \
                 VALUES (?1,?2,?3,0,1,?4,?5)",
            )?
            .insert(params![
                kind,
                binding,
                stage,
                body.to_string(),
                to_sql(self.now().0)
            ])?;
        self.case_history(number, 1, "case.opened", stage)?;
        self.done.number = from_sql(number);
        self.done.version = 1;
        let acquirer = self.acquirer_name(held.key.acquirer)?;
        self.outside(
            "case.opened",
            format!("case {number}"),
            1,
            json!({ "kind": kind, "binding": held.admission.binding.0, "stage": stage }),
        );
        self.tell(
            "case.opened",
            format!("case {number}"),
            Value::Null,
            json!({ "kind": kind, "stage": stage, "terminal": format!("{acquirer}/{}", held.key.terminal) }),
            Value::Null,
        )?;
        Ok(from_sql(number))
    }

    /// From now on a case is about another binding: what goes on there is that one's end.
    pub(super) fn case_moves(&self, case: &CaseRow, to: u64) -> Stopped<()> {
        let open: Option<(u64, String)> = self
            .db
            .prepare_cached("SELECT id, kind FROM case_file WHERE binding = ?1 AND is_over = 0")?
            .query_row([to_sql(to)], |row| Ok((from_sql(row.get(0)?), row.get(1)?)))
            .optional()?;
        if let Some((number, kind)) = open {
            return Err(Refusal::Taken {
                what: "the new terminal",
                holder: format!("case {number} ({kind})").into(),
                remedy: "finish that case or cancel it first",
            }
            .into());
        }
        self.db
            .prepare_cached("UPDATE case_file SET binding = ?2 WHERE id = ?1")?
            .execute(params![case.id, to_sql(to)])?;
        Ok(())
    }

    pub(super) fn case(&self, number: u64, kind: &str) -> Stopped<CaseRow> {
        let found = self
            .db
            .prepare_cached(
                "SELECT id, kind, binding, version, body FROM case_file WHERE id = ?1 AND kind = ?2",
            )?
            .query_row(params![to_sql(number), kind], case_row)
            .optional()?
            .ok_or_else(|| Self::not_there("case", number))?;
        self.stale("the case", found.version)?;
        Ok(found)
    }

    /// The open case of a binding of this kind.
    pub(super) fn open_case_of(&self, held: &Held, kind: &str) -> Stopped<CaseRow> {
        self.db
            .prepare_cached(
                "SELECT id, kind, binding, version, body FROM case_file \
                 WHERE binding = ?1 AND kind = ?2 AND is_over = 0",
            )?
            .query_row(params![to_sql(held.admission.binding.0), kind], case_row)
            .optional()?
            .ok_or_else(|| {
                let what = "an open case of this kind";
                let remedy = "open one first";
                Refusal::Missing { what, remedy }.into()
            })
    }

    /// Writes a case's next version with its history and its audit event.
    pub(super) fn write_case(
        &mut self,
        case: &CaseRow,
        stage: &str,
        is_over: bool,
        body: &Value,
        event: &'static str,
    ) -> Stopped<()> {
        let version = case.version + 1;
        self.db
            .prepare_cached(
                "UPDATE case_file SET stage = ?2, is_over = ?3, version = ?4, body = ?5 WHERE id = ?1",
            )?
            .execute(params![case.id, stage, is_over, version, body.to_string()])?;
        self.case_history(case.id, version, event, stage)?;
        self.done.number = from_sql(case.id);
        self.done.version = version;
        let before = case.body["stage"].clone();
        self.outside(
            event,
            format!("case {}", case.id),
            version,
            json!({ "kind": case.kind, "binding": case.binding, "stage": stage }),
        );
        self.tell(
            event,
            format!("case {}", case.id),
            json!({ "stage": before, "version": case.version }),
            json!({ "stage": stage, "version": version }),
            json!({ "kind": case.kind, "binding": case.binding }),
        )
    }

    fn case_history(&self, case: i64, version: u32, event: &str, stage: &str) -> Stopped<()> {
        self.db
            .prepare_cached("INSERT INTO case_change VALUES (?1,?2,?3,?4,?5,?6)")?
            .execute(params![
                case,
                version,
                to_sql(self.now().0),
                self.actor.name,
                event,
                stage
            ])?;
        Ok(())
    }
}

fn case_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<CaseRow> {
    let body = row.get_ref(4)?.as_str()?;
    Ok(CaseRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        binding: from_sql(row.get(2)?),
        version: row.get(3)?,
        body: serde_json::from_str(body).unwrap_or_default(),
    })
}
