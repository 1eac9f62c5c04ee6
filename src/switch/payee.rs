//! Which of a binding's accounts a request's money belongs to.
//!
//! What follows an earlier transaction belongs to that one's account; anything else to the account for what it is
//! paid with. It never goes to an account of another kind.

use super::Switch;
use super::originals::OriginalName;
use crate::base::{AccountId, Means};
use crate::binding::gate::Undecidable;
use crate::binding::{AccountKind, AccountStatus, Admission, NoAccount, TerminalKey};
use crate::iso8583::{Message, Request};
use crate::transaction::originals::follows;

/// What a request is paid with, and what it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paying {
    paid: Paid,
    follows: Followed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paid {
    /// Its dialect has no word for it.
    Untold,
    With(Means),
    /// With something that its dialect does not list.
    Unlisted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    /// Nothing that is known here.
    Nothing,
    /// Something that is still to be looked up. It is not accepted before it is.
    Unseen,
    /// Something that belongs to this account.
    Of(AccountId),
}

impl Paying {
    /// Of a request whose original, if it names one, is still to be looked up.
    pub(super) fn before(message: &Message<'_>, request: &Request) -> Self {
        let named = follows(request.kind) && OriginalName::of(message, request.kind).is_some();
        let follows = if named {
            Followed::Unseen
        } else {
            Followed::Nothing
        };
        let paid = Paid::of(message);
        Self { paid, follows }
    }

    /// Of a request whose original belongs to that account, if there is one.
    pub(super) fn behind(message: &Message<'_>, original: Option<AccountId>) -> Self {
        Self {
            paid: Paid::of(message),
            follows: original.map_or(Followed::Nothing, Followed::Of),
        }
    }
}

impl Paid {
    fn of(message: &Message<'_>) -> Self {
        match message.dialect().means() {
            None => Self::Untold,
            Some(rules) => rules.of(message).map_or(Self::Unlisted, Self::With),
        }
    }
}

/// The account that a request's money belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payee {
    /// Which. Where the binding has none for it, any of its own: nothing that moves money is accepted then.
    pub(super) account: AccountId,
    /// What the gate decides on.
    pub(super) status: Result<AccountStatus, NoAccount>,
}

impl Switch {
    /// A terminal's binding as it is now, and whose a request's money would be.
    pub(super) fn present(
        &self,
        key: TerminalKey,
        paying: Paying,
    ) -> (Result<Option<Admission>, Undecidable>, Payee) {
        let found = self.directory.find(key);
        let payee = match found {
            Ok(Some(admission)) => self.payee(admission, paying),
            Ok(None) | Err(Undecidable) => Payee {
                account: AccountId(0),
                status: Ok(AccountStatus::Unverified),
            },
        };
        (found, payee)
    }

    fn payee(&self, admission: Admission, paying: Paying) -> Payee {
        let accounts = admission.accounts;
        let own = |account| Payee {
            account,
            status: Ok(self.directory.account(account)),
        };
        match paying.follows {
            Followed::Of(account) if accounts.contains(account) => own(account),
            // The binding settles elsewhere by now, or another terminal of the shop sold it: whether this one may
            // go on with it is a matter of its own accounts.
            Followed::Of(account) => Payee {
                account,
                ..own(self.best(admission))
            },
            Followed::Unseen => own(self.best(admission)),
            Followed::Nothing => match paid_into(admission, paying.paid) {
                Ok(account) => own(account),
                Err(none) => Payee {
                    account: accounts.first(),
                    status: Err(none),
                },
            },
        }
    }

    /// An account of the binding that may take money, if there is any.
    fn best(&self, admission: Admission) -> AccountId {
        let mut all = admission.accounts.iter().map(|(_, account)| account);
        let usable = all.find(|account| self.directory.account(*account).is_usable());
        usable.unwrap_or_else(|| admission.accounts.first())
    }
}

/// The account for what is paid so. Where the dialect cannot say, it is a card; but a binding with a single account
/// has nowhere else to go.
fn paid_into(admission: Admission, paid: Paid) -> Result<AccountId, NoAccount> {
    let accounts = admission.accounts;
    let kind = match paid {
        Paid::Unlisted => return Err(NoAccount::UnknownMeans),
        Paid::With(means) => AccountKind::paid_by(means),
        Paid::Untold => match accounts.only() {
            Some(account) => return Ok(account),
            None => AccountKind::BankCard,
        },
    };
    accounts.of(kind).ok_or(NoAccount::Of(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BindingId, MerchantId};
    use crate::binding::{Accounts, BindingState, HoldSet, ReasonSet, SerialPrint};

    #[test]
    fn money_goes_to_the_account_of_its_kind_or_nowhere() {
        use AccountKind::{Alipay, BankCard, WeChat};
        let check = |accounts: Accounts, paid, expect: Result<u32, NoAccount>| {
            let admission = Admission {
                binding: BindingId(1),
                version: 1,
                accounts,
                merchant: MerchantId::parse("M1").unwrap(),
                state: BindingState::Active,
                reasons: ReasonSet::EMPTY,
                holds: HoldSet::EMPTY,
                device: SerialPrint::NONE,
            };
            let found = paid_into(admission, paid);
            assert_eq!(found, expect.map(AccountId), "{accounts:?} {paid:?}");
        };
        let wallet = Accounts::one(WeChat, AccountId(7));
        let both = wallet.with(BankCard, AccountId(8));
        let wallets = wallet.with(Alipay, AccountId(9));
        check(both, Paid::With(Means::Card), Ok(8));
        check(both, Paid::With(Means::WeChat), Ok(7));
        check(both, Paid::With(Means::Alipay), Err(NoAccount::Of(Alipay)));
        check(
            wallet,
            Paid::With(Means::Card),
            Err(NoAccount::Of(BankCard)),
        );
        check(both, Paid::Unlisted, Err(NoAccount::UnknownMeans));
        check(wallet, Paid::Unlisted, Err(NoAccount::UnknownMeans));
        // A dialect that cannot say: as it was when a binding had one account.
        check(wallet, Paid::Untold, Ok(7));
        check(both, Paid::Untold, Ok(8));
        check(wallets, Paid::Untold, Err(NoAccount::Of(BankCard)));
    }
}
