//! Everything a switch is told, checked: `config` makes these from text, tests and the demonstration by hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::{StanPolicy, StoreKeeping};
use crate::base::{MerchantId, TerminalId};
use crate::binding::SerialRule;
use crate::binding::watch::BindingRules;
use crate::iso8583::Dialect;
use crate::net::session::SessionLimits;

/// Where the store lives.
#[derive(Clone, Debug)]
pub enum StoreChoice {
    /// A folder with SQLite files.
    Sqlite(PathBuf),
}

/// A listener, checked.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// Name, for logs and metrics.
    pub name: String,
    /// Address to listen at.
    pub address: SocketAddr,
    /// TLS, or plain.
    pub tls: Option<Arc<ServerConfig>>,
    /// What the terminals speak.
    pub dialect: Arc<Dialect>,
    /// Whose terminals they are.
    pub acquirer: String,
    /// Group their requests go to.
    pub upstream: String,
    /// Whether financial requests need a sign-on first.
    pub sign_on_required: bool,
    /// Whether the MACs of requests are verified before the switch sees them. The configuration always says no,
    /// because they are not verified yet; only what is authentic may change a binding.
    pub authentic: bool,
    /// Whether codes may be entered at terminals; needs `authentic`.
    pub code_entry: bool,
    /// What is made of the device that a message names.
    pub serials: SerialRule,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Unfinished handshakes.
    pub handshakes_max: usize,
    /// Unfinished handshakes of one address; 0 for no limit.
    pub handshakes_per_address_max: usize,
    /// New connections a second.
    pub connections_per_second: u32,
    /// Open sessions.
    pub sessions_max: usize,
    /// Bounds of each session.
    pub session: SessionLimits,
}

/// One address of an upstream group.
#[derive(Clone, Debug)]
pub struct UpstreamAddress {
    /// `host:port`.
    pub address: String,
    /// TLS and the name the certificate must carry, or plain.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// An upstream group, checked.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Name, for logs, metrics and the journal.
    pub name: String,
    /// What it speaks.
    pub dialect: Arc<Dialect>,
    /// Its addresses: a link each.
    pub addresses: Vec<UpstreamAddress>,
    /// Whose STANs it sees.
    pub stan: StanPolicy,
    /// From acceptance of a request to the upstream's answer.
    pub timeout: Duration,
    /// Times a reversal or a repeat is sent before a person has to decide.
    pub attempts_max: u32,
    /// Whether links sign on.
    pub sign_on: bool,
    /// DE41 of our network messages.
    pub terminal: TerminalId,
    /// DE42 of our network messages.
    pub merchant: MerchantId,
    /// TPDU of requests; the dialect's own when empty.
    pub tpdu: Vec<u8>,
    /// TCP and TLS together.
    pub connect_timeout: Duration,
    /// For sign-on and line tests.
    pub answer_timeout: Duration,
    /// Quiet time after which a link is tested; zero for never.
    pub echo_interval: Duration,
    /// First wait before connecting again.
    pub reconnect_min: Duration,
    /// Longest wait before connecting again.
    pub reconnect_max: Duration,
    /// Longest frame.
    pub frame_bytes_max: usize,
}

/// Everything a switch is told.
#[derive(Clone, Debug)]
pub struct SwitchSettings {
    /// Listeners.
    pub listeners: Vec<ListenSettings>,
    /// Upstream groups.
    pub upstreams: Vec<UpstreamSettings>,
    /// Store.
    pub store: StoreChoice,
    /// How long what is stored is kept, and how much room is set aside.
    pub keeping: StoreKeeping,
    /// How long the journal waits at most for more records before it syncs a group; it waits under load only.
    pub journal_gather: Duration,
    /// File with the data keys; in the store's folder when not given.
    pub data_key_file: Option<PathBuf>,
    /// What holds for all bindings.
    pub bindings: BindingRules,
    /// Requests in flight, all groups together.
    pub in_flight_max: usize,
    /// Memory of the process at which no more is accepted, in bytes; the control group's limit when 0.
    pub memory_bytes_max: u64,
}
