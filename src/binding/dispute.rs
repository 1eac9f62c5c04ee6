//! How a dispute about a transaction ends.

use super::named::named_enum;

named_enum!(
    /// How a dispute ends.
    DisputeEnd {
        /// The merchant keeps the money.
        Won = "won",
        /// The money went back, by the network.
        Lost = "lost",
        /// Nobody contests it any more.
        Withdrawn = "withdrawn",
    }
);
