//! What a message costs: decode, classify, rewrite, answer, encode. `benches/README.md` has the figures.
//!
//! `--count NAME TIMES` does one of them so many times and nothing else, for a tool that counts instructions.

#![expect(
    clippy::expect_used,
    reason = "a bench of something broken has no result"
)]

mod by_hand;

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::Criterion;
use posgate::iso8583::{
    Dialect, Envelope, FieldSet, FieldValue, Index, Mti, ResponseCode, Rewrite, Scanner, answer,
    rewrite,
};

/// What runs the bodies.
trait Meter {
    fn measure<T>(&mut self, name: &'static str, body: impl FnMut() -> T);
}

impl Meter for Criterion {
    fn measure<T>(&mut self, name: &'static str, mut body: impl FnMut() -> T) {
        self.bench_function(name, |bencher| bencher.iter(&mut body));
    }
}

/// Runs one of them so many times.
struct Counted {
    name: String,
    times: u64,
}

impl Meter for Counted {
    fn measure<T>(&mut self, name: &'static str, mut body: impl FnMut() -> T) {
        if self.name == name {
            for _ in 0..self.times {
                black_box(body());
            }
        }
    }
}

/// The 19-field message that codecs are compared by: 238 ASCII bytes.
const REFERENCE: &[u8] = b"0200723C448128E09000164761739001010010000000000000012345\
    1122061152123456061152112228125999051001112345678901344761739001010010=2812201123456780063260612\
    3456TERM0001MERCHANT0000001ACME STORE 0001       DENVER        COUS8400123456789ABCDEF";

/// Chip data of the usual twenty elements, about 140 bytes; the values mean nothing.
fn chip_data() -> Vec<u8> {
    let mut data = Vec::new();
    for (tag, len) in [
        (&[0x9F, 0x26][..], 8),
        (&[0x9F, 0x27], 1),
        (&[0x9F, 0x10], 19),
        (&[0x9F, 0x37], 4),
        (&[0x9F, 0x36], 2),
        (&[0x95], 5),
        (&[0x9A], 3),
        (&[0x9C], 1),
        (&[0x9F, 0x02], 6),
        (&[0x5F, 0x2A], 2),
        (&[0x82], 2),
        (&[0x9F, 0x1A], 2),
        (&[0x9F, 0x03], 6),
        (&[0x9F, 0x33], 3),
        (&[0x9F, 0x35], 1),
        (&[0x9F, 0x1E], 8),
        (&[0x84], 8),
        (&[0x9F, 0x09], 2),
        (&[0x9F, 0x41], 4),
    ] {
        data.extend_from_slice(tag);
        data.push(len);
        data.extend(std::iter::repeat_n(0x5A, len.into()));
    }
    data
}

/// A chip sale of 14 fields, without its length prefix.
fn sale(dialect: &Dialect) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::from_packed(0x0200).expect("digits"));
    writer.number(3, 0);
    writer.number(4, 12_345);
    writer.number(11, 123_456);
    writer.digits(14, b"3012");
    writer.digits(22, b"052");
    writer.digits(23, b"001");
    writer.digits(25, b"00");
    writer.digits(35, b"6212345678901232=30122010000012345678");
    writer.text(41, b"T0000001");
    writer.text(42, b"M00000000000001");
    writer.text(49, b"156");
    writer.bytes(55, &chip_data());
    writer.digits(60, b"22000001000501");
    writer.bytes(64, b"12345678");
    writer.finish().expect("a sound sale");
    out[dialect.framing().prefix_bytes()..].to_vec()
}

fn shipped(name: &str) -> Arc<Dialect> {
    Dialect::shipped(name).expect("shipped")
}

fn decode(meter: &mut impl Meter) {
    // Says how fast the machine is just now.
    let mut copy = [0; REFERENCE.len()];
    meter.measure("floor/copy-238-bytes", || {
        black_box(&mut copy).copy_from_slice(black_box(REFERENCE));
    });
    let mut places = [(0, 0); 65];
    meter.measure("by-hand/ascii-19-fields", || {
        let read = by_hand::scan::<true>(black_box(REFERENCE), black_box(&mut places));
        read.expect("sound")
    });
    meter.measure("by-hand/ascii-19-fields-structure", || {
        let read = by_hand::scan::<false>(black_box(REFERENCE), black_box(&mut places));
        read.expect("sound")
    });
    let ascii = shipped("iso8583-1987-ascii");
    let mut index = Index::new();
    meter.measure("decode/ascii-19-fields", || {
        let message = ascii.decode(black_box(REFERENCE), &mut index);
        black_box(message.expect("sound").fields())
    });
    meter.measure("decode/ascii-19-fields-structure", || {
        let message = ascii.decode_structure(black_box(REFERENCE), &mut index);
        black_box(message.expect("sound").fields())
    });
    let unionpay = shipped("unionpay-pos");
    let sale = sale(&unionpay);
    meter.measure("decode/unionpay-sale-14-fields", || {
        let message = unionpay.decode(black_box(&sale), &mut index);
        black_box(message.expect("sound").fields())
    });
    meter.measure("decode/unionpay-sale-14-fields-structure", || {
        let message = unionpay.decode_structure(black_box(&sale), &mut index);
        black_box(message.expect("sound").fields())
    });
    // What a router wants: type, trace number and terminal.
    let scanner = |dialect| Scanner::new(dialect, [11, 41]).expect("defined");
    let (of_ascii, of_unionpay) = (scanner(ascii), scanner(unionpay));
    meter.measure("scan/ascii-11-and-41", || {
        let found = of_ascii.scan(black_box(REFERENCE), &mut index);
        black_box(found.expect("sound").fields())
    });
    meter.measure("scan/unionpay-11-and-41", || {
        let found = of_unionpay.scan(black_box(&sale), &mut index);
        black_box(found.expect("sound").fields())
    });
}

fn use_decoded(meter: &mut impl Meter) {
    let unionpay = shipped("unionpay-pos");
    let sale = sale(&unionpay);
    let mut index = Index::new();
    let message = unionpay.decode(&sale, &mut index).expect("sound");
    meter.measure("classify/unionpay-sale", || {
        unionpay.classify(black_box(&message)).map(|row| row.kind)
    });
    meter.measure("match-key/unionpay-sale", || {
        black_box(&message).match_key()
    });
    let mut out = BytesMut::with_capacity(4_096);
    let how = Rewrite {
        envelope: Envelope::Raw(message.envelope()),
        drop: FieldSet::EMPTY.with(64),
        set: &[
            (11, FieldValue::Number(654_321)),
            (41, FieldValue::Text(b"U0000001")),
        ],
    };
    meter.measure("rewrite/unionpay-sale", || {
        out.clear();
        rewrite(black_box(&message), black_box(&how), &mut out)
    });
    let row = unionpay.classify(&message);
    let code = ResponseCode::new(*b"58");
    let extras = [
        (12, FieldValue::Digits(b"120000")),
        (13, FieldValue::Digits(b"1122")),
    ];
    meter.measure("answer/unionpay-sale", || {
        out.clear();
        answer(black_box(&message), row, code, &extras, &mut out)
    });
}

fn encode(meter: &mut impl Meter) {
    let ascii = shipped("iso8583-1987-ascii");
    let mut out = BytesMut::with_capacity(4_096);
    reference(&ascii, &mut out);
    assert_eq!(&out[2..], REFERENCE);
    meter.measure("encode/ascii-19-fields", || {
        out.clear();
        reference(&ascii, &mut out);
    });
    meter.measure("encode/ascii-19-fields-new-buffer", || {
        let mut fresh = BytesMut::new();
        reference(&ascii, &mut fresh);
        fresh
    });
}

/// Sets the nineteen fields and serialises them.
fn reference(dialect: &Dialect, out: &mut BytesMut) {
    let mut writer = dialect.write(out);
    writer.mti(Mti::from_packed(0x0200).expect("digits"));
    writer.digits(2, black_box(b"4761739001010010"));
    writer.number(3, black_box(0));
    writer.number(4, black_box(12_345));
    writer.digits(7, black_box(b"1122061152"));
    writer.number(11, black_box(123_456));
    writer.digits(12, black_box(b"061152"));
    writer.digits(13, black_box(b"1122"));
    writer.digits(14, black_box(b"2812"));
    writer.digits(18, black_box(b"5999"));
    writer.digits(22, black_box(b"051"));
    writer.digits(25, black_box(b"00"));
    writer.digits(32, black_box(b"12345678901"));
    writer.digits(35, black_box(b"4761739001010010=28122011234567800"));
    writer.text(37, black_box(b"632606123456"));
    writer.text(41, black_box(b"TERM0001"));
    writer.text(42, black_box(b"MERCHANT0000001"));
    writer.text(43, black_box(b"ACME STORE 0001       DENVER        COUS"));
    writer.text(49, black_box(b"840"));
    writer.bytes(
        52,
        black_box(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]),
    );
    writer.finish().expect("a sound message");
}

fn all(meter: &mut impl Meter) {
    decode(meter);
    use_decoded(meter);
    encode(meter);
}

fn main() {
    let mut arguments = std::env::args()
        .skip_while(|each| each != "--count")
        .skip(1);
    if let (Some(name), Some(times)) = (arguments.next(), arguments.next()) {
        let times = times.parse().expect("how many times");
        return all(&mut Counted { name, times });
    }
    let mut criterion = Criterion::default().configure_from_args();
    all(&mut criterion);
    criterion.final_summary();
}
