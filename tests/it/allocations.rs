//! What the codec takes from the allocator, counted.

use allocation_counter::measure;
use bytes::BytesMut;
use posgate::iso8583::{Dialect, Index, Mti, Parts, ResponseCode, Scanner, answer};
use posgate::wire::FrameCodec;
use tokio_util::codec::Decoder;

use crate::messages::{samples, shipped};

const REFERENCE: &[u8] = b"0200723C448128E09000164761739001010010000000000000012345\
    1122061152123456061152112228125999051001112345678901344761739001010010=2812201123456780063260612\
    3456TERM0001MERCHANT0000001ACME STORE 0001       DENVER        COUS8400123456789ABCDEF";

#[test]
fn decoding_and_classifying_allocate_nothing() {
    let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
    let mut index = Index::new();
    let counted = measure(|| {
        let message = dialect.decode(REFERENCE, &mut index).unwrap();
        assert!(dialect.classify(&message).is_some());
        assert!(message.match_key().is_some());
        assert!(message.pan().is_some());
        assert!(message.amount().is_some());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn no_sample_in_any_dialect_costs_an_allocation_to_decode() {
    let mut index = Index::new();
    for dialect in shipped() {
        for (file, bytes) in [
            samples(dialect.name(), true),
            samples(dialect.name(), false),
        ]
        .concat()
        {
            let frame = &bytes[dialect.framing().prefix_bytes()..];
            let counted = measure(|| {
                if let Ok(message) = dialect.decode(frame, &mut index) {
                    let row = dialect.classify(&message);
                    std::hint::black_box((
                        row,
                        message.match_key(),
                        message.pan(),
                        message.amount(),
                    ));
                }
            });
            assert_eq!(counted.count_total, 0, "{}", file.display());
        }
    }
}

/// What marks a buffer as shared, once for a stream.
const SHARED_BYTES: u64 = 64;

/// Random bytes, sound messages with damage, and prefixes that announce as much as they can.
fn hostile(random: &mut fastrand::Rng, sound: &[u8]) -> Vec<u8> {
    let mut stream = sound.to_vec();
    match random.u8(..4) {
        0 => stream = (0..random.usize(1..400)).map(|_| random.u8(..)).collect(),
        1 => stream.splice(..2, [0xFF, 0xFE]).for_each(drop),
        2 => stream.splice(..4, *b"9999").for_each(drop),
        _ => {
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..stream.len());
                stream[at] = random.choice([0, 0x99, 0xFF, b'9']).unwrap();
            }
        }
    }
    stream
}

#[test]
fn hostile_bytes_make_nobody_allocate_more_than_was_sent() {
    let mut random = fastrand::Rng::with_seed(8_583);
    let mut index = Index::new();
    for dialect in shipped() {
        let sound: Vec<_> = samples(dialect.name(), true);
        let mut divided = 0;
        for _ in 0..300 {
            let (_, sample) = random.choice(&sound).unwrap();
            let stream = hostile(&mut random, sample);
            let mut codec = FrameCodec::new(dialect.clone(), 65_535);
            let mut buf = BytesMut::new();
            let mut allocated = 0;
            for piece in stream.chunks(random.usize(1..40)) {
                buf.extend_from_slice(piece);
                loop {
                    let mut found = None;
                    let counted = measure(|| found = codec.decode(&mut buf).ok().flatten());
                    // What was found refers to the stream and is no copy of it.
                    allocated += counted.bytes_total;
                    let Some(frame) = found else { break };
                    let counted = measure(|| {
                        let whole = dialect.decode(&frame, &mut index).is_ok();
                        let structure = dialect.decode_structure(&frame, &mut index).is_ok();
                        std::hint::black_box((whole, structure));
                        std::hint::black_box(dialect.decode_partial(&frame, &mut index));
                    });
                    assert_eq!(counted.count_total, 0, "{}", dialect.name());
                    divided += divide(&dialect, &frame, &mut index);
                }
            }
            let most = u64::try_from(stream.len()).unwrap() + SHARED_BYTES;
            assert!(
                allocated <= most,
                "{}: {allocated} for {}",
                dialect.name(),
                stream.len()
            );
        }
        assert!(divided > 0, "{}", dialect.name());
    }
}

/// Walks over the parts of all fields that divide and says how many there are, broken ones among them.
fn divide(dialect: &Dialect, frame: &[u8], index: &mut Index) -> usize {
    let (Some(message), _) = dialect.decode_partial(frame, index) else {
        return 0;
    };
    let mut parts = 0;
    for de in message.content_fields().iter() {
        if let Some((layout, value)) = dialect.layout(de).zip(message.value(de)) {
            let counted = measure(|| parts += walk(layout.parts(&value)));
            assert_eq!(counted.count_total, 0, "{}: DE{de}", dialect.name());
        }
    }
    parts
}

fn walk(parts: Parts<'_, '_>) -> usize {
    parts
        .map(|part| 1 + part.ok().and_then(|part| part.parts()).map_or(0, walk))
        .sum()
}

#[test]
fn reading_structure_or_some_fields_allocates_nothing() {
    let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
    let scanner = Scanner::new(dialect.clone(), [11, 41]).unwrap();
    let mut index = Index::new();
    let counted = measure(|| {
        let message = dialect.decode_structure(REFERENCE, &mut index).unwrap();
        assert_eq!(message.fields().len(), 19);
        let excerpt = scanner.scan(REFERENCE, &mut index).unwrap();
        assert!(excerpt.match_key().is_some());
        // Broken in DE3, which is walked over only.
        let broken = b"0200200000000000000000000A";
        assert!(dialect.decode(broken, &mut index).is_err());
        assert!(scanner.scan(broken, &mut index).is_ok());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn encoding_allocates_its_buffer_and_nothing_else() {
    let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
    let mut index = Index::new();
    let message = dialect.decode(REFERENCE, &mut index).unwrap();
    let row = dialect.classify(&message);
    let fresh = measure(|| {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.mti(Mti::from_packed(0x0200).unwrap());
        writer.copy_set(&message, message.fields());
        writer.finish().unwrap();
        assert_eq!(&out[2..], REFERENCE);
    });
    assert_eq!(fresh.count_total, 1);
    let mut out = BytesMut::with_capacity(2_048);
    let reused = measure(|| {
        let code = ResponseCode::new(*b"58");
        answer(&message, row, code, &[], &mut out).unwrap();
    });
    assert_eq!(reused.count_total, 0);
}
