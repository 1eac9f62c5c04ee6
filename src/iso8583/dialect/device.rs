//! Reads `[device]`: where a message says which device it comes from.

use std::collections::BTreeMap;

use crate::base::document::Section;
use crate::iso8583::message::Message;
use crate::iso8583::subfield::Layout;

use super::part_path::PartPath;

/// Where the serial number stands: a field, and in it a part of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRules {
    serial: PartPath,
}

impl DeviceRules {
    /// Hands the serial number to `read`, without blanks around it. `None` when the message has none, or the field
    /// breaks its layout.
    pub fn serial<R>(&self, message: &Message<'_>, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let found = self.serial.read(message, |serial| {
            let serial = serial.trim_ascii();
            (!serial.is_empty()).then(|| read(serial))
        });
        found.flatten()
    }
}

/// Reads `[device]`, as in `serial = "59.A2.02"`; a dialect may leave it out.
pub(super) fn rules(root: &Section<'_, '_>, layouts: &BTreeMap<u8, Layout>) -> Option<DeviceRules> {
    let section = root.section("device")?;
    let serial = section
        .required_text("serial", "59.A2.02")
        .and_then(|text| {
            let read = PartPath::parse(text.value, layouts);
            if read.is_none() {
                section.problems().dangling(
                    &text.span,
                    format!("no part \"{}\" is defined in [subfields]", text.value),
                );
            }
            read
        });
    section.finish();
    serial.map(|serial| DeviceRules { serial })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use crate::iso8583::Dialect;
    use crate::iso8583::index::Index;
    use crate::iso8583::mti::Mti;

    const UNIONPAY: &str = include_str!("../../../protocols/unionpay-pos/dialect.toml");

    fn check(de59: Option<&[u8]>, expect: Option<&str>) {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.envelope_default();
        writer.mti(Mti::parse("0200").unwrap());
        writer.text(41, b"T0000001");
        if let Some(de59) = de59 {
            writer.text(59, de59);
        }
        writer.finish().unwrap();
        let mut index = Index::new();
        let message = dialect.decode(&out[2..], &mut index).unwrap();
        let rules = dialect.device().unwrap();
        let serial = rules.serial(&message, |serial| {
            String::from_utf8_lossy(serial).into_owned()
        });
        assert_eq!(serial.as_deref(), expect);
    }

    #[test]
    fn the_serial_number_stands_where_the_dialect_says() {
        check(Some(b"A2016010020402004SN-1"), Some("SN-1"));
        check(Some(b"A1001xA2018010020402006SN-1  "), Some("SN-1"));
        check(Some(b"A2008010020402"), None);
        check(Some(b"A1001x"), None);
        check(Some(b"rubbish"), None);
        check(None, None);
    }

    #[test]
    fn a_part_that_no_layout_has_is_a_mistake() {
        let text = UNIONPAY.replacen("serial = \"59.A2.02\"", "serial = \"59.A2.09\"", 1);
        let problems = Dialect::parse("x", &text).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains("59.A2.09")));
    }
}
