//! Properties of the codec, in both shipped dialects.

use std::sync::Arc;

use bytes::BytesMut;
use posgate::iso8583::{
    Dialect, Envelope, Field, FieldSet, FieldType, Index, Mti, Rewrite, SubField, rewrite,
};
use posgate::wire::{FrameCodec, Scan, scan};
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use crate::corpus::bodies::exercise;

/// What a field is filled with: characters for all types but binary.
pub(crate) type Content = Vec<u8>;

fn shipped() -> impl Strategy<Value = Arc<Dialect>> {
    prop::sample::select(Dialect::shipped_names()).prop_map(|name| Dialect::shipped(name).unwrap())
}

/// Content that the field allows: of any length for a variable field, else of its own.
fn content(field: &Field) -> BoxedStrategy<Content> {
    let max = usize::from(field.max).min(90);
    let lengths = if field.variable { 1..=max } else { max..=max };
    let character = match field.kind {
        FieldType::Numeric => (b'0'..=b'9').boxed(),
        FieldType::Track => prop_oneof![9 => b'0'..=b'9', 1 => Just(b'=')].boxed(),
        FieldType::Alphanumeric => (b' '..=b'~').boxed(),
        FieldType::Text => prop_oneof![b' '..=b'~', 0x80_u8..=0xFF].boxed(),
        FieldType::Binary => any::<u8>().boxed(),
    };
    prop::collection::vec(character, lengths).boxed()
}

/// A dialect, some of its fields, and what they hold.
pub(crate) fn sound_message() -> impl Strategy<Value = (Arc<Dialect>, Mti, Vec<(u8, Content)>)> {
    let mtis = prop::sample::select(vec!["0100", "0200", "0210", "0421", "0800"]);
    (shipped(), mtis).prop_flat_map(|(dialect, mti)| {
        let fields = dialect.fields().to_vec();
        let most = fields.len().min(24);
        let chosen = prop::sample::subsequence(fields, 0..=most);
        let filled = chosen.prop_flat_map(|fields| {
            let one = |field: &Field| (Just(field.number), content(field));
            fields.iter().map(one).collect::<Vec<_>>()
        });
        (Just(dialect), Just(Mti::parse(mti).unwrap()), filled)
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

fn unhex(digits: &[u8]) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_encoded_decodes_to_the_same_fields((dialect, mti, fields) in sound_message()) {
        let out = written(&dialect, mti, &fields);
        let prefix = dialect.framing().prefix_bytes();
        let expect = Scan::Frame { start: prefix, end: out.len() };
        prop_assert_eq!(scan(dialect.framing(), &out, 65_535), Ok(expect));
        let mut index = Index::new();
        let message = dialect.decode(&out[prefix..], &mut index).unwrap();
        prop_assert_eq!(message.mti(), mti);
        let set: FieldSet = fields.iter().map(|(de, _)| *de).collect();
        prop_assert_eq!(message.fields().without(1), set);
        for (de, content) in &fields {
            let found = match dialect.field(*de).unwrap().kind {
                FieldType::Numeric | FieldType::Track => {
                    message.part(SubField::whole(*de)).unwrap().to_vec()
                }
                FieldType::Alphanumeric | FieldType::Text => message.field(*de).unwrap().to_vec(),
                FieldType::Binary => match message.field(*de).unwrap() {
                    hex if dialect.name() == "iso8583-1987-ascii" => unhex(hex),
                    raw => raw.to_vec(),
                },
            };
            prop_assert_eq!(&found, content, "DE{}", de);
        }
    }

    #[test]
    fn rewritten_without_changes_is_the_same((dialect, mti, fields) in sound_message()) {
        let out = written(&dialect, mti, &fields);
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
    }

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
        prop_assert_eq!(left.fields().without(1), message.fields().without(1).difference(drop));
        for de in left.fields().without(1).iter() {
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
        exercise(&dialect, &frame);
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
        exercise(&dialect, &frame);
        exercise(&dialect, &frame[..cut.index(frame.len())]);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(
        messages in prop::collection::vec(sound_message(), 1..5),
        cuts in prop::collection::vec(1_usize..80, 1..12),
    ) {
        // Both shipped dialects have the same framing.
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|(dialect, mti, fields)| written(dialect, *mti, fields))
            .collect();
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let whole = frames(&dialect, [stream.as_slice()]);
        prop_assert_eq!(whole.len(), messages.len());
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
