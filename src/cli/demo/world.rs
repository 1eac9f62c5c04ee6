//! The demonstration's world: a host with faults, a gateway with TLS on a store in a temporary folder,
//! and a fleet with terminals in every state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::admin::Admin;
use crate::base::{AcquirerId, Clock, MerchantId, SystemClock, TerminalId};
use crate::binding::watch::BindingRules;
use crate::binding::{AccountStatus, BindingState, ReasonSet, RependReason, SerialRule};
use crate::iso8583::{Dialect, ResponseCode};
use crate::net::session::SessionLimits;
use crate::security::tls;
use crate::sim::certs::{ClientTls, MadeCerts, Trust};
use crate::sim::chance::Chance;
use crate::sim::fleet::{Fleet, FleetSettings, Member, Role, RunningFleet, Snapshot};
use crate::sim::host::{Host, HostCounters, HostSettings, RunningHost};
use crate::sim::ledger::Ledger;
use crate::sim::message::Identity;
use crate::sim::rules::{Faults, Rules};
use crate::sim::transport::Target;
use crate::store::projection::project_round;
use crate::store::read_model::TerminalTotal;
use crate::store::registry::{Actor, ImportLine};
use crate::store::sqlite::SqliteFolder;
use crate::store::{ReadModel, RegistryError};
use crate::switch::{
    Dispatcher, ListenSettings, Running, StanPolicy, StoreChoice, StoreKeeping, SwitchSettings,
    UpstreamAddress, UpstreamSettings, Ways,
};
use crate::telemetry::{log, metrics};

/// The gateway's deadline for an upstream. Short, so that late answers happen within the demonstration.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// How late a late answer is.
const LATE_BY: Duration = Duration::from_secs(3);
/// How long a terminal waits: longer than the gateway, as in the field.
const TERMINAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Name of the store's folder.
const STORE: &str = "store";

/// What a terminal is for in the demonstration.
#[derive(Clone, Copy)]
struct Part {
    role: Role,
    /// Terminals of a hundred.
    share: u32,
    declined_with: Option<&'static [u8; 2]>,
}

const UNBOUND: Role = Role("unbound");
const RE_PENDING: Role = Role("re-pending");
const SUSPENDED: Role = Role("suspended");
const FROZEN: Role = Role("account-frozen");
const WRONG_MERCHANT: Role = Role("wrong-merchant");

const PARTS: [Part; 6] = [
    Part {
        role: UNBOUND,
        share: 4,
        declined_with: Some(b"97"),
    },
    Part {
        role: RE_PENDING,
        share: 4,
        declined_with: Some(b"58"),
    },
    Part {
        role: SUSPENDED,
        share: 4,
        declined_with: Some(b"58"),
    },
    Part {
        role: FROZEN,
        share: 4,
        declined_with: Some(b"58"),
    },
    Part {
        role: WRONG_MERCHANT,
        share: 4,
        declined_with: Some(b"03"),
    },
    Part {
        role: Role("trading"),
        share: 80,
        declined_with: None,
    },
];

/// The world at work.
pub(super) struct World {
    pub(super) host: RunningHost,
    pub(super) gateway: Running,
    pub(super) fleet: RunningFleet,
    pub(super) monitor: SocketAddr,
    admin: Option<Admin>,
    folder: tempfile::TempDir,
    _log: log::LogGuard,
}

/// The three books, and what happened.
pub(super) struct Books {
    pub(super) fleet: Snapshot,
    pub(super) terminals: Ledger,
    pub(super) host: Ledger,
    pub(super) host_did: HostCounters,
    pub(super) journal: Vec<TerminalTotal>,
    pub(super) reversals_left: usize,
    pub(super) drained: bool,
}

impl World {
    /// Starts everything.
    pub(super) async fn start(terminals: u32, rate: u32, seed: u64) -> anyhow::Result<Self> {
        // The demonstration provokes warnings by the hundred: they are counted, not shown.
        let log = log::install(log::LogFormat::Text, "error")
            .map_err(|problem| anyhow::anyhow!("the log cannot be set up: {problem}"))?;
        let prometheus = metrics::install().context("metrics cannot be set up")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let dialect = Dialect::shipped("unionpay-pos").context("the dialect is shipped")?;
        let host = Host::start(HostSettings {
            rules: Rules {
                faults: faults(),
                rules: Vec::new(),
            },
            seed,
            ..HostSettings::new(Arc::clone(&dialect), Arc::clone(&clock))
        })
        .await
        .context("the host cannot be started")?;
        let certs = MadeCerts::for_localhost()?;
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let settings = settings(&dialect, &certs, &host, folder.path())?;
        let gateway = Running::start(&settings, &clock)?;
        let members = members(terminals);
        bind(&gateway, &members, &*clock)?;
        let ways = Ways::to_file(&gateway.folder.path().join("outbox"));
        let dispatcher = Dispatcher::new(&gateway, ways, &clock);
        let admin = Admin::new(&gateway, Arc::clone(&clock), Some(prometheus), dispatcher)?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let monitor = admin
            .serve_monitor(any_port)
            .await
            .context("no port for /metrics")?;
        until_ready(&gateway).await?;
        let name = ServerName::try_from("localhost")?;
        let tls = ClientTls::new(&Trust::CaPem(certs.ca_pem), name)?;
        let addr = *gateway.addresses.first().context("the gateway listens")?;
        let target = Target {
            addr,
            tls: Some(tls),
        };
        let fleet = Fleet::start(FleetSettings {
            per_second: rate,
            answer_timeout: TERMINAL_TIMEOUT,
            seed,
            ..FleetSettings::new(target, dialect, members, clock)
        });
        Ok(Self {
            host,
            gateway,
            fleet,
            monitor,
            admin: Some(admin),
            folder,
            _log: log,
        })
    }

    /// Lets the terminals finish, then the gateway's own reversals. True when nothing is left.
    pub(super) async fn settle(&mut self, limit: Duration) -> bool {
        let terminals = self.fleet.stop_and_settle(limit).await;
        let gateway = tokio::time::timeout(limit, async {
            while self.gateway.switch.owed() + self.gateway.switch.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        gateway.await.is_ok() && terminals
    }

    /// Stops everything and reads the books.
    pub(super) async fn finish(mut self) -> anyhow::Result<Books> {
        let fleet = self.fleet.snapshot();
        let terminals = self.fleet.ledger();
        let reversals_left = self.gateway.switch.owed();
        drop(self.admin.take());
        let drained = self.gateway.drain(Duration::from_secs(10)).await;
        let (host, host_did) = self.host.shutdown().await;
        let folder = SqliteFolder::open(&self.folder.path().join(STORE))?;
        let journal = tokio::task::spawn_blocking(move || {
            let (mut journal, mut model) = (folder.journal()?, folder.read_model()?);
            while project_round(&mut journal, &mut model)? > 0 {}
            model.totals()
        })
        .await??;
        Ok(Books {
            fleet,
            terminals,
            host,
            host_did,
            journal,
            reversals_left,
            drained,
        })
    }
}

/// One answer in a hundred each is dropped, sent twice, or sent after everybody gave up.
fn faults() -> Faults {
    Faults {
        drop: Chance::percent(1),
        duplicate: Chance::percent(1),
        late: Chance::percent(1),
        late_by: LATE_BY,
        ..Faults::NONE
    }
}

fn settings(
    dialect: &Arc<Dialect>,
    certs: &MadeCerts,
    host: &RunningHost,
    folder: &std::path::Path,
) -> anyhow::Result<SwitchSettings> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(certs.cert_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(certs.key_pem.as_bytes())?;
    let seconds = Duration::from_secs;
    let link = || UpstreamAddress {
        address: host.addr().to_string(),
        tls: None,
    };
    Ok(SwitchSettings {
        listeners: vec![ListenSettings {
            name: "demo".into(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: Some(tls::server(chain?, key)?),
            dialect: Arc::clone(dialect),
            acquirer: "demo".into(),
            upstream: "host".into(),
            sign_on_required: true,
            authentic: false,
            code_entry: false,
            serials: SerialRule::Watch,
            handshake_timeout: seconds(5),
            handshakes_max: 256,
            handshakes_per_address_max: 0,
            // All terminals come from one machine and at once.
            connections_per_second: 0,
            sessions_max: 100_000,
            session: SessionLimits {
                frame_timeout: seconds(10),
                idle_timeout: seconds(600),
                write_timeout: seconds(10),
                frame_bytes_max: 4_096,
                pending_max: 4,
                write_bytes_max: 32 << 10,
            },
        }],
        upstreams: vec![UpstreamSettings {
            name: "host".into(),
            dialect: Arc::clone(dialect),
            addresses: vec![link(), link()],
            stan: StanPolicy::Pass,
            timeout: UPSTREAM_TIMEOUT,
            sign_on: true,
            terminal: TerminalId::parse("POSGATE")?,
            merchant: MerchantId::parse("POSGATE")?,
            tpdu: Vec::new(),
            connect_timeout: seconds(5),
            answer_timeout: seconds(10),
            attempts_max: 60,
            echo_interval: seconds(30),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: seconds(2),
            frame_bytes_max: 8_192,
        }],
        store: StoreChoice::Sqlite(folder.join(STORE)),
        bindings: BindingRules::default(),
        journal_gather: Duration::ZERO,
        keeping: StoreKeeping {
            reserve_bytes: 8 << 20,
            ..StoreKeeping::default()
        },
        data_key_file: Some(folder.join("data.keys")),
        in_flight_max: 10_000,
        memory_bytes_max: 0,
    })
}

/// The fleet: of every hundred terminals so many of each part, at least one of each.
fn members(count: u32) -> Vec<Member> {
    let mut members = Vec::new();
    for number in 0..count {
        let part = part_of(number, count);
        let shop = if part.role == WRONG_MERCHANT {
            9_999
        } else {
            number / 4
        };
        let text = |prefix: &str, number: u32, width: usize| format!("{prefix}{number:0width$}");
        let terminal = TerminalId::parse(&text("D", number, 7));
        let merchant = MerchantId::parse(&text("10411004", shop, 7));
        if let (Ok(terminal), Ok(merchant)) = (terminal, merchant) {
            let declined_with = part
                .declined_with
                .and_then(|code| ResponseCode::from_slice(code));
            let identity = Identity { terminal, merchant };
            members.push(Member {
                identity,
                role: part.role,
                declined_with,
            });
        }
    }
    members
}

/// What the terminal with that number does. A small fleet has one of each odd part first.
fn part_of(number: u32, count: u32) -> Part {
    let [odd @ .., trading] = PARTS;
    if count < 100 {
        return odd.get(number as usize).copied().unwrap_or(trading);
    }
    let mut place = number % 100;
    for part in PARTS {
        if place < part.share {
            return part;
        }
        place -= part.share;
    }
    trading
}

/// Binds the fleet as an operator would: one import, all lines or none.
fn bind(gateway: &Running, members: &[Member], clock: &dyn Clock) -> anyhow::Result<()> {
    let acquirer = gateway.registry.lock().acquirer("demo")?;
    let actor = Actor::program("demo", clock.wall());
    let bound = members
        .iter()
        .zip(2..)
        .filter(|(member, _)| member.role != UNBOUND);
    let mut lines = bound.map(|(member, line)| Ok(import_line(acquirer, member, line)));
    gateway.registry.change(|registry| {
        let imported = registry.import(&mut lines, &actor, &mut |_| {})?;
        Ok::<_, RegistryError>(imported)
    })?;
    Ok(())
}

fn import_line(acquirer: AcquirerId, member: &Member, line: u64) -> ImportLine {
    let (state, reasons) = match member.role {
        RE_PENDING => (
            BindingState::RePending,
            ReasonSet::EMPTY.with(RependReason::Phone),
        ),
        SUSPENDED => (BindingState::Suspended, ReasonSet::EMPTY),
        _ => (BindingState::Active, ReasonSet::EMPTY),
    };
    let frozen = member.role == FROZEN;
    // Terminals that send another shop's number are bound to a shop of their own.
    let own_shop = member.role == WRONG_MERCHANT;
    let merchant = if own_shop {
        MerchantId::parse(&format!("10411005{line:07}")).unwrap_or(member.identity.merchant)
    } else {
        member.identity.merchant
    };
    let account = format!("{}-{merchant}", if frozen { "frozen" } else { "account" });
    ImportLine {
        line,
        acquirer,
        terminal: member.identity.terminal,
        merchant,
        merchant_name: "Demonstration shop".into(),
        mcc: "5411".into(),
        account: account.into(),
        account_kind: "bank-card".into(),
        account_status: if frozen {
            AccountStatus::Frozen
        } else {
            AccountStatus::Verified
        },
        serial: "".into(),
        state: Some(state),
        reasons,
        limits: None,
        others: Vec::new(),
        placement: "".into(),
    }
}

/// Waits until a link to the host is up.
async fn until_ready(gateway: &Running) -> anyhow::Result<()> {
    let up = async {
        while gateway.switch.groups_up().0 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), up)
        .await
        .context("the host's links stay down")
}
