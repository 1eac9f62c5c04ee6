//! The person at the other end: changes states, accounts and their status while terminals trade, and knows what
//! held when. Whoever was admitted must have been admitted by what held at that moment (invariant 7).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{AccountId, RequestType, TerminalId, Timestamp, TxnId};
use crate::binding::{
    AccountKind, AccountStatus, Accounts, Admission, BindingState, Directory, ReasonSet,
    RependReason, TerminalKey,
};
use crate::store::Intent;

/// What held from a moment on.
#[derive(Clone, Copy, Debug)]
struct Held {
    from: Timestamp,
    admission: Admission,
    /// Whether the account may take money.
    usable: bool,
}

/// See the module. Outlives the process, as the registry does.
#[derive(Debug)]
pub(super) struct Operator {
    directory: Arc<Directory>,
    held: BTreeMap<TerminalId, Vec<Held>>,
    /// Accounts are given out in turn, each to one terminal only.
    accounts: u32,
    /// Whose the money of what was admitted is.
    belongs: BTreeMap<TxnId, AccountId>,
    pub(super) changes: u64,
}

impl Operator {
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self {
            directory,
            held: BTreeMap::new(),
            accounts: 0,
            belongs: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Binds a terminal, open and with an account of its own.
    pub(super) fn bind(&mut self, key: TerminalKey, admission: Admission) {
        let account = self.next_account();
        self.directory.set_account(account, AccountStatus::Verified);
        self.put(
            key,
            Held {
                from: Timestamp(0),
                admission: Admission {
                    accounts: Accounts::one(AccountKind::BankCard, account),
                    ..admission
                },
                usable: true,
            },
        );
    }

    fn next_account(&mut self) -> AccountId {
        self.accounts += 1;
        AccountId(self.accounts)
    }

    fn put(&mut self, key: TerminalKey, held: Held) {
        self.directory.put(key, held.admission);
        self.held.entry(key.terminal).or_default().push(held);
    }

    /// Does something to a terminal, and says what.
    pub(super) fn change(
        &mut self,
        key: TerminalKey,
        now: Timestamp,
        random: &mut fastrand::Rng,
    ) -> String {
        let Some(last) = self.last(key) else {
            return String::new();
        };
        let mut next = Held { from: now, ..last };
        next.admission.version += 1;
        match random.u32(0..6) {
            0 => {
                next.admission.state = BindingState::RePending;
                next.admission.reasons = ReasonSet::EMPTY.with(RependReason::Phone);
            }
            1 => next.admission.state = BindingState::Suspended,
            2 => {
                let account = self.next_account();
                self.directory.set_account(account, AccountStatus::Verified);
                next.admission.accounts = Accounts::one(AccountKind::BankCard, account);
                next.usable = true;
            }
            3 => {
                // No new version: the account changed, not the binding.
                next.admission.version -= 1;
                next.usable = !next.usable;
                let status = if next.usable {
                    AccountStatus::Verified
                } else {
                    AccountStatus::Frozen
                };
                let account = next.admission.accounts.first();
                self.directory.set_account(account, status);
            }
            _ => {
                next.admission.state = BindingState::Active;
                next.admission.reasons = ReasonSet::EMPTY;
            }
        }
        self.changes += 1;
        let told = format!(
            "operator: {} {:?} version {} account {} usable {}",
            key.terminal,
            next.admission.state,
            next.admission.version,
            next.admission.accounts.first().0,
            next.usable
        );
        self.put(key, next);
        told
    }

    /// Everything is open again.
    pub(super) fn heal(&mut self, now: Timestamp) {
        let closed: Vec<_> = self
            .held
            .iter()
            .filter_map(|(terminal, held)| Some((*terminal, *held.last()?)))
            .collect();
        for (terminal, last) in closed {
            let mut next = Held { from: now, ..last };
            next.admission.version += 1;
            next.admission.state = BindingState::Active;
            next.admission.reasons = ReasonSet::EMPTY;
            next.usable = true;
            let account = next.admission.accounts.first();
            self.directory.set_account(account, AccountStatus::Verified);
            let key = TerminalKey {
                acquirer: crate::base::AcquirerId(0),
                terminal,
            };
            self.put(key, next);
        }
    }

    fn last(&self, key: TerminalKey) -> Option<Held> {
        self.held.get(&key.terminal)?.last().copied()
    }

    /// Whether what an intent says of its binding held when it was accepted, and let it pass. What follows something
    /// belongs to the account of what it follows.
    pub(super) fn admits(&mut self, intent: &Intent<'_>) -> bool {
        self.belongs.insert(intent.txn, intent.account);
        let followed = self.belongs.get(&intent.original).copied();
        let Some(held) = self.held.get(&intent.key.terminal) else {
            return false;
        };
        let had = |account: AccountId| {
            let mut all = held.iter().map(|held| held.admission.accounts);
            all.any(|accounts| accounts.contains(account))
        };
        let is_whose = |admission: &Admission| match followed {
            Some(account) => intent.account == account,
            None if intent.original.0 == 0 => intent.account == admission.accounts.first(),
            // It became durable as the process ended, and nobody looked.
            None => had(intent.account),
        };
        // Of one moment, what held before and what held after may be meant.
        let nexts = held.iter().skip(1).map(|next| next.from);
        let ends = nexts.chain(std::iter::once(Timestamp(u64::MAX)));
        held.iter().zip(ends).any(|(held, end)| {
            let admission = &held.admission;
            let open = admission.state == BindingState::Active && held.usable;
            held.from <= intent.at
                && intent.at <= end
                && admission.version == intent.version
                && is_whose(admission)
                && (open || intent.kind != RequestType::NewMoney)
        })
    }
}
