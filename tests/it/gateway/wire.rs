//! Scripted peers: messages written field by field, connections read frame by frame, all with a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use posgate::iso8583::{Dialect, FieldType, Index, Mti};
use posgate::sim::transport::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything may take that should happen at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A deadline that a test lets pass, and keeps elsewhere: longer than a busy machine's disk stalls.
pub(super) const SILENCE: Duration = Duration::from_millis(1_500);

/// A message to be written. Digits and text as ASCII, binary fields as bytes.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    mti: [u8; 4],
    envelope: Option<Vec<u8>>,
    fields: BTreeMap<u8, Vec<u8>>,
}

impl Draft {
    pub(super) fn new(mti: &str) -> Self {
        Self {
            mti: mti.as_bytes().try_into().unwrap(),
            envelope: None,
            fields: BTreeMap::new(),
        }
    }

    pub(super) fn set(mut self, de: u8, value: impl AsRef<[u8]>) -> Self {
        self.fields.insert(de, value.as_ref().to_vec());
        self
    }

    pub(super) fn without(mut self, de: u8) -> Self {
        self.fields.remove(&de);
        self
    }

    pub(super) fn has(&self, de: u8) -> bool {
        self.fields.contains_key(&de)
    }

    /// A field as it is written.
    pub(super) fn value(&self, de: u8) -> &[u8] {
        &self.fields[&de]
    }

    /// The same fields under another message type.
    pub(super) fn retyped(self, mti: &str) -> Self {
        Self {
            mti: mti.as_bytes().try_into().unwrap(),
            ..self
        }
    }

    pub(super) fn envelope(mut self, bytes: &[u8]) -> Self {
        self.envelope = Some(bytes.to_vec());
        self
    }

    /// The frame with its length prefix.
    pub(super) fn frame(&self, dialect: &Dialect) -> Vec<u8> {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        match &self.envelope {
            Some(bytes) => writer.envelope_raw(bytes),
            None => writer.envelope_default(),
        }
        writer.mti(Mti::from_ascii(self.mti).unwrap());
        for (de, value) in &self.fields {
            writer.text(*de, value);
        }
        writer.finish().unwrap();
        out.to_vec()
    }
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mti: String,
    pub(super) envelope: Vec<u8>,
    fields: BTreeMap<u8, Vec<u8>>,
}

impl Seen {
    /// Its message type as the codec has it.
    pub(super) fn mti(&self) -> Mti {
        Mti::from_ascii(self.mti.as_bytes().try_into().unwrap()).unwrap()
    }

    fn read(dialect: &Dialect, frame: &[u8]) -> Self {
        let mut index = Index::new();
        let message = dialect.decode(frame, &mut index).unwrap();
        let field = |de: u8| {
            let kind = dialect.field(de).unwrap().kind;
            let value = match kind {
                FieldType::Numeric | FieldType::Track => message.digits(de).unwrap().to_vec(),
                FieldType::Alphanumeric | FieldType::Text => message.value(de).unwrap().to_vec(),
                FieldType::Binary => message.field(de).unwrap().to_vec(),
            };
            (de, value)
        };
        let mut fields: BTreeMap<_, _> = message
            .fields()
            .iter()
            .filter(|de| *de > 1)
            .map(field)
            .collect();
        fields.remove(&1);
        Self {
            mti: message.mti().to_string(),
            envelope: message.envelope().to_vec(),
            fields,
        }
    }

    pub(super) fn has(&self, de: u8) -> bool {
        self.fields.contains_key(&de)
    }

    /// A field as it came.
    pub(super) fn raw(&self, de: u8) -> &[u8] {
        &self.fields[&de]
    }

    /// A field as text; empty when it is not there.
    pub(super) fn text(&self, de: u8) -> &str {
        let value = self.fields.get(&de).map(Vec::as_slice).unwrap_or_default();
        str::from_utf8(value).unwrap().trim_end()
    }

    /// Characters of a field.
    pub(super) fn part(&self, de: u8, places: std::ops::Range<usize>) -> &str {
        self.text(de).get(places).unwrap()
    }

    /// DE39.
    pub(super) fn code(&self) -> &str {
        self.text(39)
    }

    /// The answer an upstream would give: what it echoes, a code, its reference number and a MAC.
    pub(super) fn answered(&self, code: &str) -> Draft {
        const ECHOED: [u8; 14] = [2, 3, 4, 7, 11, 12, 13, 25, 41, 42, 49, 60, 61, 90];
        let mti = Mti::from_ascii(self.mti.as_bytes().try_into().unwrap()).unwrap();
        let mut draft = Draft::new(&mti.answer().to_string());
        for de in ECHOED {
            if let Some(value) = self.fields.get(&de) {
                draft = draft.set(de, value);
            }
        }
        draft
            .set(37, format!("R{:0>11}", last_of(self.text(11), 11)))
            .set(39, code)
            .set(64, [0xA5; 8])
    }
}

/// The last characters of a text, all of a shorter one.
fn last_of(text: &str, count: usize) -> &str {
    text.get(text.len().saturating_sub(count)..).unwrap()
}

/// One connection, either side.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    dialect: Arc<Dialect>,
    held: Vec<u8>,
    cut_off: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream, dialect: Arc<Dialect>) -> Self {
        Self {
            stream,
            dialect,
            held: Vec::new(),
            cut_off: false,
        }
    }

    pub(super) async fn send(&mut self, draft: &Draft) {
        let frame = draft.frame(&self.dialect);
        self.send_bytes(&frame).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        sent.expect("the peer does not read").unwrap();
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Seen {
        self.next_or_end().await.expect("the peer closed")
    }

    /// The next message, or nothing when the peer closes first.
    pub(super) async fn next_or_end(&mut self) -> Option<Seen> {
        let next = tokio::time::timeout(PATIENCE, self.read_one()).await;
        next.expect("nothing came")
    }

    /// Waits until the peer closes; whatever comes before is a mistake.
    pub(super) async fn ends(&mut self) {
        assert_eq!(self.next_or_end().await, None);
    }

    /// Waits until the peer closes as it should, which in TLS means that it says so: nobody can cut a
    /// conversation short unseen.
    pub(super) async fn ends_cleanly(&mut self) {
        self.ends().await;
        assert!(!self.cut_off, "no close-notify came");
    }

    async fn read_one(&mut self) -> Option<Seen> {
        loop {
            if let Some(len) = self.held.first_chunk::<2>() {
                let end = 2 + usize::from(u16::from_be_bytes(*len));
                if self.held.len() >= end {
                    let frame: Vec<u8> = self.held.drain(..end).skip(2).collect();
                    if frame.is_empty() {
                        continue;
                    }
                    return Some(Seen::read(&self.dialect, &frame));
                }
            }
            let mut chunk = [0; 4_096];
            match self.stream.read(&mut chunk).await {
                Ok(0) => return None,
                Err(_) => {
                    self.cut_off = true;
                    return None;
                }
                Ok(count) => self.held.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
