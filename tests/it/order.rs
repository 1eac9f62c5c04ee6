//! The order of syncs and sends, on the system calls themselves.
//!
//! A kill does not show a sync that comes too late or never: what the system's cache holds survives the process.
//! So `posgate serve` runs under `strace`, over plain TCP, and the trace is compared with the journal it left:
//! each frame to the host, and each approval to a terminal, must be sent after the end of an `fdatasync` that began
//! after the write that holds its record.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use posgate::base::{Clock, MerchantId, Stan, SystemClock, TerminalId};
use posgate::binding::{AccountStatus, BindingState, ReasonSet};
use posgate::iso8583::{Dialect, Index};
use posgate::sim::chance::Chance;
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role};
use posgate::sim::host::{Host, HostSettings};
use posgate::sim::message::Identity;
use posgate::sim::rules::{Faults, Rules};
use posgate::sim::transport::Target;
use posgate::store::record::read_group;
use posgate::store::registry::{Actor, ImportLine, Registry};
use posgate::store::sqlite::SqliteFolder;
use posgate::store::{JournalStore, OutcomeKind, Record};
use rustix::process::{Pid, Signal, kill_process};

/// Transactions that must have been approved.
const TRANSACTIONS: u64 = 1_000;
/// So few that a journal group fits a page, and each record is found in one write.
const TERMINALS: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(120);

/// A record that something depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The intent of a transaction.
    Intent(u64),
    /// An outcome of it.
    Outcome(u64, u8),
}

/// What happened, in the order in which the kernel saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    /// Bytes of the journal's write-ahead log are with the system.
    Written(Vec<u8>),
    /// A thread begins to sync the log.
    SyncBegins(u32),
    /// It has been synced.
    Synced(u32),
    /// The first byte of a frame is given to a socket with these ends, local first.
    Sent { ends: (u16, u16), frame: Vec<u8> },
}

/// Reads what `strace -f -yy` wrote.
fn events_of(trace: &str) -> Vec<Event> {
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
        if let Some(call) = rest.strip_suffix("<unfinished ...>") {
            if is_sync(call) {
                events.push(Event::SyncBegins(thread));
            }
            begun.insert(thread, (call.to_owned(), events.len()));
            continue;
        }
        let (call, began) = match rest.strip_prefix("<... ") {
            Some(end) => {
                let Some((call, began)) = begun.remove(&thread) else {
                    continue;
                };
                let (_, end) = end.split_once("resumed>").unwrap();
                (call + end, began)
            }
            None => {
                if is_sync(rest) {
                    events.push(Event::SyncBegins(thread));
                }
                (rest.to_owned(), events.len())
            }
        };
        let Some((_, result)) = call.rsplit_once(" = ") else {
            continue;
        };
        let Some(result) = result
            .split_whitespace()
            .next()
            .and_then(|n| n.parse::<usize>().ok())
        else {
            continue;
        };
        if is_sync(&call) {
            events.push(Event::Synced(thread));
        } else if call.starts_with("pwrite64(") && call.contains("/journal.db-wal>") {
            events.push(Event::Written(bytes_of(&call)));
        } else if let Some(ends) = ends_of(&call) {
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

fn is_sync(call: &str) -> bool {
    (call.starts_with("fdatasync(") || call.starts_with("fsync("))
        && call.contains("/journal.db-wal>")
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

/// What the journal says, and what a frame depends on by it.
struct Journal {
    dialect: Arc<Dialect>,
    /// Records by their first bytes: kind, length, transaction.
    records: HashMap<[u8; 13], Vec<(Step, Vec<u8>)>>,
    known: HashSet<Step>,
    transactions: HashMap<(TerminalId, Stan), u64>,
}

impl Journal {
    fn read(folder: &Path, dialect: &Arc<Dialect>) -> Self {
        let mut journal = Self {
            dialect: Arc::clone(dialect),
            records: HashMap::new(),
            known: HashSet::new(),
            transactions: HashMap::new(),
        };
        let mut store = SqliteFolder::open(folder).unwrap().journal().unwrap();
        store
            .replay(0, &mut |_, group| {
                read_group(group, |record| journal.add(&record)).unwrap();
                true
            })
            .unwrap();
        journal
    }

    fn add(&mut self, record: &Record) {
        let step = match record {
            Record::Intent(intent) => {
                let place = (intent.key.terminal, intent.stan);
                self.transactions.insert(place, intent.txn.0);
                Step::Intent(intent.txn.0)
            }
            Record::Outcome(outcome) => Step::Outcome(outcome.txn.0, outcome.kind as u8),
            _ => return,
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        self.known.insert(step);
        let first = *bytes.first_chunk().unwrap();
        self.records.entry(first).or_default().push((step, bytes));
    }

    /// Records that stand whole in what was written.
    fn found_in(&self, written: &[u8]) -> Vec<Step> {
        let mut found = Vec::new();
        for (at, first) in written.windows(13).enumerate() {
            if !matches!(first[0], 2 | 7) {
                continue;
            }
            for (step, bytes) in self.records.get(first).into_iter().flatten() {
                if written[at..].starts_with(bytes) {
                    found.push(*step);
                }
            }
        }
        found
    }

    /// The record that must be durable before a frame may leave, if there is one.
    fn needed_by(&self, to_host: bool, frame: &[u8]) -> Option<Step> {
        let mut index = Index::new();
        let message = self.dialect.decode(frame, &mut index).unwrap();
        let place = (message.terminal()?, message.stan()?);
        let transaction = self.transactions.get(&place).copied();
        let owed = |transaction| Step::Outcome(transaction, OutcomeKind::ReversalOwed as u8);
        match message.mti().to_string().as_str() {
            // A request without an intent is a violation by itself: nothing makes that step durable.
            "0200" | "0220" if to_host => Some(Step::Intent(transaction.unwrap_or(u64::MAX))),
            "0400" if to_host => Some(owed(transaction.unwrap_or(u64::MAX))),
            "0210" | "0230" if self.dialect.is_approval(message.response_code()?) => Some(
                Step::Outcome(transaction.unwrap_or(u64::MAX), OutcomeKind::Approved as u8),
            ),
            // A reversal of what was never approved needs nothing.
            "0410" => transaction
                .map(owed)
                .filter(|step| self.known.contains(step)),
            _ => None,
        }
    }
}

/// What a check of a trace found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Checked {
    requests: u64,
    answers: u64,
    /// Places of sends that came before their record was durable.
    violations: Vec<usize>,
}

fn check(events: &[Event], journal: &Journal, host: u16) -> Checked {
    let mut written: HashSet<Step> = HashSet::new();
    let mut syncing: HashMap<u32, Vec<Step>> = HashMap::new();
    let mut durable: HashSet<Step> = HashSet::new();
    let mut checked = Checked::default();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Written(bytes) => written.extend(journal.found_in(bytes)),
            Event::SyncBegins(thread) => {
                syncing.insert(*thread, written.drain().collect());
            }
            Event::Synced(thread) => durable.extend(syncing.remove(thread).unwrap()),
            Event::Sent { ends, frame } => {
                let to_host = ends.1 == host;
                let Some(step) = journal.needed_by(to_host, frame) else {
                    continue;
                };
                checked.requests += u64::from(to_host);
                checked.answers += u64::from(!to_host);
                if !durable.contains(&step) {
                    checked.violations.push(at);
                }
            }
        }
    }
    checked
}

/// The same trace with one send moved before the end of the sync that it waited for.
fn with_send_before_its_sync(events: &[Event], journal: &Journal, send: usize) -> Vec<Event> {
    let mut moved = events.to_vec();
    let Event::Sent { ends: _, frame } = &events[send] else {
        panic!("no send");
    };
    let step = [true, false]
        .into_iter()
        .find_map(|to_host| journal.needed_by(to_host, frame))
        .unwrap();
    let holds = |event: &Event| match event {
        Event::Written(bytes) => journal.found_in(bytes).contains(&step),
        _ => false,
    };
    let written = events.iter().position(holds).unwrap();
    let after = |from: usize, wanted: fn(&Event) -> bool| {
        from + events[from..].iter().position(wanted).unwrap()
    };
    let begins = after(written, |event| matches!(event, Event::SyncBegins(_)));
    let synced = after(begins, |event| matches!(event, Event::Synced(_)));
    assert!(synced < send);
    let event = moved.remove(send);
    moved.insert(synced, event);
    moved
}

/// The gateway under strace.
struct Traced {
    strace: Child,
    gateway: Pid,
}

impl Traced {
    /// `None` when there is no strace here and none is required.
    #[expect(
        clippy::print_stdout,
        reason = "whoever runs the tests must see that this one did not run"
    )]
    async fn start(folder: &Path) -> Option<Self> {
        let strace = Command::new("strace")
            .args(["-f", "-yy", "-s", "100000", "-o", "trace"])
            .args([
                "-e",
                "trace=fdatasync,fsync,pwrite64,sendto,sendmsg,write,writev",
            ])
            .args(["-e", "signal=none", env!("CARGO_BIN_EXE_posgate")])
            .args(["serve", "-c", "posgate.toml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let strace = match strace {
            Ok(strace) => strace,
            Err(absent) => {
                assert!(
                    std::env::var_os("POSGATE_REQUIRE_TOOLS").is_none(),
                    "strace is required here: {absent}"
                );
                println!("skipped: strace is not installed ({absent})");
                return None;
            }
        };
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let mut gateway = None;
        eventually("strace starts the gateway", || {
            let text = std::fs::read_to_string(&children).unwrap_or_default();
            gateway = text
                .split_whitespace()
                .next()
                .and_then(|pid| Pid::from_raw(pid.parse().ok()?));
            gateway.is_some() && folder.join("store/admin.sock").exists()
        })
        .await;
        let gateway = gateway.unwrap();
        Some(Self { strace, gateway })
    }

    /// The exit code after SIGTERM.
    async fn stop(mut self) -> Option<i32> {
        kill_process(self.gateway, Signal::TERM).unwrap();
        let mut code = None;
        eventually("the gateway ends", || {
            code = self.strace.try_wait().unwrap();
            code.is_some()
        })
        .await;
        code.unwrap().code()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // A test that fails must not leave it behind.
        if matches!(self.strace.try_wait(), Ok(None)) {
            kill_process(self.gateway, Signal::KILL).unwrap_or_default();
            drop(self.strace.wait());
        }
    }
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, so).await;
    waited.unwrap_or_else(|_| panic!("not so in time: {what}"));
}

fn identity(number: u32) -> Identity {
    Identity {
        terminal: TerminalId::parse(&format!("S{number:07}")).unwrap(),
        merchant: MerchantId::parse("104110041200001").unwrap(),
    }
}

fn bind(folder: &Path, clock: &dyn Clock) {
    let mut registry = SqliteFolder::open(folder).unwrap().registry().unwrap();
    let acquirer = registry.acquirer("acme").unwrap();
    let actor = Actor::program("test", clock.wall());
    let line = |number| {
        let who = identity(number);
        Ok(ImportLine {
            line: u64::from(number) + 1,
            acquirer,
            terminal: who.terminal,
            merchant: who.merchant,
            merchant_name: "Shop".into(),
            mcc: "5411".into(),
            account: "account".into(),
            account_kind: "bank-card".into(),
            account_status: AccountStatus::Verified,
            serial: "".into(),
            state: Some(BindingState::Active),
            reasons: ReasonSet::EMPTY,
            limits: None,
        })
    };
    let mut lines = (1..=TERMINALS).map(line);
    registry.import(&mut lines, &actor, &mut |_| {}).unwrap();
}

fn configuration(listen: SocketAddr, host: SocketAddr) -> String {
    format!(
        r#"
[store]
path = "store"

[[listener]]
name = "shops"
address = "{listen}"
acquirer = "acme"
dialect = "unionpay-pos"
upstream = "bank"
mac = "none"

[[upstream]]
name = "bank"
dialect = "unionpay-pos"
addresses = ["{host}"]
timeout = "1s"
reconnect_min = "20ms"
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_and_each_approval_leaves_after_the_sync_of_its_record() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults {
        drop: Chance::percent(2),
        ..Faults::NONE
    };
    let rules = Rules {
        faults,
        rules: Vec::new(),
    };
    let host = Host::start(HostSettings {
        rules,
        ..HostSettings::new(Arc::clone(&dialect), Arc::clone(&clock))
    })
    .await
    .unwrap();
    // Free a moment ago; nobody dials it before the gateway has it.
    let listen = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let store = folder.path().join("store");
    bind(&store, &*clock);
    let text = configuration(listen, host.addr());
    std::fs::write(folder.path().join("posgate.toml"), text).unwrap();
    let Some(traced) = Traced::start(folder.path()).await else {
        return;
    };
    let member = |number| Member {
        identity: identity(number),
        role: Role("trading"),
        declined_with: None,
    };
    let mut fleet = Fleet::start(FleetSettings {
        mix: Mix {
            refund: Chance::percent(3),
            ..Mix::default()
        },
        answer_timeout: Duration::from_secs(5),
        ..FleetSettings::new(
            Target::plain(listen),
            Arc::clone(&dialect),
            (1..=TERMINALS).map(member).collect(),
            Arc::clone(&clock),
        )
    });
    eventually("so many are approved", || fleet.approved() >= TRANSACTIONS).await;
    assert!(fleet.stop_and_settle(PATIENCE).await);
    assert_eq!(traced.stop().await, Some(0));

    let trace = std::fs::read(folder.path().join("trace")).unwrap();
    let events = events_of(&String::from_utf8_lossy(&trace));
    let journal = Journal::read(&store, &dialect);
    let checked = check(&events, &journal, host.addr().port());
    println!("{} requests, {} answers", checked.requests, checked.answers);
    assert!(
        checked.violations.is_empty(),
        "sends before their sync: {:?}",
        checked.violations
    );
    assert!(checked.requests >= TRANSACTIONS && checked.answers >= TRANSACTIONS);
    let reversals = |event: &&Event| match event {
        Event::Sent { ends, frame } if ends.1 == host.addr().port() => {
            let step = journal.needed_by(true, frame);
            matches!(step, Some(Step::Outcome(..)))
        }
        _ => false,
    };
    assert!(
        events.iter().any(|event| reversals(&event)),
        "none was reversed"
    );

    // The checker sees what it is there for: one send before its sync, to either side.
    for to_host in [true, false] {
        let checkable = |event: &Event| match event {
            Event::Sent { ends, frame } => {
                (ends.1 == host.addr().port()) == to_host
                    && journal.needed_by(to_host, frame).is_some()
            }
            _ => false,
        };
        let send = events.iter().position(checkable).unwrap();
        let moved = with_send_before_its_sync(&events, &journal, send);
        assert_eq!(
            check(&moved, &journal, host.addr().port()).violations.len(),
            1
        );
    }
    // And a sync that is never made.
    let unsynced: Vec<_> = events
        .iter()
        .filter(|event| !matches!(event, Event::SyncBegins(_) | Event::Synced(_)))
        .cloned()
        .collect();
    let unsynced = check(&unsynced, &journal, host.addr().port());
    let sends = usize::try_from(checked.requests + checked.answers).unwrap();
    assert_eq!(unsynced.violations.len(), sends);
}

#[test]
fn a_trace_is_read_in_the_order_of_its_beginnings_and_ends() {
    let trace = r#"71 pwrite64(9</s/journal.db-wal>, "a\0\37\"\\\n0\1772", 8, 32) = 8
71 fdatasync(9</s/journal.db-wal> <unfinished ...>
72 sendto(12<TCP:[127.0.0.1:8583->127.0.0.1:40000]>, "\0\2ab\0", 5, MSG_NOSIGNAL, NULL, 0) = 5
72 sendto(13<TCP:[127.0.0.1:40001->127.0.0.1:9100]>, "\0\1x", 3, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
71 <... fdatasync resumed>) = 0
72 <... sendto resumed>) = 3
72 sendto(12<TCP:[127.0.0.1:8583->127.0.0.1:40000]>, "\1c", 2, MSG_NOSIGNAL, NULL, 0) = 2
71 pwrite64(8</s/readmodel.db-wal>, "z", 1, 0) = 1
72 sendto(12<TCP:[127.0.0.1:8583->127.0.0.1:40000]>, "\0\1d", 3, MSG_NOSIGNAL, NULL, 0) = -1 EAGAIN (again)
71 +++ exited with 0 +++
"#;
    let terminal = (8583, 40000);
    let sent = |ends, frame: &[u8]| Event::Sent {
        ends,
        frame: frame.to_vec(),
    };
    assert_eq!(
        events_of(trace),
        [
            Event::Written(b"a\0\x1F\"\\\n0\x7F2".to_vec()),
            Event::SyncBegins(71),
            sent(terminal, b"ab"),
            sent((40001, 9100), b"x"),
            // Its first byte went before the sync ended.
            sent(terminal, b"c"),
            Event::Synced(71),
        ]
    );
}
