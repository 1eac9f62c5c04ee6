//! A message sent on is what it would be if each of its fields were written again.

use std::sync::Arc;

use bytes::BytesMut;
use posgate::iso8583::{
    Dialect, Envelope, FieldSet, FieldType, FieldValue, Index, Rewrite, rewrite,
};
use proptest::prelude::*;

use crate::codec::{Content, content, sound_message, written};

/// Which fields of a message are dropped, and what is put into which.
#[derive(Clone, Debug)]
struct Changes {
    drop: Vec<u8>,
    set: Vec<(u8, Content)>,
}

/// Changes of all kinds: some drop what is last, some put as much into a field as it had, some do whatever they like.
fn changes(dialect: &Arc<Dialect>, fields: &[(u8, Content)]) -> BoxedStrategy<Changes> {
    let present: Vec<u8> = fields.iter().map(|(de, _)| *de).collect();
    let last = present.iter().copied().rev().take(1).collect::<Vec<_>>();
    let drop = prop_oneof![
        Just(Vec::new()),
        Just(last),
        prop::sample::subsequence(present.clone(), 0..=present.len().min(3)),
    ];
    // The same characters the other way round fit where they stood.
    let turned: Vec<_> = (fields.iter())
        .map(|(de, content)| (*de, content.iter().rev().copied().collect::<Content>()))
        .collect();
    let most = turned.len().min(3);
    let as_long = prop::sample::subsequence(turned, 0..=most);
    let all = dialect.fields().to_vec();
    let most = all.len().min(3);
    let any = prop::sample::subsequence(all, 0..=most).prop_flat_map(|fields| {
        let one = |field: &posgate::iso8583::Field| (Just(field.number), content(field));
        fields.iter().map(one).collect::<Vec<_>>()
    });
    (drop, prop_oneof![as_long, any])
        .prop_map(|(drop, set)| Changes { drop, set })
        .boxed()
}

fn value<'a>(dialect: &Dialect, de: u8, content: &'a [u8]) -> FieldValue<'a> {
    match dialect.field(de).unwrap().kind {
        FieldType::Numeric | FieldType::Track => FieldValue::Digits(content),
        FieldType::Alphanumeric | FieldType::Text => FieldValue::Text(content),
        FieldType::Binary => FieldValue::Bytes(content),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn sent_on_is_as_if_written_again(
        ((dialect, mti, fields), changes) in sound_message().prop_flat_map(|message| {
            let changes = changes(&message.0, &message.2);
            (Just(message), changes)
        })
    ) {
        let prefix = dialect.framing().prefix_bytes();
        let before = written(&dialect, mti, &fields);
        let mut index = Index::new();
        let message = dialect.decode(&before[prefix..], &mut index).unwrap();
        let set: Vec<_> = (changes.set.iter())
            .map(|(de, content)| (*de, value(&dialect, *de, content)))
            .collect();
        let how = Rewrite {
            envelope: Envelope::Raw(message.envelope()),
            drop: changes.drop.iter().copied().collect::<FieldSet>(),
            set: &set,
        };
        let mut out = BytesMut::from(&b"before"[..]);
        rewrite(&message, &how, &mut out).unwrap();
        prop_assert_eq!(&out[..6], b"before");

        let mut expect = fields;
        expect.retain(|(de, _)| {
            !how.drop.contains(*de) && !changes.set.iter().any(|(set, _)| set == de)
        });
        expect.extend(changes.set.iter().cloned());
        expect.sort_by_key(|(de, _)| *de);
        let expect = written(&dialect, mti, &expect);
        let mut other = Index::new();
        let expected = dialect.decode(&expect[prefix..], &mut other).unwrap();
        let mut index = Index::new();
        let there = dialect.decode(&out[6 + prefix..], &mut index).unwrap();
        prop_assert_eq!(there.content_fields(), expected.content_fields());
        for de in expected.content_fields().iter() {
            prop_assert_eq!(there.element(de), expected.element(de), "DE{}", de);
        }
        // A second bitmap in which nothing is left stays: only then are they not the same.
        if there.fields() == expected.fields() {
            prop_assert_eq!(&out[6..], &expect[..]);
        }
    }

    #[test]
    fn a_value_that_the_dialect_refuses_takes_nothing_with_it(
        (dialect, mti, fields) in sound_message(),
        at in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!fields.is_empty());
        let prefix = dialect.framing().prefix_bytes();
        let before = written(&dialect, mti, &fields);
        let mut index = Index::new();
        let message = dialect.decode(&before[prefix..], &mut index).unwrap();
        let (de, content) = at.get(&fields);
        // As long as what stands there, so that only its character is wrong; bytes are given one too many.
        let field = dialect.field(*de).unwrap();
        let refused = match field.kind {
            FieldType::Numeric | FieldType::Track => vec![b'x'; content.len()],
            FieldType::Alphanumeric | FieldType::Text => vec![7; content.len()],
            FieldType::Binary => vec![0; usize::from(field.max).saturating_add(1)],
        };
        let how = Rewrite {
            envelope: Envelope::Raw(message.envelope()),
            drop: FieldSet::EMPTY,
            set: &[(*de, value(&dialect, *de, &refused))],
        };
        let mut out = BytesMut::from(&b"before"[..]);
        prop_assert!(rewrite(&message, &how, &mut out).is_err());
        prop_assert_eq!(&out[..], b"before");
    }
}
