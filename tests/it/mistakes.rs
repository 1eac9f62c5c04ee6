//! Broken dialect files: what the parser says of each, and what the schema says or why it cannot.

use posgate::iso8583::Dialect;

use super::schema::verdict;

/// Why a schema cannot tell a mistake.
#[derive(Clone, Copy, Debug)]
enum Silent {
    /// Something else in the file, or what it builds on, has to be looked up.
    Refers,
    /// Lengths have to be added up, or counted in units that another key names.
    Adds,
    /// Two of a list are the same in one part, or one takes all that another is for.
    Twice,
    /// It is TOML that the schema never sees: a parser gives it up.
    Syntax,
}

/// A mistake: the file it is made in, a piece of that and what is written instead, a part of what the parser says,
/// and a part of what the schema says, or why it cannot say anything.
type Mistake = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Result<&'static str, Silent>,
);

const SMALL: &str = "name = \"a\"\ntitle = \"a\"\n[framing]\nlength_bytes = 2\n[message]\nmti = \"ascii\"\n[fields]\n\
    3 = { en = \"code\", type = \"n\", max = 6 }\n48 = { en = \"x\", type = \"ans\", length = \"LLL\", max = 20 }\n\
    55 = { en = \"y\", type = \"b\", length = \"LLL\", max = 20 }\n[subfields.48]\nform = \"positional\"\n\
    parts.1 = { en = \"p\", type = \"n\", max = 6 }\n[subfields.55]\nform = \"ber-tlv\"\nparts.95 = { en = \"p\", type = \"b\" }\n";

/// Those of the parser's own tests, and what lies near them.
const MISTAKES: &[Mistake] = &[
    // What stands in the file as a whole.
    (
        "small",
        "name = \"a\"",
        "name = \"\"",
        "name is empty",
        Ok(".name does not look like"),
    ),
    (
        "small",
        "name = \"a\"",
        "name = \"../a b\"",
        "a letter or a digit first",
        Ok(".name does not look like"),
    ),
    (
        "small",
        "name = \"a\"\n",
        "",
        "name is missing",
        Ok(".name is missing"),
    ),
    (
        "small",
        "title = \"a\"",
        "titel = \"a\"",
        "did you mean `title`",
        Ok("titel is not in the schema"),
    ),
    (
        "small",
        "title = \"a\"",
        "title = 1",
        "title must be a text",
        Ok(".title is no"),
    ),
    (
        "small",
        "title = \"a\"",
        "title = \"a",
        "invalid basic string",
        Err(Silent::Syntax),
    ),
    (
        "small",
        "[framing]\nlength_bytes = 2",
        "",
        "framing is missing",
        Ok(".framing is missing"),
    ),
    (
        "small",
        "[framing]",
        "remove = [\"fields.3\"]\n[framing]",
        "remove leaves out",
        Ok(".remove breaks maxItems"),
    ),
    (
        "small",
        "[framing]",
        "extends = \"nobody\"\n[framing]",
        "there is no dialect",
        Err(Silent::Refers),
    ),
    (
        "small",
        "[framing]",
        "[defaults]\nrequired = [3]\n[framing]",
        "stands without a [[request]]",
        Ok(".request is missing"),
    ),
    // Framing.
    (
        "unionpay-pos",
        "length_bytes = 2",
        "length_bytes = 5",
        "must be from 1 to 4",
        Ok("length_bytes is out of range"),
    ),
    (
        "unionpay-pos",
        "length_bytes = 2",
        "length_bytes = 2\nlength_counts = [\"all\"]",
        "length_counts has any of",
        Ok("length_counts[] is none of"),
    ),
    (
        "unionpay-pos",
        "length_bytes = 2",
        "length_bytes = 2\nlength_counts = [\"prefix\", \"prefix\"]",
        "length_counts says \"prefix\" twice",
        Ok("says the same twice"),
    ),
    (
        "small",
        "[subfields.48]",
        "[subfields.47]",
        "subfields.47: no field 47 is defined",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "length_bytes = 2",
        "length_bytes = 2\nlength_place = \"behind\"",
        "length_place must be one of",
        Ok("length_place is none of"),
    ),
    (
        "small",
        "length_bytes = 2",
        "length_bytes = 2\nlength_place = \"after-tpdu\"",
        "there is nothing",
        Err(Silent::Refers),
    ),
    (
        "small",
        "length_bytes = 2",
        "length_encoding = \"ascii\"\nlength_bytes = 1",
        "no message is so short",
        Ok("length_bytes is out of range"),
    ),
    (
        "unionpay-pos",
        "header = \"603100310000\"",
        "header = \"60310031000\"",
        "bytes in hexadecimal",
        Ok(".header does not look like"),
    ),
    (
        "unionpay-pos",
        "tpdu = \"6000000000\"",
        "tpdu = \"600000\"",
        "tpdu has five bytes",
        Ok(".tpdu does not look like"),
    ),
    (
        "unionpay-pos",
        "\"sub-version:6:软件分版本号\"",
        "\"sub-version:5:软件分版本号\"",
        "name 11 nibbles",
        Err(Silent::Adds),
    ),
    (
        "small",
        "length_bytes = 2",
        "length_bytes = 2\nheader = \"0000\"\nheader_parts = [\"x:2\", \"y:2\"]\nheader_length = \"x\"",
        "two to four bytes",
        Err(Silent::Adds),
    ),
    (
        "small",
        "length_bytes = 2",
        "length_bytes = 2\nheader = \"0000\"\nheader_parts = [\"x:2\", \"x:2\"]",
        "another \"x\"",
        Err(Silent::Twice),
    ),
    (
        "small",
        "length_bytes = 2",
        "length_bytes = 2\nheader_length = \"x\"",
        "header_parts has no",
        Ok(".header_parts is missing"),
    ),
    // How things are written.
    (
        "unionpay-pos",
        "bitmaps = 1",
        "bitmaps = 1\nthird_bitmap = \"in-place\"",
        "write `bitmaps = 3` too",
        Ok(".bitmaps is out of range"),
    ),
    (
        "small",
        "mti = \"ascii\"",
        "mti = \"asci\"",
        "message.mti must be one of",
        Ok(".mti is none of"),
    ),
    // Fields.
    (
        "unionpay-pos",
        "type = \"n\", max = 6 }",
        "type = \"m\", max = 6 }",
        "fields.3.type must be one of",
        Ok(".type is none of"),
    ),
    (
        "unionpay-pos",
        "type = \"n\", max = 6 }",
        "type = \"n\" }",
        "fields.3.max is missing",
        Ok(".max is missing"),
    ),
    (
        "unionpay-pos",
        "type = \"n\", max = 6 }",
        "type = \"n\", maxx = 6, max = 6 }",
        "did you mean `max`?",
        Ok("maxx is not in the schema"),
    ),
    (
        "unionpay-pos",
        "length = \"LL\", max = 11",
        "length = \"LL\", max = 110",
        "does not fit the length prefix",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "length = \"LL\", max = 11",
        "length = \"LL\", max = 300",
        "does not fit the length prefix",
        Ok(".max is out of range"),
    ),
    (
        "unionpay-pos",
        "\n3 = {",
        "\n129 = {",
        "fields are named by their number",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "\n3 = {",
        "\n193 = {",
        "fields are named by their number",
        Ok("193 does not look like"),
    ),
    (
        "unionpay-pos",
        "\n3 = {",
        "\n1 = {",
        "fields are named by their number",
        Ok("fields.1 does not look like"),
    ),
    (
        "small",
        "\n3 = {",
        "\n03 = {",
        "fields are named by their number",
        Ok("fields.03 does not look like"),
    ),
    (
        "small",
        "en = \"code\"",
        "en = \" \"",
        "fields.3.en is empty",
        Ok(".en does not look like"),
    ),
    (
        "small",
        "en = \"code\"",
        "en = \"code\", zh = \"\"",
        "fields.3.zh is empty",
        Ok(".zh does not look like"),
    ),
    (
        "small",
        "max = 6 }",
        "max = 6, show = \"chip\" }",
        "chip data is BER-TLV",
        Ok(".type is none of"),
    ),
    (
        "unionpay-pos",
        "\"type:2:交易类型码\"",
        "\"type=2\"",
        "a part is a name and",
        Ok("parts[] does not look like"),
    ),
    (
        "small",
        "max = 6 }",
        "max = 6, parts = [\"a:6:\"] }",
        "a part is a name and",
        Ok("parts[] does not look like"),
    ),
    (
        "small",
        "max = 6 }",
        "max = 6, parts = [\"a:0\"] }",
        "a part is a name and",
        Ok("parts[] does not look like"),
    ),
    (
        "small",
        "max = 6 }",
        "max = 6, parts = [\"a:2\", \"a:4\"] }",
        "another part \"a\"",
        Err(Silent::Twice),
    ),
    (
        "small",
        "max = 6 }",
        "max = 6, parts = [\"a:7\"] }",
        "the field has 6 at most",
        Err(Silent::Adds),
    ),
    (
        "small",
        "max = 6 }",
        "max = 6, parts = [\"a:2\"] }",
        "the field always has 6",
        Err(Silent::Adds),
    ),
    (
        "unionpay-pos",
        "\"terminal id\"",
        "\"terminal id\", pad = \"up\"",
        "fields.41.pad must be one of",
        Ok(".pad is none of"),
    ),
    (
        "unionpay-pos",
        "type = \"ans\", max = 8 }",
        "type = \"ans\", max = 9 }",
        "plays terminal and must be fixed",
        Err(Silent::Refers),
    ),
    (
        "small",
        "[fields]",
        "[roles]\nstan = 4\nrrn = 4\n[fields]",
        "DE4 plays stan and rrn",
        Err(Silent::Twice),
    ),
    // How they divide.
    (
        "small",
        "[subfields.48]",
        "[subfields.5]",
        "no field 5 is defined",
        Err(Silent::Refers),
    ),
    (
        "small",
        "[subfields.48]",
        "[subfields.048]",
        "no field 048 is defined",
        Ok("048 does not look like"),
    ),
    (
        "small",
        "\"ber-tlv\"",
        "\"tlw\"",
        "form must be one of",
        Ok(".form is none of"),
    ),
    (
        "small",
        "form = \"positional\"",
        "",
        "form is missing",
        Ok(".form is missing"),
    ),
    (
        "small",
        "\"ber-tlv\"",
        "\"tlv\"\ntag_bytes = 2",
        "length_bytes is missing",
        Ok("length_bytes is missing"),
    ),
    (
        "small",
        "\"ber-tlv\"",
        "\"ber-tlv\"\ntag_bytes = 2",
        "unknown key",
        Ok(".form is none of"),
    ),
    (
        "small",
        "parts.1 = { en = \"p\", type = \"n\", max = 6 }",
        "",
        "parts is missing",
        Ok(".parts is missing"),
    ),
    (
        "small",
        "parts.1 =",
        "parts.2 =",
        "parts has no 1",
        Err(Silent::Refers),
    ),
    (
        "small",
        "parts.1 =",
        "parts.129 =",
        "a number from 1",
        Ok("129 does not look like"),
    ),
    (
        "small",
        "type = \"n\", max = 6 }\n[subf",
        "type = \"n\" }\n[subf",
        "max is missing",
        Ok(".max is missing"),
    ),
    (
        "small",
        "type = \"n\", max = 6 }\n[subf",
        "type = \"n\", max = 21 }\n[subf",
        "part 1 would end at 21",
        Err(Silent::Adds),
    ),
    (
        "small",
        "parts.95",
        "parts.9f26",
        "one whole BER tag",
        Ok("9f26 does not look like"),
    ),
    (
        "small",
        "parts.95",
        "parts.9F",
        "one whole BER tag",
        Ok("9F does not look like"),
    ),
    (
        "small",
        "\"ber-tlv\"\nparts.95 = { ",
        "\"bitmap\"\nbitmap_bytes = 3\nparts.25 = { max = 2, ",
        "the bitmap has 24 bits",
        Ok("25 does not look like"),
    ),
    (
        "small",
        "\"ber-tlv\"\nparts.95 = { ",
        "\"repeat\"\ncount_encoding = \"ascii\"\nparts.1 = { max = 2, ",
        "count_bytes is missing",
        Ok("count_bytes is missing"),
    ),
    // Requests and codes.
    (
        "unionpay-pos",
        "kind = \"enquiry\"",
        "kind = \"inquiry\"",
        "kind must be one of",
        Ok(".kind is none of"),
    ),
    (
        "unionpay-pos",
        "kind = \"enquiry\"\n",
        "",
        "kind is missing",
        Ok(".kind is missing"),
    ),
    (
        "unionpay-pos",
        "mti = \"0200\"",
        "mti = \"200\"",
        "a message type is four digits",
        Ok(".mti does not look like"),
    ),
    (
        "unionpay-pos",
        "fate = \"reverse\"\nbooks",
        "fate = \"expire\"\nbooks",
        "a new-money moves money",
        Ok(".fate is none of"),
    ),
    (
        "unionpay-pos",
        "required = [3, 11, 22",
        "required = [3, 10, 11, 22",
        "DE10 is not defined",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "required = [3, 11, 22",
        "required = [3, 11, 11, 22",
        "request[1].required names DE11 twice",
        Ok("says the same twice"),
    ),
    (
        "unionpay-pos",
        "required = [3, 11, 22",
        "required = [[3, 11, 22",
        "is not closed",
        Err(Silent::Syntax),
    ),
    (
        "unionpay-pos",
        "\"60.1\" = \"01\"",
        "\"60.9\" = \"01\"",
        "no field or part \"60.9\"",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "\"60.1\" = \"01\"",
        "\"60.1\" = \"011\"",
        "is not as long as",
        Err(Silent::Adds),
    ),
    (
        "unionpay-pos",
        "name = \"qr-sale\"",
        "name = \"balance-inquiry\"",
        "there is already a request",
        Err(Silent::Twice),
    ),
    (
        "as2805-style",
        "name = \"advice answer\"",
        "name = \"advice\"",
        "there is already a message type \"advice\"",
        Err(Silent::Twice),
    ),
    (
        "as2805-style",
        "match = [7, 11, 32]",
        "match = [7, 11, 32, 52]",
        "match: DE52 is secret",
        Err(Silent::Refers),
    ),
    (
        "small",
        "title = \"a\"",
        "title = \"a\"\ntitle = \"b\"",
        "`title` is written a second time",
        Err(Silent::Syntax),
    ),
    (
        "small",
        "[subfields.48]\nform = \"positional\"\nparts.1 = { en = \"p\", type = \"n\", max = 6 }",
        "[subfields.48]\nform = \"ber-tlv\"",
        "DE48 is divided by BER-TLV, which is bytes",
        Err(Silent::Refers),
    ),
    (
        "small",
        "parts.1 = { en = \"p\", type = \"n\", max = 6 }",
        "parts.1 = { en = \"p\", type = \"ans\", max = 6 }\n[subfields.\"48.1\"]\nform = \"ber-tlv\"",
        "part 1 is divided by BER-TLV, which is bytes",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        ", \"22\" = \"030|031|032\" }",
        " }",
        "is never reached",
        Err(Silent::Twice),
    ),
    (
        "unionpay-pos",
        "41, 42, 49, 59, 60, 61]",
        "41, 42, 49, 52, 60, 61]",
        "DE52 is secret",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "not-allowed = \"58\"",
        "not-allowed = \"04\"",
        "keep the card",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "timeout = \"98\"",
        "timeout = \"98!\"",
        "two letters or digits",
        Ok(".timeout does not look like"),
    ),
    (
        "unionpay-pos",
        "timeout = \"98\"",
        "timeout = \"980\"",
        "two letters or digits",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "timeout = \"98\"\n",
        "",
        "timeout is missing",
        Ok(".timeout is missing"),
    ),
    (
        "unionpay-pos",
        "captures_card = [\"04\"",
        "captures_card = [\"00\", \"04\"",
        "00 is in responses.approvals too",
        Err(Silent::Twice),
    ),
    (
        "unionpay-pos",
        "when = { \"3\" = \"310000\", \"25\" = \"00\", \"60.1\" = \"01\" }",
        "when = { \"3\" = \"31000X\", \"25\" = \"00\", \"60.1\" = \"01\" }",
        "\"31000X\" is never there: 3 holds digits",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "mti = \"0200\"\nwhen = { \"3\" = \"310000\"",
        "mti = \"0210\"\nwhen = { \"3\" = \"310000\"",
        "0210 is the type of an answer; its third digit must be even, as in \"0200\"",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "[reversal]\nmti = \"0400\"",
        "[reversal]\nmti = \"0410\"",
        "0410 is the type of an answer",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "fields = { \"60\" = \"00000000003\", \"63\" = \"01 \" }",
        "fields = { \"60\" = \"0000000000X\", \"63\" = \"01 \" }",
        "DE60 cannot hold these characters",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "fields = { \"60\" = \"00000000003\", \"63\" = \"01 \" }",
        "fields = { \"60\" = \"000000000030000000003\", \"63\" = \"01 \" }",
        "DE60 holds 17 at most",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "partial_approval = \"10\"",
        "partial_approval = \"51\"",
        "51 is not in responses.approvals",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "not_balanced = \"2\"",
        "not_balanced = \"1\"",
        "another result has this digit",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "answer_echo = [2, 3, 4, 11, 23, 25, 32, 41",
        "answer_echo = [2, 3, 4, 11, 23, 25, 32, 35, 41",
        "defaults.answer_echo: DE35 is secret and is not sent back",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "11, 14, 22, 23, 25, 32, 38, 41, 42, 49, 59, 60, 61]\n\n# ---- Money",
        "11, 14, 22, 23, 25, 32, 38, 41, 42, 49, 52, 59, 60, 61]\n\n# ---- Money",
        "defaults.reversal_copies: DE52 is secret and may not be kept for a reversal",
        Err(Silent::Refers),
    ),
    (
        "unionpay-pos",
        "window = \"168h\"",
        "window = \"1 week\"",
        "needs a number and a unit",
        Ok(".window does not look like"),
    ),
];

/// What is usable and doubtful: a piece of a sound file, what is written instead, and the warning.
const DOUBTS: &[(&str, &str, &str)] = &[
    (
        "type = \"ans\", length",
        "type = \"ans\", pad = \"left\", length",
        "9:38: warning: fields.48.pad is for fields of packed digits, and says nothing of this one",
    ),
    (
        "type = \"ans\", length",
        "type = \"ans\", digits = \"packed\", length",
        "fields.48.digits is for fields of type n or z, and",
    ),
    (
        "type = \"ans\", length",
        "type = \"ans\", bytes = \"hex\", length",
        "fields.48.bytes is for fields of type b, and",
    ),
    (
        "type = \"n\", max = 6 }",
        "type = \"n\", text = \"ebcdic\", lengths = \"binary\", max = 6 }",
        "fields.3.lengths is for fields with a length prefix, and",
    ),
    (
        "length_bytes = 2",
        "length_bytes = 2\ntpdu_answer = \"echo\"",
        "framing.tpdu_answer says nothing without framing.tpdu",
    ),
    (
        "length_bytes = 2",
        "length_bytes = 2\nheader_cleared_nibble = 1",
        "framing.header_cleared_nibble says nothing without framing.header",
    ),
    (
        "length_bytes = 2",
        "length_bytes = 2\nheader_answer = \"fixed\"",
        "framing.header_answer says nothing without framing.header",
    ),
    (
        "length_bytes = 2",
        "length_bytes = 1\nlength_encoding = \"binary\"",
        "a frame has at most 255 bytes, and DE48 alone may have 999",
    ),
    (
        "[subfields.48]",
        "[responses]\napprovals = [\"00\"]\n[subfields.48]",
        "responses names codes of DE39, which is not defined",
    ),
    (
        "length = \"LLL\", max = 20, show = \"chip\" }",
        "length = \"LLL\", max = 20 }",
        "warning: DE55 usually holds chip data and would be shown",
    ),
    (
        "48 = {",
        "45 = { en = \"track 1\", type = \"ans\", length = \"LL\", max = 76 }\n48 = {",
        "DE45 usually holds track 1 and would be shown",
    ),
    (
        "[subfields.48]",
        "34 = { en = \"x\", type = \"ans\", length = \"LL\", max = 28 }\n[subfields.48]",
        "DE34 usually holds the extended card number",
    ),
];

#[test]
fn what_is_doubtful_is_told_and_refuses_nothing() {
    let small = SMALL.replace("max = 20 }\n[sub", "max = 20, show = \"chip\" }\n[sub");
    let small = small.replacen(
        "type = \"ans\", length = \"LLL\", max = 20",
        "type = \"ans\", length = \"LLL\", max = 999",
        1,
    );
    let warnings = |text: &str| {
        let dialect = Dialect::parse("f", text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let told = dialect.warnings().iter().map(ToString::to_string);
        told.collect::<Vec<_>>()
    };
    assert_eq!(warnings(&small), [""; 0]);
    for (piece, instead, expect) in DOUBTS {
        assert!(small.contains(piece), "{piece}");
        let told = warnings(&small.replacen(piece, instead, 1));
        let found = told.iter().any(|warning| warning.contains(expect));
        assert!(found, "{expect:?} is not in {told:#?}");
    }
    let open =
        "45 = { en = \"x\", type = \"ans\", length = \"LL\", max = 76, show = \"open\" }\n48 = {";
    assert_eq!(warnings(&small.replacen("48 = {", open, 1)), [""; 0]);
}

#[test]
fn a_word_that_is_wrong_is_told_once() {
    for (piece, instead) in [
        (
            "mti = \"ascii\"",
            "mti = \"ascii\"\nbitmaps = 4\nthird_bitmap = \"in-place\"",
        ),
        (
            "3 = {",
            "2 = { en = \"card\", type = \"n\", length = \"LL\", max = 19, show = \"mask\" }\n3 = {",
        ),
    ] {
        assert!(SMALL.contains(piece));
        let told = Dialect::parse("f", &SMALL.replacen(piece, instead, 1)).unwrap_err();
        assert_eq!(told.len(), 1, "{told:#?}");
    }
    // One number is wrong for many fields; and what is not defined is told whatever else is wrong.
    let visa = Dialect::shipped_text("visa-base-i-style").unwrap();
    let told = Dialect::parse("f", &visa.replacen("bitmaps = 2", "bitmaps = 1", 1)).unwrap_err();
    let beyond = told
        .iter()
        .filter(|problem| problem.message.contains("fields are named"));
    assert_eq!(beyond.count(), 1, "{told:#?}");
    let unionpay = Dialect::shipped_text("unionpay-pos").unwrap();
    let wrong = unionpay
        .replacen("\"60.1\" = \"01\" }", "\"60.9\" = \"01\" }", 1)
        .replacen("serial = \"59.A2.02\"", "serial = \"59.A2.12\"", 1)
        .replacen("window = \"168h\"", "window = \"1 week\"", 1);
    let told = Dialect::parse("f", &wrong).unwrap_err();
    assert_eq!(told.len(), 3, "{told:#?}");
    // Inherited by every row.
    let text = Dialect::shipped_text("unionpay-pos").unwrap();
    let piece =
        "reversal_copies = [2, 3, 4, 11, 14, 22, 23, 25, 32, 38, 41, 42, 49, 59, 60, 61]\n\n";
    assert!(text.contains(piece));
    let told = Dialect::parse(
        "f",
        &text.replacen(piece, "reversal_copies = [2, 52]\n\n", 1),
    )
    .unwrap_err();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].line, 172, "{told:#?}");
}

#[test]
fn a_mistake_of_the_file_below_is_not_blamed_on_the_one_above() {
    let below = SMALL.replacen("max = 6", "max = 0", 1);
    let find = |_: &str| Some(("below".to_owned(), below.clone()));
    let above = "name = \"b\"\ntitle = \"b\"\nextends = \"a\"\n";
    let told = Dialect::parse_with("above", above, &find).unwrap_err();
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().all(|problem| problem.starts_with("below:8:38")),
        "{told:#?}"
    );
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[test]
fn a_row_that_changes_an_inherited_one_stands_once() {
    let row = "[[request]]\nname = \"sale\"\nmac = true\n";
    let text =
        |rows: &str| format!("name = \"b\"\ntitle = \"b\"\nextends = \"unionpay-pos\"\n{rows}");
    assert!(Dialect::parse("f", &text(row)).is_ok());
    let told = Dialect::parse("f", &text(&row.repeat(2))).unwrap_err();
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|problem| problem
            .starts_with("f:7:1: error: there is already one of the name \"sale\"")),
        "{told:#?}"
    );
}

/// What is otherwise than expected of a mistake.
fn otherwise((file, piece, instead, parser, schema): &Mistake) -> Option<String> {
    let sound = Dialect::shipped_text(file).unwrap_or(SMALL);
    assert!(sound.contains(piece), "{file}: {piece}");
    let text = sound.replacen(piece, instead, 1);
    let problems = Dialect::parse(file, &text).err().unwrap_or_default();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    if !problems.iter().any(|problem| problem.contains(parser)) {
        return Some(format!("{instead}: {parser:?} is not in {problems:#?}"));
    }
    let is_toml = text.parse::<toml::Table>().is_ok();
    let found = is_toml.then(|| verdict(&text)).flatten();
    match (schema, &found) {
        (Err(Silent::Syntax), _) => is_toml.then(|| format!("{instead}: is TOML")),
        (Err(_), None) => None,
        (Ok(expect), Some(found)) if found.contains(expect) => None,
        (schema, found) => Some(format!(
            "{instead}: the schema says {found:?}, not {schema:?}"
        )),
    }
}

#[test]
fn the_schema_tells_the_mistakes_that_a_schema_can() {
    let wrong: Vec<_> = MISTAKES.iter().filter_map(otherwise).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let told = MISTAKES.iter().filter(|mistake| mistake.4.is_ok()).count();
    assert!(told > 40, "{told} of {}", MISTAKES.len());
}
