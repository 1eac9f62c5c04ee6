//! Reads `[staff_refund]`: how a refund is written that members of staff make, without card and terminal.

use crate::base::document::Section;
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::mti::Mti;

use super::fields;
use super::settings::{fixed_fields, request_mti};
use super::table::{Exposure, Table};

/// What a refund takes from its original, and what stands in it always. Amount, trace number, times, the numbers that
/// the upstream gave the original, and the original's name are written by whoever makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffRefundRules {
    /// Message type.
    pub mti: Mti,
    /// Fields that are copied from the original, as far as the journal may keep them.
    pub copies: FieldSet,
    /// Fields that always have the same value, ascending.
    pub fixed: Vec<(u8, Vec<u8>)>,
}

/// Reads `[staff_refund]`; where it is absent, staff refund nothing in this dialect.
pub(super) fn rules(root: &Section<'_, '_>, table: &Table) -> Option<StaffRefundRules> {
    let section = root.section("staff_refund")?;
    let mti = request_mti(&section, "mti", "0220");
    let copies = fields::set(&section, "copies", table);
    let secret = |de: &u8| {
        let field = table.field(*de);
        field.is_some_and(|field| field.exposure == Exposure::Secret)
    };
    if let Some(de) = copies.unwrap_or_default().iter().find(secret) {
        let message = format!(
            "staff_refund.copies: DE{de} is secret, of which nothing is kept; leave it out"
        );
        section
            .problems()
            .error(&section.span_of("copies"), message);
    }
    let fixed = fixed_fields(&section, table);
    section.finish();
    Some(StaffRefundRules {
        mti: mti?,
        copies: copies.unwrap_or_default(),
        fixed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::Dialect;

    #[test]
    fn the_shipped_dialects_say_how_staff_refund_and_nobody_copies_what_is_secret() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let rules = dialect.staff_refund().unwrap();
        assert_eq!(rules.mti, Mti::parse("0220").unwrap());
        assert!(rules.copies.contains(2) && !rules.copies.contains(35));
        let fixed: Vec<_> = rules.fixed.iter().map(|(de, _)| *de).collect();
        assert_eq!(fixed, [3, 22, 60, 63]);
        // What extends another dialect refunds as that one does.
        let extended = Dialect::shipped("iso8583-1987-binary").unwrap();
        assert!(extended.staff_refund().is_some());

        let text = Dialect::shipped_text("unionpay-pos").unwrap();
        let secret = text.replace("copies = [2, 14, 23,", "copies = [2, 14, 23, 35,");
        assert_ne!(secret, text);
        let problems = Dialect::parse("unionpay-pos.toml", &secret).unwrap_err();
        let told = format!("{problems:?}");
        assert!(told.contains("DE35 is secret"), "{told}");
    }
}
