//! A gateway with everything defaulted, an upstream in the test's hands, and a handful of terminals.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use posgate::base::{Clock, MerchantId, SystemClock, TerminalId};
use posgate::binding::watch::BindingRules;
use posgate::binding::{AccountStatus, BindingState, ReasonSet, RependReason, SerialRule};
use posgate::iso8583::Dialect;
use posgate::net::session::SessionLimits;
use posgate::security::tls;
use posgate::sim::certs::{ClientTls, MadeCerts, Trust};
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role, RunningFleet};
use posgate::sim::message::Identity;
use posgate::sim::transport::{Stream, Target};
use posgate::store::RegistryError;
use posgate::store::projection::project_round;
use posgate::store::record::read_group;
use posgate::store::registry::{Actor, ImportLine};
use posgate::store::sqlite::SqliteFolder;
use posgate::store::{JournalStore, Record};
use posgate::switch::{
    ListenSettings, Running, StanPolicy, StoreChoice, StoreKeeping, SwitchSettings,
    UpstreamAddress, UpstreamSettings,
};
use posgate::telemetry::metrics;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpListener;

use super::wire::{Draft, PATIENCE, Seen, Wire};

pub(super) const UNIONPAY: &str = "unionpay-pos";
pub(super) const ISO: &str = "iso8583-1987-ascii";

pub(super) const SHOP: &str = "104110041200001";
/// A number no other bytes of a test happen to contain.
pub(super) const PAN: &str = "6228489137264085196";
pub(super) const TRACK2: &str = "6228489137264085196=30121018642097531";
pub(super) const PIN_BLOCK: [u8; 8] = [0xD3, 0x5C, 0x91, 0x7E, 0xA8, 0x46, 0xF2, 0x0B];
/// Towards the upstream.
pub(super) const GROUP_TPDU: [u8; 5] = [0x60, 0x01, 0x23, 0x04, 0x56];

/// A gateway to be. What a test sets is what it is about.
pub(super) struct Setup {
    pub(super) dialect: &'static str,
    /// What stands behind the shipped text of the dialect.
    pub(super) amended: &'static str,
    pub(super) tls: bool,
    pub(super) sign_on_required: bool,
    /// As if MACs were verified, and codes may be entered.
    pub(super) codes: bool,
    pub(super) serials: SerialRule,
    pub(super) bindings: BindingRules,
    pub(super) stan: StanPolicy,
    pub(super) timeout: Duration,
    pub(super) attempts_max: u32,
    pub(super) answer_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) handshakes_max: usize,
    pub(super) session: SessionLimits,
    pub(super) terminals: u32,
    pub(super) keeping: StoreKeeping,
    /// Other addresses than the scripted host's, a link to each.
    pub(super) hosts: Vec<SocketAddr>,
    /// What an earlier gateway left behind.
    pub(super) stored: Option<Stored>,
    /// Another clock than the machine's.
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl Setup {
    pub(super) fn new() -> Self {
        let seconds = Duration::from_secs;
        Self {
            dialect: UNIONPAY,
            amended: "",
            tls: false,
            sign_on_required: false,
            codes: false,
            serials: SerialRule::Watch,
            bindings: BindingRules::default(),
            stan: StanPolicy::Pass,
            timeout: seconds(15),
            attempts_max: 60,
            answer_timeout: seconds(10),
            handshake_timeout: seconds(5),
            handshakes_max: 256,
            session: SessionLimits {
                frame_timeout: seconds(10),
                idle_timeout: seconds(600),
                write_timeout: seconds(10),
                frame_bytes_max: 4_096,
                pending_max: 4,
                write_bytes_max: 32 << 10,
            },
            terminals: 4,
            keeping: StoreKeeping {
                reserve_bytes: 1 << 20,
                ..StoreKeeping::default()
            },
            hosts: Vec::new(),
            stored: None,
            clock: None,
        }
    }

    pub(super) fn speaking(dialect: &'static str) -> Self {
        Self {
            dialect,
            ..Self::new()
        }
    }

    /// Starts the gateway and binds its terminals. The upstream does not answer links yet.
    pub(super) async fn start(self) -> World {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let Stored { folder, name } = self.stored.unwrap_or_else(|| Stored {
            folder: tempfile::tempdir().unwrap(),
            name: format!("world-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        });
        let prometheus = prometheus();
        let dialect = if self.amended.is_empty() {
            Dialect::shipped(self.dialect).unwrap()
        } else {
            let text = Dialect::shipped_text(self.dialect).unwrap();
            Arc::new(Dialect::parse("amended", &format!("{text}{}", self.amended)).unwrap())
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let bank = TcpListener::bind(any_port).await.unwrap();
        let hosts = match self.hosts {
            hosts if hosts.is_empty() => vec![bank.local_addr().unwrap()],
            hosts => hosts,
        };
        let upstream = |host: SocketAddr| UpstreamAddress {
            address: host.to_string(),
            tls: None,
        };
        let certs = MadeCerts::for_localhost().unwrap();
        let tls = self.tls.then(|| {
            let chain = CertificateDer::pem_slice_iter(certs.cert_pem.as_bytes());
            let chain = chain.collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(certs.key_pem.as_bytes()).unwrap();
            tls::server(chain, key).unwrap()
        });
        let settings = SwitchSettings {
            listeners: vec![ListenSettings {
                name: name.clone(),
                address: any_port,
                tls,
                dialect: Arc::clone(&dialect),
                acquirer: "acme".into(),
                upstream: name.clone(),
                sign_on_required: self.sign_on_required,
                authentic: self.codes,
                code_entry: self.codes,
                serials: self.serials,
                handshake_timeout: self.handshake_timeout,
                handshakes_max: self.handshakes_max,
                handshakes_per_address_max: 0,
                connections_per_second: 0,
                sessions_max: 10_000,
                session: self.session,
            }],
            upstreams: vec![UpstreamSettings {
                name: name.clone(),
                dialect: Arc::clone(&dialect),
                addresses: hosts.into_iter().map(upstream).collect(),
                stan: self.stan,
                timeout: self.timeout,
                sign_on: true,
                terminal: TerminalId::parse("POSGATE").unwrap(),
                merchant: MerchantId::parse("POSGATE").unwrap(),
                tpdu: if self.dialect == UNIONPAY {
                    GROUP_TPDU.to_vec()
                } else {
                    Vec::new()
                },
                connect_timeout: Duration::from_secs(5),
                answer_timeout: self.answer_timeout,
                attempts_max: self.attempts_max,
                echo_interval: Duration::ZERO,
                reconnect_min: Duration::from_millis(10),
                reconnect_max: Duration::from_millis(100),
                frame_bytes_max: 8_192,
            }],
            store: StoreChoice::Sqlite(folder.path().join("store")),
            data_key_file: None,
            in_flight_max: 10_000,
            journal_gather: Duration::ZERO,
            keeping: self.keeping,
            bindings: self.bindings,
            memory_bytes_max: 0,
        };
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let running = Running::start(&settings, &clock).unwrap();
        let world = World {
            address: running.addresses[0],
            running,
            bank,
            dialect,
            tls: self.tls,
            certs,
            folder,
            clock,
            name,
            prometheus,
        };
        for number in 1..=self.terminals {
            world.bind(&Bound::numbered(number));
        }
        world
    }

    /// Starts the gateway, takes its link, and waits until the group's first numbers are reserved.
    pub(super) async fn start_counting(self) -> (World, Wire) {
        let world = self.start().await;
        let link = counting_link(&world).await;
        (world, link)
    }

    /// Starts the gateway and takes its link.
    pub(super) async fn start_with_link(self) -> (World, Wire) {
        let world = self.start().await;
        let link = world.link().await;
        (world, link)
    }
}

/// The recorder of a process can be installed once.
pub(super) fn prometheus() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| metrics::install().unwrap()).clone()
}

/// A terminal to be bound.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) terminal: String,
    pub(super) merchant: String,
    pub(super) account: String,
    pub(super) account_status: AccountStatus,
    pub(super) serial: String,
    pub(super) state: BindingState,
}

impl Bound {
    pub(super) fn numbered(number: u32) -> Self {
        Self {
            terminal: format!("T{number:07}"),
            merchant: SHOP.into(),
            account: "account-1".into(),
            account_status: AccountStatus::Verified,
            serial: String::new(),
            state: BindingState::Active,
        }
    }
}

/// What a gateway leaves behind: its store, and the name its listener and its group go by.
pub(super) struct Stored {
    folder: tempfile::TempDir,
    name: String,
}

impl Stored {
    /// Nothing yet, in a folder that the test chose.
    pub(super) fn nothing_in(folder: tempfile::TempDir) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            folder,
            name: format!("elsewhere-{number}"),
        }
    }

    /// The same store for a gateway that knows no group of the old name.
    pub(super) fn under_another_name(self) -> Self {
        Self::nothing_in(self.folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

pub(super) struct World {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
    pub(super) bank: TcpListener,
    pub(super) dialect: Arc<Dialect>,
    tls: bool,
    certs: MadeCerts,
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) name: String,
    prometheus: PrometheusHandle,
}

impl World {
    /// Imports one terminal.
    pub(super) fn bind(&self, bound: &Bound) {
        let acquirer = self.running.registry.lock().acquirer("acme").unwrap();
        let reasons = if bound.state == BindingState::RePending {
            ReasonSet::EMPTY.with(RependReason::Phone)
        } else {
            ReasonSet::EMPTY
        };
        let line = ImportLine {
            line: 2,
            acquirer,
            terminal: TerminalId::parse(&bound.terminal).unwrap(),
            merchant: MerchantId::parse(&bound.merchant).unwrap(),
            merchant_name: "Shop".into(),
            mcc: "5411".into(),
            account: bound.account.as_str().into(),
            account_kind: "bank-card".into(),
            account_status: bound.account_status,
            serial: bound.serial.as_str().into(),
            state: Some(bound.state),
            reasons,
            limits: None,
            others: Vec::new(),
            placement: "".into(),
        };
        let actor = Actor::program("test", self.clock.wall());
        let mut lines = std::iter::once(Ok(line));
        let imported = self.running.registry.change(|registry| {
            let report = registry.import(&mut lines, &actor, &mut |_| {})?;
            Ok::<_, RegistryError>(report)
        });
        imported.unwrap();
    }

    /// Takes the gateway's next link and its sign-on.
    pub(super) async fn link(&self) -> Wire {
        let mut link = self.unanswered_link().await;
        let sign_on = link.next().await;
        assert_eq!(sign_on.mti, "0800");
        link.send(&sign_on.answered("00")).await;
        let up = || self.running.switch.groups_up().0 == 1;
        eventually("the link is up", up).await;
        link
    }

    /// Takes the gateway's next connection and leaves its sign-on to the test.
    pub(super) async fn unanswered_link(&self) -> Wire {
        let accepted = tokio::time::timeout(PATIENCE, self.bank.accept()).await;
        let (tcp, _) = accepted.expect("no link comes").unwrap();
        tcp.set_nodelay(true).unwrap();
        Wire::new(Stream::Plain(tcp), Arc::clone(&self.dialect))
    }

    pub(super) fn target(&self) -> Target {
        let name = ServerName::try_from("localhost").unwrap();
        let trust = Trust::CaPem(self.certs.ca_pem.clone());
        Target {
            addr: self.address,
            tls: self.tls.then(|| ClientTls::new(&trust, name).unwrap()),
        }
    }

    /// Whom a terminal has to trust.
    pub(super) fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let read = CertificateDer::pem_slice_iter(self.certs.ca_pem.as_bytes());
        read.collect::<Result<_, _>>().unwrap()
    }

    pub(super) async fn connect_to(&self, target: &Target) -> Wire {
        let stream = target.connect(PATIENCE).await.unwrap();
        Wire::new(stream, Arc::clone(&self.dialect))
    }

    pub(super) async fn connect(&self) -> Wire {
        self.connect_to(&self.target()).await
    }

    /// A connected terminal.
    pub(super) async fn till(&self, number: u32) -> Till {
        Till {
            wire: self.connect().await,
            who: Who::numbered(number, self.dialect.name()),
        }
    }

    /// A counter or gauge of this gateway with these labels, 0 when there is none yet.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let of_world = format!("\"{}\"", self.name);
        let wanted = |line: &&str| {
            let label = |(key, value): &(&str, &str)| line.contains(&format!("{key}=\"{value}\""));
            line.starts_with(&format!("{name}{{"))
                && line.contains(&of_world)
                && labels.iter().all(label)
        };
        let text = self.prometheus.render();
        text.lines().filter(wanted).map(value_of).sum()
    }

    /// Answers of the upstream that belong to no waiting request.
    pub(super) fn unmatched(&self, kind: &str) -> u64 {
        self.metric("posgate_upstream_unmatched_total", &[("kind", kind)])
    }

    pub(super) fn reversals(&self, step: &str) -> u64 {
        self.metric("posgate_reversals_total", &[("step", step)])
    }

    /// A small fleet of the bound terminals.
    pub(super) fn fleet(&self, terminals: u32, per_second: u32) -> RunningFleet {
        let member = |number| {
            let who = Who::numbered(number, self.dialect.name());
            Member {
                identity: Identity {
                    terminal: TerminalId::parse(&who.terminal).unwrap(),
                    merchant: MerchantId::parse(&who.merchant).unwrap(),
                },
                role: Role("trading"),
                declined_with: None,
            }
        };
        Fleet::start(FleetSettings {
            per_second,
            mix: Mix::SALES,
            ..FleetSettings::new(
                self.target(),
                Arc::clone(&self.dialect),
                (1..=terminals).map(member).collect(),
                Arc::clone(&self.clock),
            )
        })
    }

    /// What the gateway would leave behind if it ended at once.
    pub(super) fn crashed(&self) -> Stored {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (
            self.folder.path().join("store"),
            folder.path().join("store"),
        );
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            // The shared-memory file is made anew from the write-ahead log, as after a crash of the machine.
            if !file.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        Stored {
            folder,
            name: self.name.clone(),
        }
    }

    /// Stops the gateway once those peers have hung up, and gives back what it stored.
    pub(super) async fn stop<T>(self, peers: T) -> Stored {
        drop(peers);
        // What a test left owed is durable; nobody waits for its answer.
        let owed = self.running.switch.owed();
        let patience = if owed > 0 {
            Duration::from_millis(300)
        } else {
            PATIENCE
        };
        let finished = self.running.drain(patience).await;
        assert!(
            finished,
            "the gateway did not end as it should: {owed} owed"
        );
        Stored {
            folder: self.folder,
            name: self.name,
        }
    }
}

fn value_of(line: &str) -> u64 {
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Waits for a condition.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        let mut poll = tokio::time::interval(Duration::from_millis(2));
        while !is_so() {
            poll.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, so).await;
    waited.unwrap_or_else(|_| panic!("not so in time: {what}"));
}

/// Takes the link, and waits until the group's first numbers are reserved.
pub(super) async fn counting_link(world: &World) -> Wire {
    let mut link = world.link().await;
    let mut till = world.till(4).await;
    let mut stan = 1;
    loop {
        till.send(&till.who.balance(stan)).await;
        let told = tokio::select! {
            request = link.next() => {
                link.send(&request.answered("00")).await;
                till.next().await
            }
            told = till.next() => told,
        };
        match told.code() {
            "00" => return link,
            "96" => stan += 1,
            other => panic!("{other}"),
        }
    }
}

/// Every record of a store's journal, in order.
pub(super) fn journal_of(folder: &Path) -> Vec<Record> {
    let folder = SqliteFolder::open(&folder.join("store")).unwrap();
    let mut journal = folder.journal().unwrap();
    let mut records = Vec::new();
    let each = &mut |_, group: &[u8]| {
        read_group(group, |record| records.push(record)).unwrap();
        true
    };
    journal.replay(0, each).unwrap();
    let mut model = folder.read_model().unwrap();
    while project_round(&mut journal, &mut model).unwrap() > 0 {}
    records
}

/// Who a terminal says it is, and how it writes.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) terminal: String,
    pub(super) merchant: String,
    dialect: String,
}

impl Who {
    pub(super) fn numbered(number: u32, dialect: &str) -> Self {
        Self {
            terminal: format!("T{number:07}"),
            merchant: SHOP.into(),
            dialect: dialect.into(),
        }
    }

    pub(super) fn is_iso(&self) -> bool {
        self.dialect == ISO
    }

    fn own(&self, draft: Draft, stan: u32) -> Draft {
        let draft = draft
            .set(11, format!("{stan:06}"))
            .set(41, &self.terminal)
            .set(42, &self.merchant);
        if self.is_iso() {
            draft.set(7, "1122101500").set(12, "181500").set(13, "1122")
        } else {
            draft
        }
    }

    fn money(&self, processing: &str, kind: &str, stan: u32, minor: u64) -> Draft {
        let draft = self
            .own(Draft::new("0200"), stan)
            .set(2, PAN)
            .set(3, processing)
            .set(4, format!("{minor:012}"))
            .set(14, "3012")
            .set(22, "021")
            .set(25, "00")
            .set(49, "156");
        if self.is_iso() {
            draft
        } else {
            draft
                .set(60, format!("{kind}000001000500"))
                .set(64, [0x5A; 8])
        }
    }

    /// A sale with track and PIN.
    pub(super) fn sale(&self, stan: u32, minor: u64) -> Draft {
        let draft = self
            .money("000000", "22", stan, minor)
            .set(26, "12")
            .set(35, TRACK2)
            .set(52, PIN_BLOCK);
        draft.set(53, "2600000000000000")
    }

    /// The void of a sale with that STAN.
    pub(super) fn void(&self, stan: u32, of: u32, minor: u64) -> Draft {
        if self.is_iso() {
            let original = format!("0200{of:06}11221015000000000000000000000000");
            return self
                .money("020000", "", stan, minor)
                .set(90, format!("{original:0<42}"));
        }
        self.money("200000", "23", stan, minor)
            .set(37, format!("R{of:011}"))
            .set(61, format!("000001{of:06}"))
    }

    /// The refund of a sale with that STAN.
    pub(super) fn refund(&self, stan: u32, of: u32, minor: u64) -> Draft {
        let draft = self.money("200000", "25", stan, minor).retyped("0220");
        let draft = draft.set(35, TRACK2).set(52, PIN_BLOCK);
        if self.is_iso() {
            return draft;
        }
        draft
            .set(37, format!("R{of:011}"))
            .set(61, format!("000001{of:06}"))
    }

    pub(super) fn balance(&self, stan: u32) -> Draft {
        self.money("310000", "01", stan, 0).without(4)
    }

    /// The reversal of a sale with that STAN.
    pub(super) fn reversal(&self, of: u32, minor: u64) -> Draft {
        let draft = self
            .money("000000", "22", of, minor)
            .without(14)
            .set(39, "98");
        if self.is_iso() {
            let original = format!("0200{of:06}1122101500");
            return draft
                .retyped("0420")
                .set(11, format!("{:06}", of + 500_000))
                .set(90, format!("{original:0<42}"));
        }
        draft.retyped("0400")
    }

    pub(super) fn sign_on(&self, stan: u32) -> Draft {
        let draft = self.own(Draft::new("0800"), stan);
        if self.is_iso() {
            draft.set(70, "001")
        } else {
            draft.set(60, "00000000003").set(63, "001")
        }
    }

    pub(super) fn echo(&self, stan: u32) -> Draft {
        if self.is_iso() {
            return self.own(Draft::new("0800"), stan).set(70, "301");
        }
        self.own(Draft::new("0820"), stan).set(60, "00000000301")
    }
}

/// A connected terminal.
pub(super) struct Till {
    pub(super) wire: Wire,
    pub(super) who: Who,
}

impl Till {
    pub(super) async fn send(&mut self, draft: &Draft) {
        self.wire.send(draft).await;
    }

    pub(super) async fn next(&mut self) -> Seen {
        self.wire.next().await
    }

    /// Sends and waits for the answer.
    pub(super) async fn ask(&mut self, draft: &Draft) -> Seen {
        self.send(draft).await;
        self.next().await
    }

    /// The answer's code.
    pub(super) async fn code(&mut self, draft: &Draft) -> String {
        self.ask(draft).await.code().to_owned()
    }

    /// Nothing waits for the terminal: the next it hears is the answer to its line test.
    pub(super) async fn hears_nothing(&mut self) {
        let echo = self.who.echo(777_777);
        let answer = self.ask(&echo).await;
        assert_eq!(answer.text(11), "777777", "{answer:?}");
    }

    /// A sale that the upstream answers with a code; what the upstream saw, and the terminal.
    pub(super) async fn sell(&mut self, link: &mut Wire, stan: u32, code: &str) -> (Seen, Seen) {
        self.send(&self.who.sale(stan, 1_000)).await;
        let request = link.next().await;
        link.send(&request.answered(code)).await;
        (request, self.next().await)
    }
}
