//! The configuration file: text, checked, typed.
//!
//! Every mistake is reported at once with its place; unknown keys are mistakes; nothing is clamped.
//! Relative paths are relative to the file's folder. What comes out is ready to start from: files are
//! read, certificates parsed, names resolved to what they name.

mod admin;
mod listener;
mod notify;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::document::{Document, Located, Problem, Problems, Section, Severity};
use crate::base::limits;
use crate::binding::dormancy::DORMANT_MONTHS_MAX;
use crate::binding::watch::BindingRules;
use crate::iso8583::Dialect;
use crate::switch::{
    NotifySettings, StoreCheck, StoreChoice, StoreKeeping, SwitchSettings, UpstreamSettings,
};
use crate::telemetry::log::{LogFormat, check_level};

pub use admin::AdminHttps;

/// A configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// What the switch is told.
    pub switch: SwitchSettings,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: String,
    /// Path of the admin API's Unix socket.
    pub admin_socket: PathBuf,
    /// Where the admin API is served over TLS, if anywhere.
    pub admin_https: Option<AdminHttps>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served over TCP, if anywhere.
    pub monitor_address: Option<SocketAddr>,
    /// Ways to people and programs.
    pub notify: NotifySettings,
    /// Most time a drain takes.
    pub drain_timeout: Duration,
    /// Threads of the runtime; 0 for as many as the process has CPUs.
    pub worker_threads: usize,
    /// What the writer should know.
    pub warnings: Vec<Problem>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Path.
        path: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The file has mistakes, warnings among them.
    #[error("the configuration has mistakes")]
    Problems(Vec<Problem>),
}

/// Reads and checks a file.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let shown = path.display().to_string();
    let fail = |source| ConfigError::Read {
        path: shown.clone(),
        source,
    };
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > limits::DOCUMENT_BYTES_MAX as u64 {
        return Err(fail(std::io::Error::other(
            "the file is too large for a configuration",
        )));
    }
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    parse(&shown, &text, folder)
}

/// Checks a text. `file` is the name used in problems; relative paths are relative to `folder`.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Config, ConfigError> {
    let problems = Problems::new(file, text);
    let document = Document::parse(&problems, text);
    let read = {
        let root = document.root(&problems);
        let reader = Reader {
            problems: &problems,
            folder,
        };
        reader.root(root)
    };
    let found = problems.into_vec();
    let broken = found
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    match read {
        Some(config) if !broken => Ok(Config {
            warnings: found,
            ..config
        }),
        _ => Err(ConfigError::Problems(found)),
    }
}

/// What all parts of the file need while they are read.
struct Reader<'r, 't> {
    problems: &'r Problems<'t>,
    folder: &'r Path,
}

/// Upstream groups: all names that are written, and the settings of those without a mistake.
#[derive(Default)]
struct Upstreams {
    names: Vec<String>,
    sound: Vec<Option<UpstreamSettings>>,
}

/// What `[store]` says.
struct Store {
    store: StoreChoice,
    data_key_file: Option<PathBuf>,
    journal_gather: Duration,
    keeping: StoreKeeping,
}

/// Longest wait of the journal's writer under load, unless the file says otherwise.
const JOURNAL_GATHER: Duration = Duration::from_millis(1);

/// Dialects by name, as the file may refer to them.
type Dialects = BTreeMap<String, Arc<Dialect>>;

impl Reader<'_, '_> {
    fn root(&self, root: Section<'_, '_>) -> Option<Config> {
        let dialects = self.dialects(&root);
        let mut upstreams = Upstreams::default();
        for section in root.sections("upstream") {
            self.once(&section, "name", "upstream group", &mut upstreams.names);
            upstreams.sound.push(self.upstream(section, &dialects));
        }
        if !root.has("upstream") {
            root.error("no [[upstream]]: requests have nowhere to go");
        }
        let mut listeners = Vec::new();
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for section in root.sections("listener") {
            self.once(&section, "name", "listener", &mut names);
            self.once(&section, "address", "listener's address", &mut addresses);
            let index = listeners.len();
            listeners.push(self.listener(section, &dialects, &upstreams, index));
        }
        if !root.has("listener") {
            root.error("no [[listener]]: there is nothing to serve");
        }
        let Store {
            store,
            data_key_file,
            journal_gather,
            keeping,
        } = self.store(&root);
        let (log_format, log_level) = Self::log(&root);
        let (admin_socket, admin_https) = self.admin(&root, &store);
        let monitor_address = self.monitor(&root);
        let notify = self.notify(&root);
        let bindings = Self::bindings(&root, &keeping);
        let limits = root.section("limits");
        let in_flight_max = limits
            .as_ref()
            .and_then(|l| l.integer("in_flight_max", 1..=1_000_000))
            .unwrap_or(10_000);
        let memory_bytes_max = limits
            .as_ref()
            .map_or(0, |l| l.size("memory_max", 64 << 20..=usize::MAX, 0));
        let half_a_minute = Duration::from_secs(30);
        let drain_range = Duration::from_secs(1)..=Duration::from_secs(600);
        let drain_timeout = limits.as_ref().map_or(half_a_minute, |l| {
            l.duration("drain_timeout", drain_range, half_a_minute)
        });
        let worker_threads = limits
            .as_ref()
            .and_then(|l| l.integer("worker_threads", 0..=1_024))
            .unwrap_or(0);
        if let Some(limits) = limits {
            limits.finish();
        }
        root.finish();
        Some(Config {
            switch: SwitchSettings {
                listeners: listeners.into_iter().collect::<Option<_>>()?,
                upstreams: upstreams.sound.into_iter().collect::<Option<_>>()?,
                store,
                data_key_file,
                journal_gather,
                keeping,
                bindings,
                in_flight_max: usize::try_from(in_flight_max).unwrap_or(usize::MAX),
                memory_bytes_max: memory_bytes_max as u64,
            },
            log_format,
            log_level,
            admin_socket,
            admin_https: admin_https?,
            monitor_address,
            notify: notify?,
            drain_timeout,
            worker_threads: usize::try_from(worker_threads).unwrap_or(0),
            warnings: Vec::new(),
        })
    }

    /// Notes what a section is called, and that another one is called the same. Port 0 is a free one each
    /// time.
    fn once(
        &self,
        section: &Section<'_, '_>,
        key: &'static str,
        what: &str,
        seen: &mut Vec<String>,
    ) {
        let Some(text) = section.text(key) else {
            return;
        };
        if seen.iter().any(|known| known == text.value) && !text.value.ends_with(":0") {
            let message = format!("{what} {} is there twice", text.value);
            self.problems.error(&text.span, message);
        }
        seen.push(text.value.to_owned());
    }

    /// The shipped dialects, and those of the configured folder, which win.
    fn dialects(&self, root: &Section<'_, '_>) -> Dialects {
        let mut dialects: Dialects = Dialect::shipped_names()
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), Dialect::shipped(name)?)))
            .collect();
        let Some(folder) = root.text("protocols") else {
            return dialects;
        };
        let path = self.folder.join(folder.value);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(problem) => {
                let message = format!("{} cannot be read as a folder: {problem}", path.display());
                self.problems.error(&folder.span, message);
                return dialects;
            }
        };
        let files: Vec<(String, String)> = entries
            .flatten()
            .filter_map(|entry| {
                let file = entry.path().join("dialect.toml");
                let text = std::fs::read_to_string(&file).ok()?;
                Some((file.display().to_string(), text))
            })
            .collect();
        let find = |name: &str| {
            let mut files = files.iter();
            files
                .find(|(_, text)| Dialect::name_in(text).as_deref() == Some(name))
                .cloned()
        };
        for (file, text) in &files {
            match Dialect::parse_with(file, text, &find) {
                Ok(dialect) => {
                    dialects.insert(dialect.name().to_owned(), Arc::new(dialect));
                }
                Err(found) => {
                    for problem in found {
                        self.problems.error(&folder.span, problem.to_string());
                    }
                }
            }
        }
        dialects
    }

    fn dialect(&self, section: &Section<'_, '_>, dialects: &Dialects) -> Option<Arc<Dialect>> {
        let name = section.required_text("dialect", "unionpay-pos")?;
        if let Some(dialect) = dialects.get(name.value) {
            if !dialect.serves() {
                let message = format!(
                    "dialect {} decodes only: it has no [[request]], which say what a message wants; a dialect that extends it can add them",
                    name.value
                );
                self.problems.error(&name.span, message);
                return None;
            }
            return Some(Arc::clone(dialect));
        }
        let known: Vec<_> = dialects.keys().map(String::as_str).collect();
        let message = format!("no dialect {}; known: {}", name.value, known.join(", "));
        self.problems.error(&name.span, message);
        None
    }

    fn path(&self, text: &Located<&str>) -> PathBuf {
        self.folder.join(text.value)
    }

    fn store(&self, root: &Section<'_, '_>) -> Store {
        let mut read = Store {
            store: StoreChoice::Sqlite(self.folder.join("data")),
            data_key_file: None,
            journal_gather: JOURNAL_GATHER,
            keeping: StoreKeeping::default(),
        };
        let Some(store) = root.section("store") else {
            root.error("[store] is missing; write for example `[store]` and `path = \"data\"`");
            return read;
        };
        if let Some(path) = store.required_text("path", "data") {
            read.store = StoreChoice::Sqlite(self.path(&path));
        }
        read.data_key_file = store.text("data_key_file").map(|text| self.path(&text));
        // The store's own folder is made at the start; any other must be there.
        let StoreChoice::Sqlite(made) = &read.store;
        if let Some(file) = &read.data_key_file
            && let Some(folder) = file.parent()
            && folder != self.folder
            && folder != made
            && !folder.is_dir()
        {
            let message = format!(
                "the folder of {} is not there; make it first",
                file.display()
            );
            self.problems
                .error(&store.span_of("data_key_file"), message);
        }
        if read.data_key_file.is_none() {
            self.problems.warn(
                &store.span(),
                "store.data_key_file is not set: the key that seals card numbers lies beside them; \
                 keep it on another volume in production",
            );
        }
        let most = Duration::from_millis(50);
        read.journal_gather =
            store.duration("journal_gather", Duration::ZERO..=most, JOURNAL_GATHER);
        read.keeping = self.keeping(&store);
        store.finish();
        read
    }

    /// What `[bindings]` says.
    fn bindings(root: &Section<'_, '_>, keeping: &StoreKeeping) -> BindingRules {
        let default = BindingRules::default();
        let Some(section) = root.section("bindings") else {
            return default;
        };
        let range = BindingRules::QUARANTINE_MIN..=BindingRules::QUARANTINE_MAX;
        let rules = BindingRules {
            quarantine: section.duration("quarantine", range, default.quarantine),
            dormant_months: section
                .integer("dormant_months", 0..=DORMANT_MONTHS_MAX.into())
                .and_then(|months| u32::try_from(months).ok())
                .unwrap_or(default.dormant_months),
            replacement: section.duration(
                "replacement_expiry",
                BindingRules::REPLACEMENT_MIN..=BindingRules::REPLACEMENT_MAX,
                default.replacement,
            ),
        };
        // Who traded must not look idle because nothing is left that shows it.
        let shown = keeping.journal.min(keeping.transactions);
        if Duration::from_secs(u64::from(rules.dormant_months) * 31 * 86_400) > shown {
            section.problems().error(
                &section.span_of("dormant_months"),
                "bindings.dormant_months is longer than store.journal_keep or store.transactions_keep: what \
                 shows that a terminal traded would be gone",
            );
        }
        section.finish();
        rules
    }

    /// How long what is stored is kept, and the room set aside.
    fn keeping(&self, store: &Section<'_, '_>) -> StoreKeeping {
        let default = StoreKeeping::default();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let reserve = usize::try_from(default.reserve_bytes).unwrap_or(usize::MAX);
        let keeping = StoreKeeping {
            reserve_bytes: store.size("reserve", 8 << 20..=64 << 30, reserve) as u64,
            journal: store.duration("journal_keep", days(7)..=days(36_500), default.journal),
            transactions: store.duration(
                "transactions_keep",
                days(30)..=days(36_500),
                default.transactions,
            ),
            card_numbers: store.duration(
                "card_numbers_keep",
                days(1)..=days(400),
                default.card_numbers,
            ),
            check: store.choice("check", &StoreCheck::NAMES, default.check),
        };
        if keeping.transactions < keeping.journal {
            self.problems.error(
                &store.span_of("transactions_keep"),
                "store.transactions_keep must not be shorter than store.journal_keep: what the journal \
                 still has would come back whenever the read model is made again",
            );
        }
        keeping
    }

    fn log(root: &Section<'_, '_>) -> (LogFormat, String) {
        let Some(log) = root.section("log") else {
            return (LogFormat::Text, "info".into());
        };
        let format = log.choice(
            "format",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            LogFormat::Text,
        );
        let mut level = "info".to_owned();
        if let Some(written) = log.text("level") {
            match check_level(written.value) {
                Ok(()) => written.value.clone_into(&mut level),
                Err(problem) => {
                    let message = format!("log.level cannot be used: {problem}; try \"info\"");
                    root.problems().error(&written.span, message);
                }
            }
        }
        log.finish();
        (format, level)
    }

    fn monitor(&self, root: &Section<'_, '_>) -> Option<SocketAddr> {
        let monitor = root.section("monitor")?;
        let address = monitor.required_text("address", "127.0.0.1:9464");
        monitor.finish();
        self.address(&address?)
    }

    fn address(&self, text: &Located<&str>) -> Option<SocketAddr> {
        let parsed = text.value.parse();
        if parsed.is_err() {
            let message = format!(
                "\"{}\" is no address and port, as in \"0.0.0.0:8583\"",
                text.value
            );
            self.problems.error(&text.span, message);
        }
        parsed.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::SerialRule;
    use crate::switch::StanPolicy;

    const SOUND: &str = r#"
[store]
path = "data"
data_key_file = "keys"

[[listener]]
name = "shops"
address = "127.0.0.1:0"
acquirer = "acme"
dialect = "unionpay-pos"
upstream = "bank"
mac = "none"

[[upstream]]
name = "bank"
dialect = "unionpay-pos"
addresses = ["127.0.0.1:9583"]
"#;

    fn check(text: &str) -> Vec<String> {
        match parse("posgate.toml", text, Path::new("/nowhere")) {
            Ok(config) => config.warnings.iter().map(ToString::to_string).collect(),
            Err(ConfigError::Problems(found)) => found.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_smallest_file_has_the_documented_defaults() {
        let config = parse("posgate.toml", SOUND, Path::new("/nowhere")).unwrap();
        let listener = &config.switch.listeners[0];
        assert_eq!(listener.handshake_timeout, Duration::from_secs(5));
        assert_eq!(listener.handshakes_max, 256);
        assert_eq!(listener.handshakes_per_address_max, 0);
        assert_eq!(listener.connections_per_second, 500);
        assert_eq!(listener.session.frame_timeout, Duration::from_secs(10));
        assert_eq!(listener.session.idle_timeout, Duration::from_secs(600));
        assert_eq!(listener.session.write_timeout, Duration::from_secs(10));
        assert_eq!(listener.session.frame_bytes_max, 4_096);
        assert_eq!(listener.session.pending_max, 4);
        assert_eq!(listener.session.write_bytes_max, 32_768);
        assert!(listener.sign_on_required);
        assert_eq!(config.switch.in_flight_max, 10_000);
        assert_eq!(config.switch.upstreams[0].timeout, Duration::from_secs(15));
        assert_eq!(config.drain_timeout, Duration::from_secs(30));
        assert_eq!(config.switch.keeping, StoreKeeping::default());
        assert_eq!(config.admin_socket, Path::new("/nowhere/data/admin.sock"));
        assert_eq!(
            check(SOUND),
            [
                "posgate.toml:6:1: warning: listener[1] has no [listener.tls]: terminals speak in the \
                 clear; end TLS in front of it",
                "posgate.toml:12:7: warning: listener[1].mac is \"none\": answers are not authenticated; \
                 only TLS protects them",
            ]
        );
    }

    #[test]
    fn codes_at_terminals_need_macs_and_nothing_switches_either_on() {
        for mac in ["none", "retail"] {
            let text = SOUND.replace(
                "mac = \"none\"",
                &format!("mac = \"{mac}\"\ncode_entry = true"),
            );
            let found = check(&text).join("\n");
            let told = if mac == "none" {
                "posgate.toml:13:14: error: listener[1].code_entry needs MACs"
            } else {
                "listener[1].mac must be \"none\": message authentication is not built yet"
            };
            assert!(found.contains(told), "{found}");
        }
        let text = SOUND.replace("mac = \"none\"", "mac = \"none\"\ncode_entry = false");
        let config = parse("posgate.toml", &text, Path::new("/nowhere")).unwrap();
        let listener = &config.switch.listeners[0];
        assert!(!listener.code_entry && !listener.authentic);
        assert_eq!(listener.serials, SerialRule::Ignore);
        assert_eq!(config.switch.bindings, BindingRules::default());
    }

    #[test]
    fn nobody_is_idle_for_longer_than_trade_is_remembered() {
        let bindings = |settings: &str| check(&format!("{SOUND}\n[bindings]\n{settings}\n"));
        assert_eq!(
            bindings("dormant_months = 5").len(),
            2,
            "the usual warnings"
        );
        let found = bindings("dormant_months = 6").join("\n");
        assert!(
            found.contains("bindings.dormant_months is longer than"),
            "{found}"
        );
        for wrong in ["quarantine = \"90d\"", "replacement_expiry = \"366d\""] {
            let found = bindings(wrong).join("\n");
            let (key, _) = wrong.split_once(' ').unwrap();
            assert!(found.contains(key), "{found}");
        }
    }

    #[test]
    fn transactions_are_kept_no_shorter_than_the_journal() {
        let keep = |settings: &str| check(&SOUND.replace("data_key_file", settings)).join("\n");
        let found = keep("transactions_keep = \"30d\"\ndata_key_file");
        assert!(
            found.contains("posgate.toml:4:21: error: store.transactions_keep must not be shorter"),
            "{found}"
        );
        let found = keep("journal_keep = \"6d\"\ndata_key_file");
        assert!(found.contains("store.journal_keep must be from"), "{found}");
        let found = keep("journal_keep = \"7d\"\ntransactions_keep = \"30d\"\ndata_key_file");
        assert!(!found.contains("error"), "{found}");
    }

    #[test]
    fn every_mistake_is_found_in_one_go() {
        let text = SOUND
            .replace("mac = \"none\"", "")
            .replace("upstream = \"bank\"", "upstream = \"bunk\"")
            .replace("address = \"127.0.0.1:0\"", "address = \"127.0.0.1\"")
            .replace("[store]", "[stroe]")
            .replace("addresses", "adresses");
        let found = check(&text).join("\n");
        for expected in [
            "listener[1].mac is missing; write for example `mac = \"none\"`",
            "no upstream group bunk; known: bank",
            "\"127.0.0.1\" is no address and port",
            "unknown key `stroe`; did you mean `store`?",
            "unknown key `upstream[1].adresses`; did you mean `addresses`?",
        ] {
            assert!(found.contains(expected), "{expected}\nnot in\n{found}");
        }
        assert!(
            found.lines().all(|line| line.starts_with("posgate.toml:")),
            "{found}"
        );
    }

    #[test]
    fn names_and_addresses_are_there_once_and_everything_named_is_usable() {
        let (store, rest) = SOUND.split_once("[[listener]]").unwrap();
        let listener = format!("[[listener]]{}", rest.split_once("[[upstream]]").unwrap().0);
        let upstream = format!("[[upstream]]{}", rest.split_once("[[upstream]]").unwrap().1);
        let listener = listener.replace("127.0.0.1:0", "127.0.0.1:8583");
        let store = store.replace("\"keys\"", "\"else/keys\"");
        let twice = format!(
            "{store}[log]\nlevel = \"posgate=loud,==\"\n{listener}{listener}{upstream}{upstream}\
             server_name = \"bank\"\n"
        )
        .replace("\"acme\"", "\"\"");
        let found = check(&twice).join("\n");
        for expected in [
            "the folder of /nowhere/else/keys is not there",
            "log.level cannot be used",
            "listener shops is there twice",
            "listener's address 127.0.0.1:8583 is there twice",
            "upstream group bank is there twice",
            "the acquirer needs a name",
            "upstream[2].server_name needs [upstream.tls]",
        ] {
            assert!(found.contains(expected), "{expected}\nnot in\n{found}");
        }
        // Behind a `-` stands the number of a binding.
        let dash = check(&SOUND.replace("\"acme\"", "\"-\"")).join("\n");
        assert!(dash.contains("the acquirer needs a name"), "{dash}");
    }

    #[test]
    fn an_upstream_of_another_dialect_is_refused() {
        let (head, tail) = SOUND.split_once("[[upstream]]").unwrap();
        let tail = tail.replace("unionpay-pos", "iso8583-1987-ascii");
        let found = check(&format!("{head}[[upstream]]{tail}")).join("\n");
        assert!(found.contains("speaks iso8583-1987-ascii"), "{found}");
    }

    #[test]
    fn a_dialect_that_decodes_only_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("protocols/bare");
        std::fs::create_dir_all(&bare).unwrap();
        let text = "name = \"bare\"\ntitle = \"bare\"\nextends = \"iso8583-2003-ascii\"\nremove = [\"request\", \
                    \"defaults\", \"reversal\", \"repeats\", \"network\", \"declines\"]\n";
        std::fs::write(bare.join("dialect.toml"), text).unwrap();
        let text = format!(
            "protocols = \"protocols\"\n{}",
            SOUND.replace("unionpay-pos", "bare")
        );
        let Err(ConfigError::Problems(found)) = parse("posgate.toml", &text, folder.path()) else {
            panic!("it is taken");
        };
        let told = found
            .iter()
            .any(|p| p.message.contains("dialect bare decodes only"));
        assert!(told, "{found:?}");
    }

    #[test]
    fn dialects_of_a_folder_build_on_each_other_and_on_the_shipped() {
        let folder = tempfile::tempdir().unwrap();
        for (name, extends) in [("near", "far"), ("far", "iso8583-1987-binary")] {
            let own = folder.path().join("protocols").join(name);
            std::fs::create_dir_all(&own).unwrap();
            let text = format!("name = \"{name}\"\ntitle = \"{name}\"\nextends = \"{extends}\"\n");
            std::fs::write(own.join("dialect.toml"), text).unwrap();
        }
        let text = format!(
            "protocols = \"protocols\"\n{}",
            SOUND.replace("unionpay-pos", "near")
        );
        let config = parse("posgate.toml", &text, folder.path()).unwrap();
        assert_eq!(config.switch.listeners[0].dialect.name(), "near");
    }

    #[test]
    fn answers_that_tell_no_terminals_apart_need_trace_numbers_of_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("protocols/near");
        std::fs::create_dir_all(&own).unwrap();
        let near = "name = \"near\"\ntitle = \"near\"\nextends = \"iso8583-1987-ascii\"\n\
                    [[message_type]]\nname = \"answer\"\nmti = \"0210\"\nmatch = [7, 11]\n";
        std::fs::write(own.join("dialect.toml"), near).unwrap();
        let text = format!(
            "protocols = \"protocols\"\n{}",
            SOUND.replace("unionpay-pos", "near")
        );
        let refused = |text: &str, place: &str| {
            let Err(ConfigError::Problems(found)) = parse("p.toml", text, folder.path()) else {
                panic!("not refused");
            };
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            let wanted = "the answer to balance-inquiry is matched by DE7 and DE11";
            let told = |line: &String| line.starts_with(place) && line.contains(wanted);
            assert!(found.iter().any(told), "{found:?}");
        };
        refused(&text, "p.toml:17:11: ");
        refused(&format!("{text}stan = \"pass\"\n"), "p.toml:19:8: ");
        let own = parse("p.toml", &format!("{text}stan = \"own\"\n"), folder.path());
        assert_eq!(own.unwrap().switch.upstreams[0].stan, StanPolicy::Own);
    }

    #[test]
    fn missing_certificates_are_named() {
        let text = SOUND.replace(
            "mac = \"none\"",
            "mac = \"none\"\ntls = { certificate = \"c.pem\", key = \"k.pem\" }",
        );
        let found = check(&text).join("\n");
        assert!(
            found.contains("/nowhere/c.pem holds no usable certificate chain"),
            "{found}"
        );
        assert!(
            found.contains("/nowhere/k.pem holds no usable private key"),
            "{found}"
        );
    }
}
