//! The person at the other end: changes states, accounts and their status while terminals trade, and knows what
//! held when. Whoever was admitted must have been admitted by what held at that moment (invariant 7), and for the
//! account of what it was paid with.

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
    /// Whether its account of a kind may take money, by the kind.
    usable: [bool; AccountKind::ALL.len()],
}

/// See the module. Outlives the process, as the registry does.
#[derive(Debug)]
pub(super) struct Operator {
    directory: Arc<Directory>,
    held: BTreeMap<TerminalId, Vec<Held>>,
    /// Accounts are given out in turn, each to one terminal only.
    accounts: u32,
    /// Draws what concerns accounts of several kinds, so that worlds are what they would be without.
    random: fastrand::Rng,
    /// Whose the money of what was admitted is.
    belongs: BTreeMap<TxnId, AccountId>,
    pub(super) changes: u64,
}

impl Operator {
    pub(super) fn new(directory: Arc<Directory>, random: fastrand::Rng) -> Self {
        Self {
            directory,
            held: BTreeMap::new(),
            accounts: 0,
            random,
            belongs: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Binds a terminal, open and with accounts of its own: one for cards, and for every second terminal one for what
    /// is paid with WeChat.
    pub(super) fn bind(&mut self, key: TerminalKey, admission: Admission) {
        let mut accounts = Accounts::one(AccountKind::BankCard, self.next_account());
        if self.random.bool() {
            accounts = accounts.with(AccountKind::WeChat, self.next_account());
        }
        self.put(
            key,
            Held {
                from: Timestamp(0),
                admission: Admission {
                    accounts,
                    ..admission
                },
                usable: [true; AccountKind::ALL.len()],
            },
        );
    }

    /// A new account that may take money.
    fn next_account(&mut self) -> AccountId {
        self.accounts += 1;
        let account = AccountId(self.accounts);
        self.directory.set_account(account, AccountStatus::Verified);
        account
    }

    /// Whether a terminal has an account for what is paid with WeChat.
    pub(super) fn takes_wallets(&self, key: TerminalKey) -> bool {
        let held = self.last(key);
        held.is_some_and(|held| held.admission.accounts.of(AccountKind::WeChat).is_some())
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
        let kind = self.one_kind(last.admission.accounts);
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
                next.admission.accounts = next.admission.accounts.with(kind, account);
                next.usable[kind as usize] = true;
            }
            3 => {
                // No new version: the account changed, not the binding.
                next.admission.version -= 1;
                let usable = &mut next.usable[kind as usize];
                *usable = !*usable;
                let status = if *usable {
                    AccountStatus::Verified
                } else {
                    AccountStatus::Frozen
                };
                if let Some(account) = next.admission.accounts.of(kind) {
                    self.directory.set_account(account, status);
                }
            }
            _ => {
                next.admission.state = BindingState::Active;
                next.admission.reasons = ReasonSet::EMPTY;
            }
        }
        self.changes += 1;
        let accounts = next.admission.accounts.iter().map(|(kind, account)| {
            let usable = if next.usable[kind as usize] {
                ""
            } else {
                " frozen"
            };
            format!(" {kind} {}{usable}", account.0)
        });
        let told = format!(
            "operator: {} {:?} version {}{}",
            key.terminal,
            next.admission.state,
            next.admission.version,
            accounts.collect::<String>(),
        );
        self.put(key, next);
        told
    }

    /// Which of its accounts something happens to.
    fn one_kind(&mut self, accounts: Accounts) -> AccountKind {
        let kinds: Vec<_> = accounts.iter().map(|(kind, _)| kind).collect();
        match kinds[..] {
            [only] => only,
            _ => kinds[self.random.usize(0..kinds.len())],
        }
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
            next.usable = [true; AccountKind::ALL.len()];
            for (_, account) in next.admission.accounts.iter() {
                self.directory.set_account(account, AccountStatus::Verified);
            }
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
    /// belongs to the account of what it follows, anything else to the account of the kind that it was paid with.
    pub(super) fn admits(&mut self, intent: &Intent<'_>, paid: AccountKind) -> bool {
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
            None if intent.original.0 == 0 => admission.accounts.of(paid) == Some(intent.account),
            // It became durable as the process ended, and nobody looked.
            None => had(intent.account),
        };
        // Of one moment, what held before and what held after may be meant.
        let nexts = held.iter().skip(1).map(|next| next.from);
        let ends = nexts.chain(std::iter::once(Timestamp(u64::MAX)));
        held.iter().zip(ends).any(|(held, end)| {
            let admission = &held.admission;
            let open = admission.state == BindingState::Active && held.usable[paid as usize];
            held.from <= intent.at
                && intent.at <= end
                && admission.version == intent.version
                && is_whose(admission)
                && (open || intent.kind != RequestType::NewMoney)
        })
    }
}
