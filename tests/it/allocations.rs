//! What the codec takes from the allocator, counted.

use allocation_counter::measure;
use bytes::BytesMut;
use posgate::iso8583::{Dialect, Index, Mti, ResponseCode, Scanner, answer};

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
