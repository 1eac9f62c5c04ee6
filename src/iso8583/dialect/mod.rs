//! A dialect: everything the gateway knows about one kind of message, read from one file.
//!
//! Compiled once, then shared and never changed. The shipped ones are part of the program; a configured
//! directory adds to them or replaces them.

mod code_entry;
mod device;
mod fields;
mod means;
mod parse;
mod part_path;
mod requests;
mod roles;
mod rules;
mod settings;
mod settlement;
mod sizes;
mod staff_refund;
mod subfields;
mod table;
mod variant;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::base::document::Problem;

use super::codes::{CodeText, Codes, DeclineCode, ResponseCode};
use super::fieldset::FieldSet;
use super::match_key::Matching;
use super::message::Message;
use super::mti::Mti;
use super::request::{MessageRule, Request, Rows, Served};
use super::subfield::Layout;

pub use code_entry::{CodeEntryRules, EnteredCode};
pub use device::DeviceRules;
pub use means::MeansRules;
pub use rules::{
    AmountParts, EnvelopeAnswer, Framing, HeaderPart, LengthPlace, NetworkMessage, NetworkRules,
    OriginalRoles, RepeatRules, ReversalRules, Roles,
};
pub use settlement::SettlementRules;
pub use staff_refund::StaffRefundRules;
pub(super) use table::Prefix;
use table::Table;
pub(super) use table::{Class, FieldSpec, Kind, Pad, Runs};
pub use table::{Exposure, Field, FieldType, PartName, SubField};
pub use variant::{Scope, Variation, Writing};

/// How the message type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MtiEncoding {
    /// Four packed digits in two bytes.
    Packed,
    /// Four ASCII digits.
    Ascii,
    /// Four EBCDIC digits.
    Ebcdic,
}

impl MtiEncoding {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Packed => 2,
            Self::Ascii | Self::Ebcdic => 4,
        }
    }
}

/// How bitmaps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitmapEncoding {
    /// Eight bytes.
    Binary,
    /// Sixteen hexadecimal digits in ASCII.
    Hex,
    /// Sixteen hexadecimal digits in EBCDIC.
    EbcdicHex,
}

impl BitmapEncoding {
    pub(super) const fn bytes(self) -> u16 {
        match self {
            Self::Binary => 8,
            Self::Hex | Self::EbcdicHex => 16,
        }
    }
}

/// Where the third bitmap stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThirdBitmap {
    /// Nowhere: DE65 is not used.
    None,
    /// Right behind the second.
    AfterSecond,
    /// In the place of DE65, behind DE64.
    InPlace,
}

/// What a dialect file says, compiled. Immutable; shared as `Arc<Dialect>`.
#[derive(Clone)]
pub struct Dialect {
    name: String,
    title: String,
    framing: Framing,
    envelope_bytes: u16,
    mti: MtiEncoding,
    bitmap: BitmapEncoding,
    bitmaps: u8,
    third: ThirdBitmap,
    table: Table,
    layouts: BTreeMap<u8, Layout>,
    roles: Roles,
    rows: Rows,
    messages: Vec<MessageRule>,
    matching: Matching,
    answer_echo: FieldSet,
    codes: Codes,
    reversal: ReversalRules,
    repeats: RepeatRules,
    settlement: Option<SettlementRules>,
    code_entry: Option<CodeEntryRules>,
    staff_refund: Option<StaffRefundRules>,
    device: Option<DeviceRules>,
    means: Option<MeansRules>,
    network: NetworkRules,
    warnings: Vec<Problem>,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialect({})", self.name)
    }
}

/// Names, and with them the texts, of the files in `protocols/`.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        const NAMES: &[&str] = &[$($name),+];
        const SHIPPED: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../protocols/", $name, "/dialect.toml")),
        )),+];
    };
}

shipped![
    "unionpay-pos",
    "iso8583-1987-ascii",
    "iso8583-1987-binary",
    "iso8583-1987-hex",
    "iso8583-1993-ascii",
    "iso8583-1993-binary",
    "iso8583-2003-ascii",
    "visa-base-i-style",
    "mastercard-style",
    "as2805-style",
];

impl Dialect {
    /// Reads a dialect file. `file` is the name used in problems.
    ///
    /// # Errors
    /// Every mistake in the file, in its order, warnings among them.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Self::parse_with(file, text, &|_| None)
    }

    /// Like [`parse`](Self::parse), for a file that may build on dialects that are not shipped: `find` gives
    /// the file's name and the text of such a one. What it does not know is looked for among the shipped.
    ///
    /// # Errors
    /// Every mistake in the file and in those it builds on.
    pub fn parse_with(
        file: &str,
        text: &str,
        find: &dyn Fn(&str) -> Option<(String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        parse::dialect(file, text, &|name| {
            find(name).or_else(|| Self::shipped_file(name))
        })
    }

    /// The name that a dialect file gives itself, whatever else may be wrong with it.
    #[must_use]
    pub fn name_in(text: &str) -> Option<String> {
        parse::own_name("", text)
    }

    /// Every key that reading the file asks for, with the path of its table: what the schema of dialect files
    /// is held against.
    #[must_use]
    pub fn keys(file: &str, text: &str) -> Vec<(String, &'static str)> {
        parse::keys(file, text, &Self::shipped_file)
    }

    fn shipped_file(name: &str) -> Option<(String, String)> {
        let text = Self::shipped_text(name)?;
        Some((format!("protocols/{name}/dialect.toml"), text.to_owned()))
    }

    /// A dialect that is part of the program, compiled at its first use.
    #[must_use]
    pub fn shipped(name: &str) -> Option<Arc<Self>> {
        static COMPILED: [OnceLock<Option<Arc<Dialect>>>; SHIPPED.len()] =
            [const { OnceLock::new() }; SHIPPED.len()];
        let mut all = SHIPPED.iter().zip(&COMPILED);
        let ((name, text), slot) = all.find(|((known, _), _)| *known == name)?;
        // A shipped file with a mistake is caught by a test of this module.
        slot.get_or_init(|| Self::parse(name, text).ok().map(Arc::new))
            .clone()
    }

    /// Names of the dialects that are part of the program.
    #[must_use]
    pub const fn shipped_names() -> &'static [&'static str] {
        NAMES
    }

    /// Text of a shipped dialect's file, to be shown or copied as a start.
    #[must_use]
    pub fn shipped_text(name: &str) -> Option<&'static str> {
        SHIPPED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| *text)
    }

    /// Name, as settings refer to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line on what the dialect is.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What was doubtful in the file, though usable.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether a gateway can serve it: it says which message is which request. Without that it decodes and
    /// encodes only.
    #[must_use]
    pub fn serves(&self) -> bool {
        !self.rows.requests().is_empty()
    }

    /// What stands around a message on the stream.
    #[must_use]
    pub const fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Which data element plays which part.
    #[must_use]
    pub const fn roles(&self) -> &Roles {
        &self.roles
    }

    /// A field as people know it.
    #[must_use]
    pub fn field(&self, de: u8) -> Option<&Field> {
        self.table.field(de)
    }

    /// Fields that everybody may see.
    #[must_use]
    pub const fn open_fields(&self) -> FieldSet {
        self.table.open()
    }

    /// All fields, ascending.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        self.table.fields()
    }

    /// How a field's value divides into parts, when the dialect says it.
    #[must_use]
    pub fn layout(&self, de: u8) -> Option<&Layout> {
        self.layouts.get(&de)
    }

    /// The handle of a sub-field written as `"60.2"`, or of a whole field written as `"3"`.
    #[must_use]
    pub fn sub_field(&self, text: &str) -> Option<SubField> {
        fields::sub_field(&self.table, text)
    }

    /// The first `[[request]]` whose message type and conditions match.
    #[must_use]
    pub fn classify(&self, message: &Message<'_>) -> Option<&Request> {
        self.rows.classify(message)
    }

    /// All `[[request]]` rows, in the order of the file.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        self.rows.requests()
    }

    /// What messages of that type must and must not carry, whatever business they are.
    #[must_use]
    pub fn message_rule(&self, mti: Mti) -> Option<&MessageRule> {
        self.messages.iter().find(|rule| rule.mtis.contains(&mti))
    }

    /// The fields in which answers of the type's class equal their requests; none where the dialect does not
    /// say, and trace number and terminal id are meant.
    #[must_use]
    pub fn matched(&self, mti: Mti) -> FieldSet {
        self.matching.of(mti)
    }

    /// The first request that goes upstream whose answer, or that of its reversal, is matched without the
    /// terminal id: its name, and the fields. Such answers need trace numbers that nobody else in the group uses.
    #[must_use]
    pub fn matched_without_terminal(&self) -> Option<(&str, FieldSet)> {
        let forwarded = self
            .requests()
            .iter()
            .filter(|row| row.served == Served::Forward);
        let types = forwarded.flat_map(|row| row.mtis.iter().map(|mti| (row.name.as_str(), *mti)));
        types
            .chain([("our own reversal", self.reversal.mti)])
            .map(|(name, mti)| (name, self.matched(mti)))
            .find(|(_, fields)| !fields.is_empty() && !fields.contains(self.roles.terminal))
    }

    /// The row with that name.
    #[must_use]
    pub fn request(&self, name: &str) -> Option<&Request> {
        self.requests().iter().find(|row| row.name == name)
    }

    /// Fields that an answer copies from a request that no row describes.
    #[must_use]
    pub const fn answer_echo(&self) -> FieldSet {
        self.answer_echo
    }

    /// The code by which a message of that type is accepted: an approval, or what reversals and network management
    /// have instead.
    #[must_use]
    pub fn accepted(&self, mti: Mti) -> ResponseCode {
        self.codes.accepted(mti)
    }

    /// Whether the code says yes to a message of that type.
    #[must_use]
    pub fn accepts(&self, mti: Mti, code: ResponseCode) -> bool {
        self.is_approval(code) || code == self.accepted(mti)
    }

    /// The digits of local date and time that a field has, out of `YYYYMMDDhhmmss`; `None` of a field that has
    /// neither. Where one field plays both time and date it ends with the seconds and begins as early as it is long.
    #[must_use]
    pub fn local_digits<'s>(&self, de: u8, stamp: &'s [u8; 14]) -> Option<&'s [u8]> {
        let (date, time) = stamp.split_at(8);
        match (de == self.roles.date, de == self.roles.time) {
            _ if de == 0 => None,
            (true, true) => {
                let digits = usize::from(self.field(de)?.max);
                stamp.get(stamp.len().checked_sub(digits)?..)
            }
            (true, false) => date.get(4..),
            (false, true) => Some(time),
            (false, false) => None,
        }
    }

    /// Whether the code means that money moved.
    #[must_use]
    pub fn is_approval(&self, code: ResponseCode) -> bool {
        self.codes.approvals.contains(&code)
    }

    /// Whether the code approves the amount in the answer rather than the one asked for.
    #[must_use]
    pub fn is_partial_approval(&self, code: ResponseCode) -> bool {
        self.codes.partial == Some(code)
    }

    /// Whether a reversal answered with this code is done with.
    #[must_use]
    pub fn acknowledges_reversal(&self, code: ResponseCode) -> bool {
        self.codes.acknowledgements.contains(&code)
    }

    /// Whether the code says that there was no original to undo. Until the original can no longer arrive
    /// that proves nothing.
    #[must_use]
    pub fn finds_no_original(&self, code: ResponseCode) -> bool {
        self.codes.not_found.contains(&code)
    }

    /// What the code means, when the dialect knows it.
    #[must_use]
    pub fn text_of(&self, code: ResponseCode) -> Option<&CodeText> {
        self.codes.text_of(&code.characters())
    }

    /// What the characters of DE39 mean, also where a dialect has three of them.
    #[must_use]
    pub fn text_of_code(&self, code: &[u8]) -> Option<&CodeText> {
        self.codes.text_of(code)
    }

    /// The code by which this dialect tells why the gateway declines.
    #[must_use]
    pub fn decline(&self, why: DeclineCode) -> ResponseCode {
        self.codes.decline(why)
    }

    /// How this dialect reverses.
    #[must_use]
    pub const fn reversal(&self) -> &ReversalRules {
        &self.reversal
    }

    /// What makes a request a repeat.
    #[must_use]
    pub const fn repeats(&self) -> &RepeatRules {
        &self.repeats
    }

    /// Where totals and lines of a batch stand, when the dialect has them.
    #[must_use]
    pub const fn settlement(&self) -> Option<&SettlementRules> {
        self.settlement.as_ref()
    }

    /// How a code is entered at a terminal, when the dialect has a message for it.
    #[must_use]
    pub const fn code_entry(&self) -> Option<&CodeEntryRules> {
        self.code_entry.as_ref()
    }

    /// How a refund is written that members of staff make, when the dialect says it.
    #[must_use]
    pub const fn staff_refund(&self) -> Option<&StaffRefundRules> {
        self.staff_refund.as_ref()
    }

    /// Where a message says which device it comes from, when the dialect knows.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceRules> {
        self.device.as_ref()
    }

    /// How a message names its means of payment, when the dialect knows.
    #[must_use]
    pub const fn means(&self) -> Option<&MeansRules> {
        self.means.as_ref()
    }

    /// What the gateway itself sends upstream.
    #[must_use]
    pub const fn network(&self) -> &NetworkRules {
        &self.network
    }

    pub(super) const fn envelope_bytes(&self) -> u16 {
        self.envelope_bytes
    }

    pub(super) const fn mti_encoding(&self) -> MtiEncoding {
        self.mti
    }

    pub(super) const fn bitmap_encoding(&self) -> BitmapEncoding {
        self.bitmap
    }

    /// Most bitmaps of a message.
    pub(super) const fn bitmap_count(&self) -> u8 {
        self.bitmaps
    }

    pub(super) const fn third_place(&self) -> ThirdBitmap {
        self.third
    }

    /// Fields that there are: never a bitmap.
    pub(super) const fn defined(&self) -> FieldSet {
        self.table.defined()
    }

    /// The runs of the bitmap whose first field is DE `base + 1`.
    #[inline(always)]
    pub(super) const fn runs(&self, base: u8) -> &Runs {
        self.table.runs(base)
    }

    #[inline(always)]
    pub(super) fn spec(&self, de: u8) -> &FieldSpec {
        self.table.spec(de)
    }

    /// Like [`spec`](Self::spec), with the further bitmaps as DE1 and DE65: fixed bytes without a prefix.
    pub(super) fn wire_spec(&self, de: u8) -> FieldSpec {
        if de == 1 || de == 65 {
            return FieldSpec::new(Kind::Bytes, Prefix::Fixed, Pad::Right, self.bitmap.bytes());
        }
        *self.table.spec(de)
    }
}

#[cfg(test)]
mod tests;
