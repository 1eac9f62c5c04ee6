//! The gateway on trial: the same executable as a process of its own, with a configuration and a store in a folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::base::AcquirerId;
use crate::base::failpoint::{self, Point};
use crate::sim::certs::MadeCerts;
use crate::store::registry::{Actor, ImportLine, Registry};
use crate::store::sqlite::SqliteFolder;

/// Whose terminals they are.
pub(super) const ACQUIRER: &str = "trial";

/// The gateway's deadline for the host. Short, so that late answers and reversals happen between two kills.
pub(super) const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(1);

/// Where it listens.
const PORT: u16 = 8583;

/// Longest that a drain may take, by its configuration.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// What is on trial.
pub(super) struct Gateway {
    folder: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
    environment: Vec<(String, String)>,
    /// Another program than this one.
    program: Option<PathBuf>,
}

impl Gateway {
    /// Writes configuration and certificates into an empty folder. Starts nothing.
    pub(super) fn prepare(
        folder: &Path,
        host: SocketAddr,
        own_stans: bool,
        certs: &MadeCerts,
    ) -> anyhow::Result<Self> {
        let address = own_address();
        fs::write(folder.join("posgate.crt"), &certs.cert_pem)?;
        fs::write(folder.join("posgate.key"), &certs.key_pem)?;
        let stan = if own_stans { "own" } else { "pass" };
        let text = format!(
            r#"[store]
path = "store"
data_key_file = "data.keys"

[log]
level = "warn"

[limits]
drain_timeout = "{}s"

[[listener]]
name = "terminals"
address = "{address}"
acquirer = "{ACQUIRER}"
dialect = "unionpay-pos"
upstream = "host"
mac = "none"
connections_per_second = 0

[listener.tls]
certificate = "posgate.crt"
key = "posgate.key"

[[upstream]]
name = "host"
dialect = "unionpay-pos"
addresses = ["{host}", "{host}"]
stan = "{stan}"
timeout = "{}s"
sign_on = true
reconnect_min = "20ms"
reconnect_max = "200ms"
"#,
            DRAIN_TIMEOUT.as_secs(),
            UPSTREAM_TIMEOUT.as_secs(),
        );
        fs::write(folder.join("posgate.toml"), text)?;
        Ok(Self {
            folder: folder.to_owned(),
            address,
            process: None,
            environment: Vec::new(),
            program: None,
        })
    }

    /// Sets variables for the lives to come, instead of those set before.
    pub(super) fn set_environment(&mut self, variables: &[(String, String)]) {
        self.environment = variables.to_vec();
    }

    /// Lets another program, of an older release for one, have the lives to come; `None` for this one.
    pub(super) fn set_program(&mut self, program: Option<&Path>) {
        self.program = program.map(Path::to_owned);
    }

    /// Binds terminals with the set program's own commands: the store is then of its making.
    pub(super) fn bind_by_program(
        &self,
        lines: impl Iterator<Item = ImportLine>,
    ) -> anyhow::Result<()> {
        let mut text = String::from("acquirer,terminal_id,merchant_id,account_id,state\n");
        for line in lines {
            let (terminal, merchant, account) = (line.terminal, line.merchant, line.account);
            writeln!(text, "{ACQUIRER},{terminal},{merchant},{account},active")?;
        }
        fs::write(self.folder.join("terminals.csv"), text)?;
        let mut import = Command::new(self.program()?);
        import.args(["terminal", "import", "terminals.csv", "-c", "posgate.toml"]);
        let done = import.current_dir(&self.folder).output()?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("the older program imports no terminals: {}", said.trim());
        }
        Ok(())
    }

    fn program(&self) -> std::io::Result<PathBuf> {
        self.program.clone().map_or_else(std::env::current_exe, Ok)
    }

    /// Binds terminals in the store of a gateway that does not run.
    pub(super) fn bind(
        &self,
        actor: &Actor,
        lines: impl Iterator<Item = ImportLine>,
    ) -> anyhow::Result<AcquirerId> {
        let mut registry = self.store()?.registry()?;
        let acquirer = registry.acquirer(ACQUIRER)?;
        let mut lines = lines.map(|line| Ok(ImportLine { acquirer, ..line }));
        registry.import(&mut lines, actor, &mut |_| {})?;
        Ok(acquirer)
    }

    /// Where terminals reach it.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators reach it.
    pub(super) fn admin_socket(&self) -> PathBuf {
        self.folder.join("store/admin.sock")
    }

    /// What it wrote to standard error, over all its lives.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("gateway.log")
    }

    /// Its store.
    pub(super) fn store(&self) -> anyhow::Result<SqliteFolder> {
        let folder = self.folder.join("store");
        SqliteFolder::open(&folder).with_context(|| format!("no store at {}", folder.display()))
    }

    /// Starts it, to end by itself the so many-th time that it passes a fail point when one is given.
    pub(super) fn start(&mut self, ending: Option<(Point, u32)>) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .context("no log file")?;
        let mut command = Command::new(self.program()?);
        command
            .args(["serve", "-c", "posgate.toml"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env_remove(failpoint::VARIABLE)
            .envs(self.environment.iter().cloned());
        if let Some((point, hit)) = ending {
            command.env(failpoint::VARIABLE, format!("{}:{hit}", point.name()));
        }
        let process = command.spawn().context("the gateway cannot be started")?;
        self.process = Some(process);
        Ok(())
    }

    /// Whether it has ended, and how.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else {
            bail!("the gateway was not started");
        };
        let ended = process.try_wait()?;
        if ended.is_some() {
            self.process = None;
        }
        Ok(ended)
    }

    /// SIGKILL: it writes nothing more, closes nothing, finishes nothing.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("the gateway does not run")?;
        kill_process(Pid::from_child(process), signal)?;
        Ok(())
    }

    /// SIGTERM, and the exit code once it has drained; `None` when it does not end or a signal ended it.
    pub(super) async fn drain(&mut self) -> anyhow::Result<Option<i32>> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(DRAIN_TIMEOUT + Duration::from_secs(15), async {
            loop {
                if let Some(status) = self.ended()? {
                    return anyhow::Ok(status.code());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if let Ok(code) = ended.await {
            return code;
        }
        self.kill()?;
        Ok(None)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Best effort: a supervisor that fails must not leave a gateway behind.
        drop(self.kill());
    }
}

/// An address of this machine for this supervisor alone, so that no other trial takes it while the gateway is down.
/// The port is below the system's range for outgoing connections, for the same reason.
fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // Process numbers have 22 bits at most. 127.0.0.x is left to others.
    SocketAddr::from(([127, high | 0x40, middle, low], PORT))
}
