//! What the four digits of a message type say (ISO 8583:1987 section 4.1, 1993 and 2003 section 4.2), and the
//! two languages in which this house speaks.

use crate::iso8583::Mti;

/// Language of names and texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// The text in this language; the English one where there is no Chinese.
    #[must_use]
    pub const fn of<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Self::Zh if !zh.is_empty() => zh,
            Self::En | Self::Zh => en,
        }
    }
}

/// What a message type says: `financial request, from the acquirer (ISO 8583:1987)`.
#[must_use]
pub fn mti(mti: Mti, language: Language) -> String {
    let [version, class, function, origin] = mti.ascii();
    let pick = |(en, zh): (&'static str, &'static str)| language.of(en, zh);
    let (version, class) = (pick(self::version(version)), pick(self::class(class)));
    let (function, origin) = (pick(self::function(function)), pick(self::origin(origin)));
    match language {
        Language::En => format!("{class} {function}, {origin} ({version})"),
        Language::Zh => format!("{class}{function},{origin}({version})"),
    }
}

const fn version(digit: u8) -> (&'static str, &'static str) {
    match digit {
        b'0' => ("ISO 8583:1987", "ISO 8583:1987"),
        b'1' => ("ISO 8583:1993", "ISO 8583:1993"),
        b'2' => ("ISO 8583:2003", "ISO 8583:2003"),
        b'8' => ("national version", "国家版本"),
        b'9' => ("private version", "自定义版本"),
        _ => ("reserved version", "保留版本"),
    }
}

const fn class(digit: u8) -> (&'static str, &'static str) {
    match digit {
        b'1' => ("authorisation", "授权类"),
        b'2' => ("financial", "金融类"),
        b'3' => ("file action", "文件操作类"),
        b'4' => ("reversal or chargeback", "冲正类"),
        b'5' => ("reconciliation", "对账类"),
        b'6' => ("administrative", "管理类"),
        b'7' => ("fee collection", "收费类"),
        b'8' => ("network management", "网络管理类"),
        _ => ("reserved class", "保留类"),
    }
}

const fn function(digit: u8) -> (&'static str, &'static str) {
    match digit {
        b'0' => ("request", "请求"),
        b'1' => ("request response", "请求应答"),
        b'2' => ("advice", "通知"),
        b'3' => ("advice response", "通知应答"),
        b'4' => ("notification", "告知"),
        b'5' => ("notification acknowledgement", "告知确认"),
        b'6' => ("instruction", "指令"),
        b'7' => ("instruction acknowledgement", "指令确认"),
        _ => ("reserved function", "保留功能"),
    }
}

const fn origin(digit: u8) -> (&'static str, &'static str) {
    match digit {
        b'0' => ("from the acquirer", "收单方发起"),
        b'1' => ("from the acquirer, repeated", "收单方重发"),
        b'2' => ("from the issuer", "发卡方发起"),
        b'3' => ("from the issuer, repeated", "发卡方重发"),
        b'4' => ("from another party", "其他方发起"),
        b'5' => ("from another party, repeated", "其他方重发"),
        _ => ("reserved origin", "保留来源"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_type_is_put_in_words() {
        let check = |digits: &str, en: &str, zh: &str| {
            let parsed = Mti::parse(digits).unwrap();
            assert_eq!(mti(parsed, Language::En), en);
            assert_eq!(mti(parsed, Language::Zh), zh);
        };
        check(
            "0200",
            "financial request, from the acquirer (ISO 8583:1987)",
            "金融类请求,收单方发起(ISO 8583:1987)",
        );
        check(
            "1421",
            "reversal or chargeback advice, from the acquirer, repeated (ISO 8583:1993)",
            "冲正类通知,收单方重发(ISO 8583:1993)",
        );
        check(
            "9999",
            "reserved class reserved function, reserved origin (private version)",
            "保留类保留功能,保留来源(自定义版本)",
        );
    }

    #[test]
    fn what_has_no_chinese_name_keeps_the_english_one() {
        assert_eq!(Language::Zh.of("amount", ""), "amount");
        assert_eq!(Language::Zh.of("amount", "金额"), "金额");
    }
}
