//! The program itself as a process, with a store of its own and an upstream in the test's hands.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use posgate::iso8583::Dialect;
use posgate::sim::transport::{Stream, Target};
use tokio::net::TcpListener;

use super::fixture::{SHOP, Till, UNIONPAY, Who};
use super::wire::{PATIENCE, Wire};

/// A folder with a configuration, four terminals, and a scripted upstream.
pub(super) struct Place {
    folder: tempfile::TempDir,
    bank: TcpListener,
    dialect: Arc<Dialect>,
}

/// A gateway that runs. Killed when it is dropped.
pub(super) struct Serving {
    child: Child,
    address: SocketAddr,
    log: Receiver<String>,
}

impl Place {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bank = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!(
            "[store]\npath = \"data\"\nreserve = \"8MiB\"\n\
             [[listener]]\nname = \"shops\"\naddress = \"127.0.0.1:0\"\nacquirer = \"acme\"\n\
             dialect = \"unionpay-pos\"\nupstream = \"bank\"\nmac = \"none\"\nsign_on = \"optional\"\n\
             [[upstream]]\nname = \"bank\"\ndialect = \"unionpay-pos\"\naddresses = [\"{}\"]\n",
            bank.local_addr().unwrap()
        );
        std::fs::write(folder.path().join("posgate.toml"), text).unwrap();
        let place = Self {
            folder,
            bank,
            dialect: Dialect::shipped(UNIONPAY).unwrap(),
        };
        let lines = (1..=4).map(|n| format!("T{n:07},{SHOP},A{n}\n"));
        let lines: String = lines.collect();
        let csv = place.folder.path().join("terminals.csv");
        std::fs::write(&csv, format!("terminal_id,merchant_id,account_id\n{lines}")).unwrap();
        place.succeeds(&["terminal", "import", "terminals.csv"]);
        place
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let mut posgate = Command::new(env!("CARGO_BIN_EXE_posgate"));
        posgate.args(arguments).current_dir(self.folder.path());
        posgate.stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that has to end with 0; what it printed.
    pub(super) fn succeeds(&self, arguments: &[&str]) -> String {
        let told = self.run(arguments);
        let (out, err) = texts(&told);
        assert_eq!(told.status.code(), Some(0), "{arguments:?}\n{out}{err}");
        out
    }

    /// Runs a command that has to end with a code; all it printed.
    pub(super) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let told = self.run(arguments);
        let (out, err) = texts(&told);
        assert_eq!(told.status.code(), Some(code), "{arguments:?}\n{out}{err}");
        out + &err
    }

    /// Starts the gateway, under another program if one is given, and takes its link.
    pub(super) async fn serve(&self, under: &[&str]) -> (Serving, Wire) {
        let mut words = under.to_vec();
        words.extend([env!("CARGO_BIN_EXE_posgate"), "serve"]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, log) = channel();
        let told = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            told.lines()
                .map_while(Result::ok)
                .try_for_each(|l| tell.send(l))
        });
        let mut said = Vec::new();
        let address = loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else {
                drop(child.kill());
                panic!("it does not listen:\n{}", said.join("\n"));
            };
            if line.contains("listening for terminals") {
                let (_, address) = line.rsplit_once('=').unwrap();
                break address.parse().unwrap();
            }
            said.push(line);
        };
        let serving = Serving {
            child,
            address,
            log,
        };
        let accepted = tokio::time::timeout(PATIENCE, self.bank.accept()).await;
        let (tcp, _) = accepted.expect("no link comes").unwrap();
        (
            serving,
            Wire::new(Stream::Plain(tcp), Arc::clone(&self.dialect)),
        )
    }

    /// A connected terminal. Its first words wait until the link is up.
    pub(super) async fn till(&self, serving: &Serving, number: u32) -> Till {
        let target = Target {
            addr: serving.address,
            tls: None,
        };
        let stream = target.connect(PATIENCE).await.unwrap();
        Till {
            wire: Wire::new(stream, Arc::clone(&self.dialect)),
            who: Who::numbered(number, UNIONPAY),
        }
    }
}

impl Serving {
    /// What it said since it was asked last.
    pub(super) fn lines(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Whether it said so by now.
    pub(super) fn said(&self, words: &str) -> bool {
        self.log.try_iter().any(|line| line.contains(words))
    }

    /// Kills it; what it said and nobody asked for.
    pub(super) fn killed(mut self) -> Vec<String> {
        drop(self.child.kill());
        drop(self.child.wait());
        self.log.iter().collect()
    }

    /// Tells it to end.
    pub(super) async fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.ended().await
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                poll.tick().await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.expect("it does not end")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ended already, most of the time.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn texts(told: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&told.stdout), text(&told.stderr))
}

/// Says that a test is skipped for want of a tool; fails where everything has to run.
#[expect(clippy::print_stdout, reason = "whoever reads the run is to know")]
pub(super) fn lacks(tool: &str, what: &str) {
    assert!(
        std::env::var_os("POSGATE_REQUIRE_TOOLS").is_none_or(|value| value != "1"),
        "{what} needs {tool}, and POSGATE_REQUIRE_TOOLS=1"
    );
    println!("skipped: {what} needs {tool}");
}
