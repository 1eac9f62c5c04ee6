//! What `strace` saw of the gateway: writes to the store's files, syncs of them, frames.

use std::collections::HashMap;

/// What happened, in the order in which the kernel saw it. Files are named as in the store's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes are with the system.
    Written {
        file: String,
        at: usize,
        bytes: Vec<u8>,
    },
    /// A file was cut to a length, or lengthened.
    Resized { file: String, length: usize },
    /// A file's name was taken away.
    Removed { file: String },
    /// A thread begins to sync a file.
    SyncBegins { thread: u32, file: String },
    /// It has been synced.
    Synced { thread: u32 },
    /// The first byte of a frame is given to a socket with these ends, local first.
    Sent { ends: (u16, u16), frame: Vec<u8> },
}

/// System calls that [`events_of`] needs to see.
pub(super) const CALLS: &str =
    "trace=fdatasync,fsync,pwrite64,pwritev,ftruncate,unlink,rename,sendto,sendmsg,write,writev";

/// Reads what `strace -f -yy` wrote, of the databases in a folder of that name.
pub(super) fn events_of(trace: &str, folder: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut begun: HashMap<u32, (String, usize)> = HashMap::new();
    let mut streams: HashMap<(u16, u16), (Vec<u8>, usize)> = HashMap::new();
    // Sends are put where they began, once all is read.
    let mut sends: Vec<(usize, Event)> = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let (Ok(thread), rest) = (thread.parse::<u32>(), rest.trim_start()) else {
            continue;
        };
        let (call, began) = if let Some(call) = rest.strip_suffix("<unfinished ...>") {
            events.extend(sync_begun(call, thread, folder));
            begun.insert(thread, (call.to_owned(), events.len()));
            continue;
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let Some((call, began)) = begun.remove(&thread) else {
                continue;
            };
            let (_, end) = end.split_once("resumed>").unwrap();
            (call + end, began)
        } else {
            events.extend(sync_begun(rest, thread, folder));
            (rest.to_owned(), events.len())
        };
        let Some(result) = result_of(&call) else {
            continue;
        };
        if let Some(ends) = ends_of(&call) {
            let (stream, at) = streams.entry(ends).or_default();
            if stream.is_empty() {
                *at = began;
            }
            let bytes = bytes_of(&call);
            stream.extend_from_slice(&bytes[..result.min(bytes.len())]);
            while let Some(length) = stream.first_chunk::<2>() {
                let end = 2 + usize::from(u16::from_be_bytes(*length));
                if stream.len() < end {
                    break;
                }
                let frame = stream.drain(..end).skip(2).collect();
                sends.push((*at, Event::Sent { ends, frame }));
                *at = began;
            }
        } else {
            events.extend(change_of(&call, result, thread, folder));
        }
    }
    sends.sort_by_key(|(at, _)| *at);
    let mut merged = Vec::with_capacity(events.len() + sends.len());
    let mut sends = sends.into_iter().peekable();
    for (at, event) in events.into_iter().enumerate() {
        while let Some((_, send)) = sends.next_if(|(began, _)| *began <= at) {
            merged.push(send);
        }
        merged.push(event);
    }
    merged.extend(sends.map(|(_, send)| send));
    merged
}

/// What the call returned, unless it failed.
fn result_of(call: &str) -> Option<usize> {
    let (_, result) = call.rsplit_once(" = ")?;
    result.split_whitespace().next()?.parse().ok()
}

/// The database, or log of one, that a path in the call names.
fn file_of(call: &str, folder: &str) -> Option<String> {
    let (_, path) = call.split_once(&format!("/{folder}/"))?;
    let (file, _) = path.split_once(['>', '"'])?;
    (file.ends_with(".db") || file.ends_with(".db-wal")).then(|| file.to_owned())
}

fn sync_begun(call: &str, thread: u32, folder: &str) -> Option<Event> {
    let syncs = call.starts_with("fdatasync(") || call.starts_with("fsync(");
    let file = file_of(call, folder).filter(|_| syncs)?;
    Some(Event::SyncBegins { thread, file })
}

/// What a call that came to its end has done to a file.
fn change_of(call: &str, result: usize, thread: u32, folder: &str) -> Option<Event> {
    let (name, arguments) = call.split_once('(')?;
    let file = file_of(
        arguments
            .split_once(", ")
            .map_or(arguments, |(first, _)| first),
        folder,
    )?;
    let last = || {
        let (arguments, _) = arguments.rsplit_once(')')?;
        arguments.rsplit_once(", ")?.1.trim().parse().ok()
    };
    Some(match name {
        "fdatasync" | "fsync" => Event::Synced { thread },
        "pwrite64" => {
            let mut bytes = bytes_of(call);
            bytes.truncate(result);
            let at = last()?;
            Event::Written { file, at, bytes }
        }
        "ftruncate" => Event::Resized {
            file,
            length: last()?,
        },
        "unlink" => Event::Removed { file },
        other => panic!("{other} of {file} is not foreseen"),
    })
}

/// Ports of the socket a call writes to.
fn ends_of(call: &str) -> Option<(u16, u16)> {
    let (name, arguments) = call.split_once('(')?;
    if !["sendto", "write", "writev", "sendmsg"].contains(&name) {
        return None;
    }
    let (_, socket) = arguments.split_once("<TCP:[")?;
    let (ends, _) = socket.split_once(']')?;
    let (local, peer) = ends.split_once("->")?;
    let port = |end: &str| end.rsplit_once(':')?.1.parse().ok();
    Some((port(local)?, port(peer)?))
}

/// All strings of a call, joined: a vectored write has several.
fn bytes_of(call: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = call.as_bytes();
    while let Some(quote) = rest.iter().position(|b| *b == b'"') {
        rest = &rest[quote + 1..];
        loop {
            match rest {
                [b'"', after @ ..] => {
                    rest = after;
                    break;
                }
                [b'\\', escaped @ ..] => rest = unescape(escaped, &mut bytes),
                [byte, after @ ..] => {
                    bytes.push(*byte);
                    rest = after;
                }
                [] => panic!("a string without end in {call}"),
            }
        }
    }
    bytes
}

/// What stands behind a backslash: a letter, a sign, or up to three octal digits.
fn unescape<'r>(escaped: &'r [u8], bytes: &mut Vec<u8>) -> &'r [u8] {
    let octal = escaped
        .iter()
        .take(3)
        .take_while(|b| (b'0'..=b'7').contains(*b))
        .count();
    if octal > 0 {
        let digits = &escaped[..octal];
        let value = digits
            .iter()
            .fold(0, |n: u32, b| n * 8 + u32::from(b - b'0'));
        bytes.push(u8::try_from(value).unwrap());
        return &escaped[octal..];
    }
    bytes.push(match escaped[0] {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 0x0B,
        b'f' => 0x0C,
        sign => sign,
    });
    &escaped[1..]
}

#[test]
fn a_trace_is_read_in_the_order_of_its_beginnings_and_ends() {
    let trace = r#"71 pwrite64(9</s/journal.db-wal>, "a\0\37\"\\\n0\1772", 9, 32) = 9
71 fdatasync(9</s/journal.db-wal> <unfinished ...>
72 sendto(12<TCP:[127.0.0.1:8583->127.0.0.1:40000]>, "\0\2ab\0", 5, MSG_NOSIGNAL, NULL, 0) = 5
72 sendto(13<TCP:[127.0.0.1:40001->127.0.0.1:9100]>, "\0\1x", 3, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
73 ftruncate(10</s/registry.db-wal>, 0)   = 0
71 <... fdatasync resumed>) = 0
72 <... sendto resumed>) = 3
72 sendto(12<TCP:[127.0.0.1:8583->127.0.0.1:40000]>, "\1c", 2, MSG_NOSIGNAL, NULL, 0) = 2
71 pwrite64(8</s/readmodel.db-wal>, "zy", 2, 4096) = 1
71 pwrite64(8</s/readmodel.db-wal>, "zy", 2, 0) = -1 ENOSPC (No space left on device)
71 pwrite64(8</elsewhere/readmodel.db-wal>, "zy", 2, 0) = 2
71 write(8</s/data.keys>, "zy", 2) = 2
73 unlink("/s/registry.db-wal")   = 0
72 sendto(12<TCP:[127.0.0.1:8583->127.0.0.1:40000]>, "\0\1d", 3, MSG_NOSIGNAL, NULL, 0) = -1 EAGAIN (again)
71 +++ exited with 0 +++
"#;
    let terminal = (8583, 40000);
    let sent = |ends, frame: &[u8]| Event::Sent {
        ends,
        frame: frame.to_vec(),
    };
    let file = |name: &str| name.to_owned();
    let written = |name, at, bytes: &[u8]| Event::Written {
        file: file(name),
        at,
        bytes: bytes.to_vec(),
    };
    let log = "registry.db-wal";
    assert_eq!(
        events_of(trace, "s"),
        [
            written("journal.db-wal", 32, b"a\0\x1F\"\\\n0\x7F2"),
            Event::SyncBegins {
                thread: 71,
                file: file("journal.db-wal")
            },
            sent(terminal, b"ab"),
            sent((40001, 9100), b"x"),
            // Its first byte went before the sync ended.
            sent(terminal, b"c"),
            Event::Resized {
                file: file(log),
                length: 0
            },
            Event::Synced { thread: 71 },
            written("readmodel.db-wal", 4096, b"z"),
            Event::Removed { file: file(log) },
        ]
    );
}
