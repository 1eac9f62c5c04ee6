//! The documentation against the program: examples are accepted, lists are complete both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use posgate::config::{self, ConfigError};
use posgate::sim::certs::MadeCerts;
use posgate::telemetry::metrics;

fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(full).unwrap()
}

/// Problems and warnings of a configuration, one a line; `Err` when it is refused.
fn check(name: &str, text: &str, folder: &Path) -> Result<String, String> {
    let listed = |found: &[posgate::base::document::Problem]| {
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    match config::parse(name, text, folder) {
        Ok(config) => Ok(listed(&config.warnings)),
        Err(ConfigError::Problems(found)) => Err(listed(&found)),
        Err(ConfigError::Read { path, .. }) => Err(format!("{path} cannot be read")),
    }
}

/// A folder with the certificates that examples name.
fn folder_with_certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = MadeCerts::for_localhost().unwrap();
    for (name, pem) in [
        ("posgate.crt", &made.cert_pem),
        ("posgate.key", &made.key_pem),
        ("bank-ca.pem", &made.ca_pem),
        ("operators-ca.pem", &made.ca_pem),
    ] {
        fs::write(folder.path().join(name), pem).unwrap();
    }
    for name in ["sms.secret", "mail.secret", "webhook.secret"] {
        let path = folder.path().join(name);
        fs::write(&path, "a secret that is long enough").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// What stands between `cat > posgate.toml <<'END'` and `END`.
fn example_of_readme() -> String {
    let readme = read("README.md");
    let (_, after) = readme.split_once("cat > posgate.toml <<'END'\n").unwrap();
    after.split_once("\nEND\n").unwrap().0.to_owned()
}

#[test]
fn the_example_in_the_readme_is_accepted() {
    let folder = folder_with_certificates();
    let warned = check("README.md", &example_of_readme(), folder.path()).unwrap();
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(warned.contains("mac is \"none\""), "{warned}");
}

/// `deploy/posgate.toml` with its files in one folder.
fn example_of_deploy() -> String {
    read("deploy/posgate.toml").replace("/etc/posgate/", "")
}

/// The same with every setting that is commented out put in force.
fn full_example_of_deploy() -> String {
    let text = example_of_deploy();
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if key_of(rest).is_some() => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The key of a line that is a setting.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let word = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    word.then_some(key)
}

#[test]
fn the_example_in_deploy_is_accepted_with_and_without_its_comments() {
    let folder = folder_with_certificates();
    fs::create_dir(folder.path().join("protocols")).unwrap();
    for text in [example_of_deploy(), full_example_of_deploy()] {
        let warned = check("deploy/posgate.toml", &text, folder.path()).unwrap();
        assert_eq!(warned.lines().count(), 1, "{warned}");
        assert!(warned.contains("mac is \"none\""), "{warned}");
    }
}

#[test]
fn the_example_in_deploy_shows_every_setting() {
    let full = full_example_of_deploy();
    let shown: BTreeSet<_> = full.lines().filter_map(key_of).collect();
    for key in documented_settings().values().flatten() {
        assert!(
            shown.contains(key.as_str()),
            "deploy/posgate.toml does not show `{key}`"
        );
    }
}

#[test]
fn what_the_example_in_deploy_comments_out_is_the_default() {
    // What has no default of its own to write down, and TLS, whose settings do not print alike twice.
    let skipped = ["protocols", "memory_max", "server_name", "tpdu"];
    let settings = |text: &str| {
        // What reaches people has secrets, which are files.
        let (before, ways) = text.split_once("[notify.sms]").unwrap();
        let (_, after) = ways.split_once("[monitor]").unwrap();
        let text = format!("{before}[monitor]{after}");
        let plain: Vec<_> = text
            .lines()
            .filter(|line| !line.contains(".tls]"))
            .filter(|line| {
                !matches!(
                    key_of(line),
                    Some("certificate" | "key" | "ca" | "client_ca" | "listen")
                )
            })
            .filter(|line| !key_of(line).is_some_and(|key| skipped.contains(&key)))
            .collect();
        let config = config::parse("deploy", &plain.join("\n"), Path::new("/nowhere")).unwrap();
        format!("{:#?}", config.switch)
            + &format!("{:?} {}", config.log_format, config.log_level)
            + &format!("{:?} {}", config.drain_timeout, config.worker_threads)
    };
    assert_eq!(
        settings(&example_of_deploy()),
        settings(&full_example_of_deploy())
    );
}

/// Headings of `docs/configuration.md` as written in the file, and how a probe for unknown keys reaches
/// the section.
const SECTIONS: [(&str, &str); 15] = [
    ("The top of the file", ""),
    ("[store]", "[store]"),
    ("[log]", "[log]"),
    ("[admin]", "[admin]"),
    ("[admin.tls]", "[admin]\n[admin.tls]"),
    ("[bindings]", "[bindings]"),
    ("[notify.sms]", "[notify.sms]"),
    ("[notify.email]", "[notify.email]"),
    ("[[webhook]]", "[[webhook]]"),
    ("[monitor]", "[monitor]"),
    ("[limits]", "[limits]"),
    ("[[listener]]", "[[listener]]"),
    ("[listener.tls]", "[[listener]]\n[listener.tls]"),
    ("[[upstream]]", "[[upstream]]"),
    ("[upstream.tls]", "[[upstream]]\n[upstream.tls]"),
];

/// Settings by the heading they stand under in `docs/configuration.md`.
fn documented_settings() -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in read("docs/configuration.md").lines() {
        if let Some(title) = line.strip_prefix("##") {
            heading = title.trim_start_matches('#').trim().to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let key = row.split('`').next().unwrap().to_owned();
            sections.entry(heading.clone()).or_default().insert(key);
        }
    }
    sections
}

/// The keys the program asks for in a section, sub-sections included, as it lists them itself when it
/// meets one it does not know.
fn keys_asked_for(section: &str) -> BTreeSet<String> {
    let unknown = "no_key_is_at_all_like_this_one_because_it_is_so_long";
    let text = format!("{section}\n{unknown} = 1\n");
    let found = check("probe", &text, Path::new("/nowhere")).unwrap_err();
    let line = found
        .lines()
        .find(|line| line.contains(unknown))
        .unwrap_or_else(|| panic!("{section} takes any key:\n{found}"));
    let (_, known) = line.split_once("known here: ").unwrap();
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_setting_is_documented_and_nothing_else() {
    let documented = documented_settings();
    let headings: BTreeSet<_> = SECTIONS.iter().map(|(heading, _)| *heading).collect();
    for heading in documented.keys() {
        assert!(
            headings.contains(heading.as_str()),
            "docs/configuration.md has the section {heading}, which this test does not know; add it to SECTIONS"
        );
    }
    let mut findings = Vec::new();
    for (heading, section) in SECTIONS {
        let none = BTreeSet::new();
        let keys = documented.get(heading).unwrap_or(&none);
        let asked = keys_asked_for(section);
        for key in asked.difference(keys) {
            // A key may be a section with a heading of its own.
            let inner = section
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let path = if inner.is_empty() {
                key.clone()
            } else {
                format!("{inner}.{key}")
            };
            let is_section = [format!("[{path}]"), format!("[[{path}]]")]
                .iter()
                .any(|title| headings.contains(title.as_str()))
                || headings
                    .iter()
                    .any(|title| title.starts_with(&format!("[{path}.")));
            if !is_section {
                findings.push(format!(
                    "docs/configuration.md: {heading} lacks `{key}`, which the program asks for; write its row"
                ));
            }
        }
        for key in keys.difference(&asked) {
            findings.push(format!(
                "docs/configuration.md: {heading} has `{key}`, which the program does not know; remove its row"
            ));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_metric_is_documented_and_nothing_else() {
    let page = read("docs/metrics.md");
    let mut documented = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `posgate_")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let help = cells[cells.len() - 1].to_owned();
        documented.insert(cells[0].trim_matches('`').to_owned(), help);
    }
    let known: BTreeMap<_, _> = metrics::ALL
        .iter()
        .map(|(name, help)| ((*name).to_owned(), (*help).to_owned()))
        .collect();
    assert_eq!(
        documented, known,
        "docs/metrics.md (left) and telemetry::metrics::ALL (right) differ in names or help"
    );
}

#[test]
fn every_metric_that_the_documentation_names_exists() {
    let pages = [
        "README.md",
        "docs/metrics.md",
        "docs/configuration.md",
        "docs/operations.md",
        "docs/admin-api.md",
    ];
    for page in pages {
        let text = read(page);
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        for word in words.filter(|word| word.starts_with("posgate_")) {
            let known = metrics::ALL.iter().any(|(name, _)| name.starts_with(word));
            assert!(known, "{page} names the metric {word}, which is not there");
        }
    }
}

#[test]
fn every_way_to_ask_for_a_transaction_is_documented() {
    let page = read("docs/operations.md");
    let asked = serde_json::to_value(posgate::admin::transactions::Asked::default()).unwrap();
    for parameter in asked.as_object().unwrap().keys() {
        let flag = format!("`--{}`", parameter.replace('_', "-"));
        let named = page.contains(&format!("`{parameter}`")) && page.contains(&flag);
        assert!(
            named || parameter == "format",
            "docs/operations.md lacks `{parameter}` or {flag}"
        );
    }
    for class in posgate::store::settlement::Class::ALL {
        let row = format!("| `{}` |", class.name());
        assert!(page.contains(&row), "docs/operations.md lacks {row}");
    }
}

#[test]
fn every_command_is_in_the_readme_and_the_readme_names_no_other() {
    let readme = read("README.md");
    let help = Command::new(env!("CARGO_BIN_EXE_posgate"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    // A command is indented by two; what its help goes on with stands further in.
    let known: BTreeSet<_> = commands
        .lines()
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(known.contains("serve"), "{help}");
    for name in &known {
        let mentioned = readme.contains(&format!("posgate {name}"))
            || readme.contains(&format!("run --release -- {name}"));
        assert!(mentioned, "README.md says nothing about `posgate {name}`");
    }
    for line in readme.lines() {
        let Some(name) = line
            .strip_prefix("posgate ")
            .and_then(|rest| rest.split(' ').next())
        else {
            continue;
        };
        assert!(
            known.contains(name),
            "README.md runs `posgate {name}`, which is not there"
        );
    }
}

/// Blocks of `$ command` lines, each with what follows it until the next.
fn console_blocks(page: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in read(page).lines() {
        match (line, inside) {
            ("```console", _) => inside = true,
            ("```", true) => inside = false,
            (line, true) => match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => {
                    output.push_str(line);
                    output.push('\n');
                }
                (None, None) => panic!("{page}: {line} follows no command"),
            },
            (_, false) => {}
        }
    }
    found
}

#[test]
fn what_the_page_on_messages_shows_is_what_comes_out() {
    let page = "docs/messages.md";
    let program = Path::new(env!("CARGO_BIN_EXE_posgate"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let mut text = read(page);
    let blocks = console_blocks(page);
    assert!(blocks.len() >= 6, "{} commands", blocks.len());
    let mut findings = Vec::new();
    for (command, expect) in blocks {
        let ran = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .env("PATH", &path)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let found = String::from_utf8(ran.stdout).unwrap();
        if found != expect {
            let (before, after) = (
                format!("$ {command}\n{expect}"),
                format!("$ {command}\n{found}"),
            );
            text = text.replacen(&before, &after, 1);
            findings.push(format!("{page}: `{command}` shows now\n{found}"));
        }
    }
    if std::env::var_os("POSGATE_WRITE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(page), text).unwrap();
    }
    assert!(
        findings.is_empty(),
        "{}\nPOSGATE_WRITE_DOCS=1 writes it there",
        findings.join("\n")
    );
}
