//! Properties of the codec, in every shipped dialect and in framings of every kind.

use std::sync::Arc;

use bytes::BytesMut;
use posgate::iso8583::{
    Dialect, Envelope, Field, FieldSet, FieldType, Index, Mti, Rewrite, again, rewrite,
};
use posgate::wire::{FrameCodec, Scan, scan};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio_util::codec::Decoder;

use crate::corpus::bodies::Reading;

/// What a field is filled with: characters for all types but binary.
pub(crate) type Content = Vec<u8>;

fn shipped() -> impl Strategy<Value = Arc<Dialect>> {
    prop::sample::select(Dialect::shipped_names()).prop_map(|name| Dialect::shipped(name).unwrap())
}

/// Content that the field allows: of any length for a variable field, else of its own.
pub(crate) fn content(field: &Field) -> BoxedStrategy<Content> {
    let max = usize::from(field.max);
    // Mostly short, and now and then as long as can be.
    let lengths = if field.variable {
        prop_oneof![15 => 1..=max.min(90), 1 => Just(max)].boxed()
    } else {
        Just(max).boxed()
    };
    let character = match field.kind {
        FieldType::Numeric => (b'0'..=b'9').boxed(),
        FieldType::Track => prop_oneof![9 => b'0'..=b'9', 1 => Just(b'=')].boxed(),
        FieldType::Alphanumeric => (b' '..=b'~').boxed(),
        FieldType::Text => prop_oneof![b' '..=b'~', 0x80_u8..=0xFF].boxed(),
        FieldType::Binary => any::<u8>().boxed(),
    };
    let filled = move |length| prop::collection::vec(character.clone(), length);
    lengths.prop_flat_map(filled).boxed()
}

/// A dialect, some of its fields, and what they hold.
pub(crate) fn sound_message() -> impl Strategy<Value = (Arc<Dialect>, Mti, Vec<(u8, Content)>)> {
    shipped().prop_flat_map(|dialect| {
        let one = message_of(&dialect);
        one.prop_map(move |(mti, fields)| (Arc::clone(&dialect), mti, fields))
    })
}

/// The same in one dialect.
fn message_of(dialect: &Dialect) -> BoxedStrategy<(Mti, Vec<(u8, Content)>)> {
    let mtis = prop::sample::select(vec![
        "0100", "0200", "0210", "0421", "0800", "1200", "1814", "2420",
    ]);
    let fields = dialect.fields().to_vec();
    let most = fields.len().min(24);
    let chosen = prop::sample::subsequence(fields, 0..=most);
    let filled = chosen.prop_flat_map(|fields| {
        let one = |field: &Field| (Just(field.number), content(field));
        fields.iter().map(one).collect::<Vec<_>>()
    });
    let parsed = mtis.prop_map(|mti| Mti::parse(mti).unwrap());
    (parsed, filled).boxed()
}

/// A shipped dialect or a framing of another kind, and some messages in it.
fn messages_in_one() -> impl Strategy<Value = (Arc<Dialect>, Vec<(Mti, Vec<(u8, Content)>)>)> {
    let dialect = prop_oneof![
        2 => shipped(),
        1 => prop::sample::select(FRAMINGS).prop_map(framed),
    ];
    dialect.prop_flat_map(|dialect| {
        let some = prop::collection::vec(message_of(&dialect), 1..5);
        (Just(dialect), some)
    })
}

pub(crate) fn written(dialect: &Dialect, mti: Mti, fields: &[(u8, Content)]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(mti);
    for (de, content) in fields {
        match dialect.field(*de).unwrap().kind {
            FieldType::Numeric | FieldType::Track => writer.digits(*de, content),
            FieldType::Alphanumeric | FieldType::Text => writer.text(*de, content),
            FieldType::Binary => writer.bytes(*de, content),
        }
    }
    writer.finish().unwrap();
    out
}

/// Framings of every kind, beside those that are shipped.
const FRAMINGS: &[&str] = &[
    "length_bytes = 1",
    "length_bytes = 3",
    "length_bytes = 4\nlength_counts = [\"prefix\", \"envelope\", \"trailer\"]",
    "length_bytes = 2\nlength_encoding = \"packed\"",
    "length_bytes = 4\nlength_encoding = \"ascii\"\ntrailer = \"03\"",
    "length_bytes = 4\nlength_encoding = \"hex\"\nlead = \"49534F\"",
    "length_bytes = 4\nlength_encoding = \"ebcdic\"\ntpdu = \"6000010002\"",
    "length_bytes = 2\ntpdu = \"6000010002\"\nheader = \"0102\"\ntrailer = \"0D0A\"\nlength_counts = []",
    "length_bytes = 2\ntpdu = \"6000010002\"\nheader = \"0102\"\nlength_place = \"after-tpdu\"",
    "length_bytes = 2\ntpdu = \"6000010002\"\nheader = \"0102\"\nlength_place = \"after-header\"\ntrailer = \"03\"",
    "length_bytes = 4\nlength_encoding = \"ascii\"\nheader = \"49534F\"\nlength_place = \"after-header\"\nlength_counts = [\"lead\", \"prefix\", \"trailer\"]\nlead = \"02\"\ntrailer = \"0D0A\"",
    "length_bytes = 1\ntpdu = \"6000010002\"\nheader = \"0102\"\nlength_place = \"after-tpdu\"\nlength_counts = [\"prefix\"]",
    "length_bytes = 2\nheader = \"16\"\nlead = \"02\"\ntrailer = \"03\"\nlength_counts = [\"lead\", \"envelope\"]",
];

/// A small dialect with three bitmaps in such a framing.
fn framed(framing: &str) -> Arc<Dialect> {
    let text = format!(
        "name = \"framed\"\ntitle = \"framed\"\n[framing]\n{framing}\n[message]\nbitmaps = 3\n[fields]\n\
         3 = {{ en = \"code\", type = \"n\", max = 6 }}\n70 = {{ en = \"more\", type = \"n\", max = 3 }}\n\
         130 = {{ en = \"most\", type = \"ans\", length = \"LL\", max = 20 }}\n"
    );
    Arc::new(Dialect::parse("framed.toml", &text).unwrap())
}

#[test]
fn third_bitmaps_stand_behind_the_second_or_among_the_fields() {
    let plain = framed("length_bytes = 2");
    let text = "name = \"d\"\ntitle = \"d\"\n[framing]\nlength_bytes = 2\n[message]\nbitmaps = 3\n\
        third_bitmap = \"in-place\"\n[fields]\n3 = { en = \"code\", type = \"n\", max = 6 }\n\
        70 = { en = \"more\", type = \"n\", max = 3 }\n130 = { en = \"most\", type = \"ans\", length = \"LL\", max = 20 }\n";
    let in_place = Arc::new(Dialect::parse("d.toml", text).unwrap());
    let all = [(3, &b"000000"[..]), (70, b"301"), (130, b"xyz")];
    for (dialect, third_at) in [(&plain, 2 + 4 + 16), (&in_place, 2 + 4 + 16 + 6)] {
        for chosen in 1_u8..8 {
            let fields: Vec<_> = (0..3)
                .filter(|bit| chosen >> bit & 1 == 1)
                .map(|at| all[at])
                .collect();
            let mut out = BytesMut::new();
            let mut writer = dialect.write(&mut out);
            writer.mti(Mti::parse("0200").unwrap());
            for (de, value) in &fields {
                writer.field(*de, value);
            }
            writer.finish().unwrap();
            let mut index = Index::new();
            let message = dialect.decode(&out[2..], &mut index).unwrap();
            let set: FieldSet = fields.iter().map(|(de, _)| *de).collect();
            assert_eq!(message.content_fields(), set);
            assert_eq!(message.has(65), chosen & 4 != 0);
            for (de, value) in &fields {
                assert_eq!(&*message.value(*de).unwrap(), *value, "DE{de}");
            }
            if chosen == 7 {
                assert_eq!(out[third_at..third_at + 8], [0x40, 0, 0, 0, 0, 0, 0, 0]);
                let how = Rewrite {
                    envelope: Envelope::Raw(&[]),
                    drop: FieldSet::EMPTY.with(3),
                    set: &[(70, posgate::iso8583::FieldValue::Number(1))],
                };
                let mut rest = BytesMut::new();
                rewrite(&message, &how, &mut rest).unwrap();
                let mut index = Index::new();
                let left = dialect.decode(&rest[2..], &mut index).unwrap();
                assert_eq!(left.number(70), Some(1));
                assert_eq!(left.field(130), Some(&b"xyz"[..]));
                assert!(!left.has(3));
            }
            let reading = Reading::new(Arc::clone(dialect));
            for end in 0..out.len() - 2 {
                reading.exercise(&out[2..2 + end]);
            }
        }
    }
}

/// Tries messages of every shipped dialect, as many in each.
fn in_every_dialect(test: impl Fn(&Dialect, Mti, &[(u8, Content)]) -> Result<(), TestCaseError>) {
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(96)
        };
        let outcome = TestRunner::new(config).run(&message_of(&dialect), |(mti, fields)| {
            test(&dialect, mti, &fields)
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn what_was_encoded_decodes_to_the_same_fields() {
    in_every_dialect(|dialect, mti, fields| {
        let out = written(dialect, mti, fields);
        let prefix = dialect.framing().prefix_bytes();
        let expect = Scan::Frame {
            start: prefix,
            end: out.len(),
        };
        prop_assert_eq!(scan(dialect.framing(), &out, 65_535), Ok(expect));
        let mut index = Index::new();
        let message = dialect.decode(&out[prefix..], &mut index).unwrap();
        prop_assert_eq!(message.mti(), mti);
        let set: FieldSet = fields.iter().map(|(de, _)| *de).collect();
        prop_assert_eq!(message.content_fields(), set);
        for (de, content) in fields {
            let value = message.value(*de).unwrap();
            prop_assert_eq!(&*value, &content[..], "DE{}", de);
        }
        let mut written_again = BytesMut::new();
        again(&message, &mut written_again).unwrap();
        prop_assert_eq!(&written_again, &out);
        Ok(())
    });
}

#[test]
fn rewritten_without_changes_is_the_same() {
    in_every_dialect(|dialect, mti, fields| {
        let out = written(dialect, mti, fields);
        let frame = &out[dialect.framing().prefix_bytes()..];
        let mut index = Index::new();
        let message = dialect.decode(frame, &mut index).unwrap();
        let how = Rewrite {
            envelope: Envelope::Raw(message.envelope()),
            drop: FieldSet::EMPTY,
            set: &[],
        };
        let mut again = BytesMut::new();
        rewrite(&message, &how, &mut again).unwrap();
        prop_assert_eq!(&again, &out);
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn dropped_fields_are_gone_and_the_rest_is_untouched(
        (dialect, mti, fields) in sound_message(),
        dropped in any::<u128>(),
    ) {
        let out = written(&dialect, mti, &fields);
        let prefix = dialect.framing().prefix_bytes();
        let mut index = Index::new();
        let message = dialect.decode(&out[prefix..], &mut index).unwrap();
        let drop: FieldSet = (2..=128).filter(|de| dropped >> (de - 1) & 1 == 1).collect();
        let how = Rewrite { envelope: Envelope::Raw(message.envelope()), drop, set: &[] };
        let mut rest = BytesMut::new();
        rewrite(&message, &how, &mut rest).unwrap();
        let mut index = Index::new();
        let left = dialect.decode(&rest[prefix..], &mut index).unwrap();
        prop_assert_eq!(left.content_fields(), message.content_fields().difference(drop));
        for de in left.content_fields().iter() {
            prop_assert_eq!(left.element(de), message.element(de));
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(
        dialect in shipped(),
        mut frame in prop::collection::vec(any::<u8>(), 0..300),
        sound_head in any::<bool>(),
    ) {
        if sound_head {
            // Random bytes seldom get past the message type.
            let head = written(&dialect, Mti::parse("0200").unwrap(), &[]);
            let head = &head[dialect.framing().prefix_bytes()..];
            let end = head.len().saturating_sub(8).min(frame.len());
            frame[..end].copy_from_slice(&head[..end]);
        }
        Reading::new(dialect).exercise(&frame);
    }

    #[test]
    fn no_damage_to_a_sound_message_makes_decoding_panic(
        (dialect, mti, fields) in sound_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = written(&dialect, mti, &fields)[dialect.framing().prefix_bytes()..].to_vec();
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let reading = Reading::new(dialect);
        reading.exercise(&frame);
        reading.exercise(&frame[..cut.index(frame.len())]);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(
        (dialect, messages) in messages_in_one(),
        cuts in prop::collection::vec(1_usize..80, 1..12),
    ) {
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|(mti, fields)| written(&dialect, *mti, fields))
            .collect();
        let whole = frames(&dialect, [stream.as_slice()]);
        prop_assert_eq!(whole.len(), messages.len());
        for (frame, (mti, fields)) in whole.iter().zip(&messages) {
            let mut index = Index::new();
            let message = dialect.decode(frame, &mut index).unwrap();
            prop_assert_eq!(message.mti(), *mti);
            let set: FieldSet = fields.iter().map(|(de, _)| *de).collect();
            prop_assert_eq!(message.content_fields(), set);
        }
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(frames(&dialect, pieces), whole);
    }
}

fn frames<'a>(
    dialect: &Arc<Dialect>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<bytes::Bytes> {
    let mut codec = FrameCodec::new(Arc::clone(dialect), 65_535);
    let mut buf = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        while let Some(frame) = codec.decode(&mut buf).unwrap() {
            found.push(frame);
        }
    }
    found
}
