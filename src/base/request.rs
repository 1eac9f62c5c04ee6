//! What a request wants, in the words of the binding rules: the rows of the gate's table.

/// Kind of request as far as the gate cares. A dialect file maps its messages onto these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestType {
    /// Line test.
    Echo,
    /// Terminal signs on and gets the open batch (and, later, its work keys).
    SignOn,
    /// Terminal signs off.
    SignOff,
    /// Brings a code that somebody was sent.
    CodeEntry,
    /// Download of master keys or of parameters.
    Download,
    /// Balance and other enquiries that move no money.
    Enquiry,
    /// New money: sale, QR payment, pre-authorisation, load.
    NewMoney,
    /// Completion of a pre-authorisation, as request or notice.
    Completion,
    /// Undoes an earlier transaction on the customer's wish: void of sale, of pre-authorisation, of completion.
    Void,
    /// Gives money back for an earlier transaction.
    Refund,
    /// Undoes a request whose answer the terminal did not get or could not accept.
    Reversal,
    /// Asks for the result of a QR payment.
    QrQuery,
    /// Offline transaction notices and batch upload.
    Advice,
    /// End of batch.
    Settlement,
    /// Issuer-script result or electronic signature that follows a transaction.
    Trailer,
}

impl RequestType {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 15] = [
        Self::Echo,
        Self::SignOn,
        Self::SignOff,
        Self::CodeEntry,
        Self::Download,
        Self::Enquiry,
        Self::NewMoney,
        Self::Completion,
        Self::Void,
        Self::Refund,
        Self::Reversal,
        Self::QrQuery,
        Self::Advice,
        Self::Settlement,
        Self::Trailer,
    ];

    /// The name used in dialect files, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::SignOn => "sign-on",
            Self::SignOff => "sign-off",
            Self::CodeEntry => "code-entry",
            Self::Download => "download",
            Self::Enquiry => "enquiry",
            Self::NewMoney => "new-money",
            Self::Completion => "completion",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Reversal => "reversal",
            Self::QrQuery => "qr-query",
            Self::Advice => "advice",
            Self::Settlement => "settlement",
            Self::Trailer => "trailer",
        }
    }

    /// The type with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How what it books comes into a payout.
    #[must_use]
    pub const fn payout(self) -> PayoutPart {
        match self {
            Self::NewMoney | Self::Completion | Self::Advice => PayoutPart::Adds,
            Self::Void | Self::Refund => PayoutPart::WithOriginal,
            Self::Echo
            | Self::SignOn
            | Self::SignOff
            | Self::CodeEntry
            | Self::Download
            | Self::Enquiry
            | Self::Reversal
            | Self::QrQuery
            | Self::Settlement
            | Self::Trailer => PayoutPart::Nothing,
        }
    }

    /// Whether it books an amount, so that its settlement can be held.
    #[must_use]
    pub const fn moves_money(self) -> bool {
        !matches!(self.payout(), PayoutPart::Nothing)
    }

    /// Whether the request needs a signed-on terminal: everything but line tests, signing on and off,
    /// codes and downloads (terminals are activated and fetch keys before they can sign on), and reversals, which
    /// always pass.
    #[must_use]
    pub const fn needs_sign_on(self) -> bool {
        match self {
            Self::Echo
            | Self::SignOn
            | Self::SignOff
            | Self::CodeEntry
            | Self::Download
            | Self::Reversal => false,
            Self::Enquiry
            | Self::NewMoney
            | Self::Completion
            | Self::Void
            | Self::Refund
            | Self::QrQuery
            | Self::Advice
            | Self::Settlement
            | Self::Trailer => true,
        }
    }
}

/// How what a request books comes into a payout. The one place that says it: the gate asks it when a request is held, the
/// switch when it is journalled, the settlement file when it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayoutPart {
    /// It adds to the payout, and waits by itself where that is held.
    Adds,
    /// It waits with what it follows, and is paid with that: a void that waited alone would leave its sale to be paid
    /// out.
    WithOriginal,
    /// It books nothing.
    Nothing,
}

/// What happens to a forwarded request whose fate is unknown (invariant 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is reversed.
    Reverse,
    /// It is sent again with the same identity until answered, and never reversed.
    Repeat,
    /// Nothing: it moves no money.
    Expire,
}

impl Fate {
    /// The name used in dialect files and in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reverse => "reverse",
            Self::Repeat => "repeat",
            Self::Expire => "expire",
        }
    }

    /// The fate with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Reverse, Self::Repeat, Self::Expire]
            .into_iter()
            .find(|fate| fate.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for kind in RequestType::ALL {
            assert_eq!(RequestType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Fate::from_name("repeat"), Some(Fate::Repeat));
        assert_eq!(RequestType::from_name("sale"), None);
    }
}
