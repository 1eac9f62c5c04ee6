//! The gateway under `strace`, with a fleet and a host, once for all tests that read its trace.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use posgate::base::{Clock, MerchantId, SystemClock, TerminalId};
use posgate::binding::{AccountStatus, BindingState, ReasonSet};
use posgate::iso8583::Dialect;
use posgate::sim::chance::Chance;
use posgate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role};
use posgate::sim::host::{Host, HostSettings};
use posgate::sim::message::Identity;
use posgate::sim::rules::{Faults, Rules};
use posgate::sim::transport::Target;
use posgate::store::registry::{Actor, ImportLine, Registry};
use posgate::store::sqlite::SqliteFolder;
use rustix::process::{Pid, Signal, kill_process};

use super::order::Journal;
use super::trace::{CALLS, Event, events_of};

/// Transactions that must have been approved. With as many the journal's log is copied into its file, and begun anew,
/// while the gateway works.
pub(super) const TRANSACTIONS: u64 = 1_800;
/// So few that a journal group fits a page, and each record is found in one write.
const TERMINALS: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(120);

/// What was seen of a gateway from its first start to its end.
pub(super) struct Traced {
    pub(super) events: Vec<Event>,
    /// What its journal said in the end.
    pub(super) journal: Journal,
    /// The host's port.
    pub(super) host: u16,
    /// Its files before it started, by name.
    pub(super) before: HashMap<String, Vec<u8>>,
}

impl Traced {
    /// `None` when there is no strace here and none is required.
    pub(super) fn once() -> Option<&'static Self> {
        static TRACED: OnceLock<Option<Traced>> = OnceLock::new();
        let traced = TRACED.get_or_init(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(trace())
        });
        traced.as_ref()
    }
}

async fn trace() -> Option<Traced> {
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
    let before = databases_in(&store);
    let text = configuration(listen, host.addr());
    std::fs::write(folder.path().join("posgate.toml"), text).unwrap();
    let gateway = Gateway::start(folder.path()).await?;
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
    assert_eq!(gateway.stop().await, Some(0));

    let trace = std::fs::read(folder.path().join("trace")).unwrap();
    Some(Traced {
        events: events_of(&String::from_utf8_lossy(&trace), "store"),
        journal: Journal::read(&store, &dialect),
        host: host.addr().port(),
        before,
    })
}

/// The databases of a store, by name.
fn databases_in(store: &Path) -> HashMap<String, Vec<u8>> {
    let files = std::fs::read_dir(store).unwrap().map(|file| file.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    let databases = named.filter(|(name, _)| name.ends_with(".db") || name.ends_with(".db-wal"));
    databases
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect()
}

/// The process.
struct Gateway {
    strace: Child,
    gateway: Pid,
}

impl Gateway {
    /// `None` when there is no strace here and none is required.
    #[expect(
        clippy::print_stdout,
        reason = "whoever runs the tests must see that this one did not run"
    )]
    async fn start(folder: &Path) -> Option<Self> {
        let strace = Command::new("strace")
            .args(["-f", "-yy", "-s", "100000", "-o", "trace"])
            .args(["-e", CALLS])
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

impl Drop for Gateway {
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
            others: Vec::new(),
            placement: "".into(),
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
