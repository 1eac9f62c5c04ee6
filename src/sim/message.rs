//! The requests a simulated terminal sends, in any shipped dialect.
//!
//! Card numbers here come from the test range 622848 9999...; no message carries a real one.

use std::sync::Arc;

use bytes::BytesMut;

use crate::base::{BatchNumber, MerchantId, Stan, TerminalId};
use crate::iso8583::{
    Dialect, EncodeError, FieldSet, FieldType, Index, Mti, ResponseCode, Writer, original_elements,
};

/// Who a terminal says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// DE41.
    pub terminal: TerminalId,
    /// DE42.
    pub merchant: MerchantId,
}

/// Where a request stands in the terminal's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) batch: BatchNumber,
    pub(crate) stan: Stan,
}

/// What the terminal knows of an earlier, approved request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earlier {
    pub(crate) place: Place,
    pub(crate) minor: u64,
    /// DE37 and DE38 of its answer; blank when the answer had none.
    pub(crate) rrn: [u8; 12],
    pub(crate) approval_code: [u8; 6],
}

/// Local time as the terminal's messages carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    /// Year.
    pub(crate) year: u64,
    /// Month and day, MMDD.
    pub(crate) date: u64,
    /// Hour, minute and second, hhmmss.
    pub(crate) time: u64,
}

impl LocalTime {
    /// Date and time as the dialect's field for both has them: `YYMMDDhhmmss`, or with the whole year.
    pub(crate) fn joined(self, dialect: &Dialect) -> u64 {
        let digits = dialect
            .field(dialect.roles().time)
            .map_or(0, |field| field.max);
        let year = if digits < 14 {
            self.year % 100
        } else {
            self.year
        };
        (year * 10_000 + self.date) * 1_000_000 + self.time
    }
}

/// The fields that differ between the dialects' terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// DE60 names type, batch and management code; DE61 the original; no date and time in requests.
    UnionPay,
    /// DE7, 12 and 13 are sent; DE70 names the management code, DE90 the original.
    Iso1987,
    /// DE12 has date and time; DE24 says what is asked for, DE56 names the original.
    Iso1993,
}

/// Writes a terminal's requests in one dialect.
#[derive(Clone, Debug)]
pub struct Phrases {
    dialect: Arc<Dialect>,
    form: Form,
    /// Message type of a sale: of the authorisation where the network has no other.
    sale: Mti,
    /// What a sale must have.
    required: FieldSet,
}

const CARD: &[u8] = b"6228489999000000018";
const TRACK2: &[u8] = b"6228489999000000018=301210100000000";
const EXPIRY: u64 = 3012;
/// Swiped, no PIN.
const ENTRY_MODE: u64 = 22;
/// The same in twelve characters: attended, on premises, card present, magnetic stripe, no cardholder authentication.
const POINT_OF_SERVICE: &[u8] = b"211101200130";
/// The customer's code, no PIN.
const CODE_SHOWN: u64 = 32;
/// A code as WeChat wallets show it.
const WALLET_CODE: &str = "134567890123456789";
const CURRENCY: &[u8] = b"156";
/// DE32 where a network wants to know who asks.
const ACQUIRER: &[u8] = b"100001";

impl Phrases {
    /// Phrases in this dialect: UnionPay's when it has batch numbers, those of ISO 8583:1993 when one field has
    /// date and time, else plain ISO 8583:1987.
    #[must_use]
    pub fn new(dialect: Arc<Dialect>) -> Self {
        let form = if dialect.roles().batch.is_some() {
            Form::UnionPay
        } else if dialect.roles().time == dialect.roles().date {
            Form::Iso1993
        } else {
            Form::Iso1987
        };
        let sale = dialect
            .request("sale")
            .or_else(|| dialect.request("authorisation"));
        Self {
            form,
            sale: sale
                .and_then(|row| row.mtis.first().copied())
                .unwrap_or(Finance::SALE.mti),
            required: sale.map_or(FieldSet::EMPTY, |row| row.required),
            dialect,
        }
    }

    /// The dialect.
    #[must_use]
    pub const fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// Whether a terminal that is answered so is signed on.
    pub(crate) fn signs_on(&self, code: ResponseCode) -> bool {
        self.dialect.accepts(mti(0x0800), code)
    }

    pub(crate) fn sign_on(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        let mut w = self.begin(
            out,
            match self.form {
                Form::UnionPay | Form::Iso1987 => mti(0x0800),
                Form::Iso1993 => self.of_version(mti(0x0804)),
            },
        );
        match self.form {
            Form::UnionPay => {
                w.number(11, at.stan.get().into());
                who.write(&mut w);
                w.digits(60, format!("00{}001", at.batch).as_bytes());
                w.text(63, b"01 ");
            }
            Form::Iso1987 => {
                write_times(&mut w, at.stan, now);
                who.write(&mut w);
                w.number(70, 1);
            }
            Form::Iso1993 => {
                self.write_joined_times(&mut w, at.stan, now);
                w.number(24, 801);
                who.write(&mut w);
            }
        }
        w.finish()
    }

    /// Ends the terminal's batch.
    pub(crate) fn sign_off(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        match self.form {
            Form::UnionPay => {
                let mut w = self.begin(out, mti(0x0820));
                w.number(11, at.stan.get().into());
                who.write(&mut w);
                w.digits(60, format!("00{}002", at.batch).as_bytes());
                w.finish()
            }
            Form::Iso1987 => {
                let mut w = self.begin(out, mti(0x0800));
                write_times(&mut w, at.stan, now);
                who.write(&mut w);
                w.number(70, 2);
                w.finish()
            }
            Form::Iso1993 => {
                let mut w = self.begin(out, self.of_version(mti(0x0804)));
                self.write_joined_times(&mut w, at.stan, now);
                w.number(24, 802);
                who.write(&mut w);
                w.finish()
            }
        }
    }

    /// A sale.
    pub(crate) fn sale(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        minor: u64,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        self.finance(
            out,
            who,
            at,
            now,
            &Finance {
                minor: Some(minor),
                ..Finance::SALE
            },
        )
    }

    /// Whether the dialect tells by the customer's code what is paid with.
    pub(crate) const fn has_codes(&self) -> bool {
        matches!(self.form, Form::UnionPay)
    }

    /// A sale that the customer pays with a wallet, by the code that he shows.
    pub(crate) fn sale_by_code(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        minor: u64,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        let finance = Finance {
            minor: Some(minor),
            by_code: true,
            ..Finance::SALE
        };
        self.finance(out, who, at, now, &finance)
    }

    /// A balance enquiry.
    pub(crate) fn balance(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        self.finance(out, who, at, now, &Finance::BALANCE)
    }

    /// Undoes an approved sale on the customer's wish.
    pub(crate) fn void(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        of: &Earlier,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        let finance = Finance {
            minor: Some(of.minor),
            earlier: Some(of),
            ..Finance::VOID
        };
        self.finance(out, who, at, now, &finance)
    }

    /// Whether a refund names its sale by the upstream's reference number, as another terminal of the shop may too.
    pub(crate) const fn refunds_by_number(&self) -> bool {
        matches!(self.form, Form::UnionPay)
    }

    /// Gives the money of an approved sale back.
    pub(crate) fn refund(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        of: &Earlier,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        let finance = Finance {
            minor: Some(of.minor),
            earlier: Some(of),
            ..Finance::REFUND
        };
        self.finance(out, who, at, now, &finance)
    }

    /// Sets an amount aside, for a completion to take.
    pub(crate) fn pre_authorisation(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        minor: u64,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        let finance = Finance {
            minor: Some(minor),
            ..Finance::PRE_AUTHORISATION
        };
        self.finance(out, who, at, now, &finance)
    }

    /// Takes what was set aside, as far as the earlier amount says.
    pub(crate) fn completion(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        of: &Earlier,
        now: LocalTime,
    ) -> Result<(), EncodeError> {
        let finance = Finance {
            minor: Some(of.minor),
            earlier: Some(of),
            ..Finance::COMPLETION
        };
        self.finance(out, who, at, now, &finance)
    }

    fn finance(
        &self,
        out: &mut BytesMut,
        who: Identity,
        at: Place,
        now: LocalTime,
        what: &Finance<'_>,
    ) -> Result<(), EncodeError> {
        let (processing, mti) = match self.form {
            Form::UnionPay => (what.processing, what.mti),
            Form::Iso1987 | Form::Iso1993 => (what.processing_iso, what.mti_iso),
        };
        let is_sale = mti == Finance::SALE.mti;
        let mti = if is_sale { self.sale } else { mti };
        let mut w = self.begin(out, self.of_version(mti));
        if !what.by_code {
            w.digits(2, CARD);
        }
        w.number(3, processing);
        if let Some(minor) = what.minor {
            match self.dialect.roles().amount_parts {
                // Currency and decimals stand before it.
                Some(_) => w.digits(4, format!("1562{minor:012}").as_bytes()),
                None => w.number(4, minor),
            }
        }
        match self.form {
            Form::UnionPay => w.number(11, at.stan.get().into()),
            Form::Iso1987 => write_times(&mut w, at.stan, now),
            Form::Iso1993 => self.write_joined_times(&mut w, at.stan, now),
        }
        if !what.by_code {
            w.number(14, EXPIRY);
        }
        match self.form {
            Form::UnionPay | Form::Iso1987 => {
                let mode = if what.by_code { CODE_SHOWN } else { ENTRY_MODE };
                w.number(22, mode);
                w.number(25, what.condition);
            }
            Form::Iso1993 => {
                // From 2003 on it is sixteen bytes, which nobody needs here.
                let entry = self.dialect.field(22).map(|field| field.kind);
                if entry == Some(FieldType::Alphanumeric) {
                    w.text(22, POINT_OF_SERVICE);
                }
                w.number(24, 200);
            }
        }
        if self.required.contains(32) {
            w.digits(32, ACQUIRER);
        }
        if !what.by_code {
            w.digits(35, TRACK2);
        }
        if let Some(earlier) = what.earlier {
            w.text(37, &earlier.rrn);
            w.text(38, &earlier.approval_code);
        } else if self.required.contains(37) {
            w.text(37, format!("{:06}{}", now.time, at.stan).as_bytes());
        }
        who.write(&mut w);
        if self.dialect.roles().currency != 0 {
            w.text(49, CURRENCY);
        }
        if what.by_code {
            w.text(
                59,
                format!("A3{:03}{WALLET_CODE}", WALLET_CODE.len()).as_bytes(),
            );
        }
        match self.form {
            Form::UnionPay => {
                w.digits(60, format!("{}{}00050", what.kind, at.batch).as_bytes());
                if let Some(earlier) = what.earlier {
                    write_unionpay_original(&mut w, what, earlier, now);
                }
            }
            Form::Iso1987 => {
                if let Some(earlier) = what.earlier {
                    let of = what.of.unwrap_or(self.sale);
                    w.digits(90, &original_of(of, earlier.place.stan, now));
                }
            }
            Form::Iso1993 => {
                if let Some(earlier) = what.earlier {
                    let digits = |de| self.dialect.field(de).map_or(0, |field| field.max.into());
                    let (stan, time) = (earlier.place.stan.get(), now.joined(&self.dialect));
                    let (stan_digits, digits): (usize, usize) = (digits(11), digits(12));
                    let named = format!("{}{stan:0stan_digits$}{time:0digits$}", self.sale);
                    w.digits(56, named.as_bytes());
                }
            }
        }
        w.finish()
    }

    /// The reversal of a request that this room made, with the reason and, when an answer brought one, the
    /// approval code. It repeats the original's STAN.
    pub(crate) fn reversal(
        &self,
        out: &mut BytesMut,
        original: &[u8],
        reason: ResponseCode,
        repeated: bool,
    ) -> Result<(), ReversalError> {
        let mut index = Index::new();
        let m = self
            .dialect
            .decode(original, &mut index)
            .map_err(|_undecodable| ReversalError::Original)?;
        let request = self.dialect.classify(&m).ok_or(ReversalError::Original)?;
        let rules = self.dialect.reversal();
        let mti = if repeated {
            rules.repeat_mti
        } else {
            rules.mti
        };
        let mut w = self.begin(out, mti);
        let mut fields = request.reversal_copies;
        let fixed = rules.fixed.iter().map(|(de, _)| *de);
        for own in fixed.chain([rules.reason_field, rules.original_field]) {
            if own != 0 {
                fields = fields.with(own);
            }
        }
        for de in fields.iter().filter(|de| *de > 1) {
            if de == rules.reason_field {
                w.text(de, &reason.characters());
            } else if de == rules.original_field {
                m.stan().ok_or(ReversalError::Original)?;
                w.digits(de, &original_elements(&m));
            } else if let Some((_, value)) = rules.fixed.iter().find(|(fixed, _)| *fixed == de) {
                w.text(de, value);
            } else {
                w.copy(&m, de);
            }
        }
        w.finish().map_err(ReversalError::Encode)
    }

    fn write_joined_times(&self, w: &mut Writer<'_>, stan: Stan, now: LocalTime) {
        w.number(7, now.date * 1_000_000 + now.time);
        w.number(11, stan.get().into());
        w.number(12, now.joined(&self.dialect));
    }

    /// The same type in the version of the dialect.
    fn of_version(&self, of_1987: Mti) -> Mti {
        let version = self.sale.packed() & 0xF000;
        Mti::from_packed(of_1987.packed() & 0x0FFF | version).unwrap_or(of_1987)
    }

    fn begin<'o>(&'o self, out: &'o mut BytesMut, mti: Mti) -> Writer<'o> {
        let mut w = self.dialect.write(out);
        w.envelope_default();
        w.mti(mti);
        w
    }
}

/// Why a reversal could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReversalError {
    /// The kept original is none that can be reversed.
    #[error("the original cannot be reversed")]
    Original,
    /// A field does not fit.
    #[error("the reversal cannot be written")]
    Encode(#[source] EncodeError),
}

impl Identity {
    fn write(self, w: &mut Writer<'_>) {
        w.text(41, self.terminal.as_bytes());
        w.text(42, self.merchant.as_bytes());
    }
}

/// What tells the financial requests apart.
struct Finance<'e> {
    mti: Mti,
    /// The same in other forms than UnionPay's.
    mti_iso: Mti,
    processing: u64,
    processing_iso: u64,
    /// DE25.
    condition: u64,
    /// DE60.1.
    kind: &'static str,
    /// Type of what it follows, where that is no sale.
    of: Option<Mti>,
    minor: Option<u64>,
    earlier: Option<&'e Earlier>,
    /// Paid by the code of a wallet, without a card.
    by_code: bool,
}

impl Finance<'_> {
    const SALE: Self = Self {
        mti: mti(0x0200),
        mti_iso: mti(0x0200),
        processing: 0,
        processing_iso: 0,
        condition: 0,
        kind: "22",
        of: None,
        minor: None,
        earlier: None,
        by_code: false,
    };
    const BALANCE: Self = Self {
        processing: 310_000,
        processing_iso: 310_000,
        kind: "01",
        ..Self::SALE
    };
    const VOID: Self = Self {
        processing: 200_000,
        processing_iso: 20_000,
        kind: "23",
        ..Self::SALE
    };
    const REFUND: Self = Self {
        mti: mti(0x0220),
        mti_iso: mti(0x0220),
        processing: 200_000,
        processing_iso: 200_000,
        kind: "25",
        ..Self::SALE
    };
    const PRE_AUTHORISATION: Self = Self {
        mti: mti(0x0100),
        mti_iso: mti(0x0100),
        processing: 30_000,
        condition: 6,
        kind: "10",
        ..Self::SALE
    };
    const COMPLETION: Self = Self {
        mti_iso: mti(0x0220),
        condition: 6,
        kind: "20",
        of: Some(mti(0x0100)),
        ..Self::SALE
    };
}

/// The message types above are literals; one that is not four digits would not compile.
#[expect(clippy::panic, reason = "only the compiler can meet it")]
const fn mti(packed: u16) -> Mti {
    match Mti::from_packed(packed) {
        Some(mti) => mti,
        None => panic!("a message type has four decimal digits"),
    }
}

fn write_times(w: &mut Writer<'_>, stan: Stan, now: LocalTime) {
    w.number(7, now.date * 1_000_000 + now.time);
    w.number(11, stan.get().into());
    w.number(12, now.time);
    w.number(13, now.date);
}

/// DE61: a void names batch and STAN; a refund the date, and the card organisation in DE63; a completion the date.
fn write_unionpay_original(w: &mut Writer<'_>, what: &Finance<'_>, of: &Earlier, now: LocalTime) {
    if what.kind == Finance::REFUND.kind {
        w.digits(61, format!("{:012}{:04}", 0, now.date).as_bytes());
        w.text(63, b"000");
    } else if what.kind == Finance::COMPLETION.kind {
        w.digits(61, format!("{:012}{:04}", 0, now.date).as_bytes());
    } else {
        w.digits(
            61,
            format!("{}{}", of.place.batch, of.place.stan).as_bytes(),
        );
    }
}

/// DE90: type, STAN, transmission date and time of the original, and two institutions we do not name.
fn original_of(mti: Mti, stan: Stan, at: LocalTime) -> [u8; 42] {
    let mut out = [b'0'; 42];
    let head = format!("{mti}{stan}{:04}{:06}", at.date, at.time);
    if let Some(place) = out.get_mut(..head.len()) {
        place.copy_from_slice(head.as_bytes());
    }
    out
}
