//! What a customer pays with, as far as it decides which of a merchant's accounts gets the money.

/// A means of payment. A dialect file says where a message names it and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Means {
    /// A card, or anything else that clears as one.
    #[default]
    Card,
    /// The WeChat wallet.
    WeChat,
    /// The Alipay wallet.
    Alipay,
}

impl Means {
    /// All of them with their names in dialect files, which are those of the accounts that they are paid into.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("bank-card", Self::Card),
        ("wechat", Self::WeChat),
        ("alipay", Self::Alipay),
    ];
}
