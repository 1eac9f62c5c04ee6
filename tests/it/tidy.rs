//! The order of the house. Each finding says where, and what to do instead.
#![expect(
    clippy::string_slice,
    reason = "the places come from searches in the same text"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, lowest first: each uses only those before it.
const ROOMS: [&str; 16] = [
    "base",
    "telemetry",
    "iso8583",
    "wire",
    "inspect",
    "security",
    "binding",
    "route",
    "transaction",
    "store",
    "net",
    "switch",
    "admin",
    "sim",
    "config",
    "cli",
];

/// Rooms without sockets, tasks and clocks.
const PURE: [&str; 7] = [
    "base",
    "iso8583",
    "wire",
    "inspect",
    "binding",
    "route",
    "transaction",
];

/// tokio's codec trait is implemented where frames are; it is a trait and no I/O.
const CODEC_TRAIT: &str = "src/wire/codec.rs";

/// A source file, with a path as `src/net/link.rs`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// First folder under `src`, or the file's own name at the top (`lib`, `main`).
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap();
        inside.split(['/', '.']).next().unwrap()
    }

    /// Lines with their numbers, comments blanked out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| {
            let comment = line.trim_start().starts_with("//");
            (at + 1, if comment { "" } else { line })
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder whose names end so, as paths from the top.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let built = path.ends_with("target");
            if entry.file_type().unwrap().is_dir() {
                if !hidden && !built {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                let path = path.to_string_lossy().into_owned();
                found.push(path.trim_start_matches("./").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let read = |path: String| Source {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        path,
    };
    files("src", ".rs").into_iter().map(read).collect()
}

fn report(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}\n{}", findings.join("\n"));
}

/// Whether a word stands in a line as a word.
fn says(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// Names that follow `crate::` in a file, with their lines; also those in `crate::{a, b}` over several lines.
fn used_rooms(source: &Source) -> Vec<(usize, String)> {
    let code: Vec<_> = source.code().collect();
    let joined: String = code.iter().map(|(_, line)| format!("{line}\n")).collect();
    let mut used = Vec::new();
    for (at, _) in joined.match_indices("crate::") {
        let line = 1 + joined[..at].matches('\n').count();
        let rest = &joined[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => used.push((line, first_name(rest))),
            Some(list) => used.extend(top_names(list).into_iter().map(|name| (line, name))),
        }
    }
    used
}

fn first_name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The names at the top level of a list that was opened by a brace: `a::{b, c}, d}` gives a and d.
fn top_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(list[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn a_list_of_imports_is_taken_apart() {
    let source = |text: &str| Source {
        path: "src/net/x.rs".into(),
        text: text.into(),
    };
    let names = |text: &str| -> Vec<String> {
        let used = used_rooms(&source(text));
        used.into_iter().map(|(_, name)| name).collect()
    };
    assert_eq!(names("use crate::base::{Pan, Stan};"), ["base"]);
    let several = "use crate::{\n    base::{Pan, ids::Stan},\n    cli,\n};\nuse std::io;";
    assert_eq!(names(several), ["base", "cli"]);
    assert_eq!(
        names("// crate::cli\nlet x = crate::wire::scan();"),
        ["wire"]
    );
}

#[test]
fn every_room_is_on_the_list() {
    let mut findings = Vec::new();
    for source in sources() {
        let top = ["lib", "main"].contains(&source.room());
        if !top && !ROOMS.contains(&source.room()) {
            findings.push(format!(
                "{}: {} is no room; add it to ROOMS here and to ARCHITECTURE.md, at its place in the order",
                source.path,
                source.room()
            ));
        }
    }
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let built = sources()
        .iter()
        .map(|source| source.room().to_owned())
        .collect::<BTreeSet<_>>();
    let rows = architecture.lines().filter(|line| line.starts_with("| `"));
    let explained: Vec<_> = rows.filter_map(|row| row.split(" | ").next()).collect();
    for room in ROOMS.iter().filter(|room| built.contains(**room)) {
        let named = format!("`{room}`");
        if !explained.iter().any(|row| row.contains(&named)) {
            findings.push(format!(
                "ARCHITECTURE.md: the table of rooms lacks {named}; write its row"
            ));
        }
    }
    report("rooms without a place", &findings);
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut findings = Vec::new();
    for source in sources() {
        let Some(own) = place(source.room()) else {
            continue;
        };
        for (line, used) in used_rooms(&source) {
            if place(&used).is_some_and(|used| used > own) {
                findings.push(format!(
                    "{}:{line}: {} uses {used}, which stands above it; move what both need down, or hand it \
                     in as a trait or a value",
                    source.path,
                    source.room()
                ));
            }
        }
    }
    report("imports against the order of the rooms", &findings);
}

#[test]
fn pure_rooms_know_no_tasks() {
    let mut findings = Vec::new();
    for source in sources() {
        if !PURE.contains(&source.room()) || source.path == CODEC_TRAIT {
            continue;
        }
        for (line, text) in source.code() {
            let words = ["tokio", "tokio_util", "async", "await"];
            if let Some(word) = words.iter().find(|word| says(text, word)) {
                findings.push(format!(
                    "{}:{line}: {word} in the pure room {}; take an event and give back what is to be done, \
                     net and switch do it",
                    source.path,
                    source.room()
                ));
            }
        }
    }
    report("input and output in pure rooms", &findings);
}

#[test]
fn every_file_is_a_module_and_says_what_for() {
    let sources = sources();
    let mut findings = Vec::new();
    for source in &sources {
        if !source.text.starts_with("//!") {
            findings.push(format!(
                "{}:1: begin with //! and what the module is for",
                source.path
            ));
        }
        if ["src/lib.rs", "src/main.rs"].contains(&source.path.as_str()) {
            continue;
        }
        let (name, parents) = declared_in(&source.path);
        let declared = sources
            .iter()
            .filter(|parent| parents.contains(&parent.path))
            .flat_map(|parent| parent.code())
            .any(|(_, line)| says(line, "mod") && line.trim_end().ends_with(&format!(" {name};")));
        if !declared {
            findings.push(format!(
                "{}: is compiled by nobody; declare `mod {name};` in {}, or remove the file",
                source.path,
                parents.join(" or ")
            ));
        }
    }
    report("files that are no modules, or say nothing", &findings);
}

/// A module's name, and the files that may declare it.
fn declared_in(path: &str) -> (String, Vec<String>) {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let (folder, name) = stem.rsplit_once('/').unwrap();
    let parents = if folder == "src" {
        vec!["src/lib.rs".into(), "src/main.rs".into()]
    } else {
        vec![format!("{folder}/mod.rs"), format!("{folder}.rs")]
    };
    (name.to_owned(), parents)
}

#[test]
fn metrics_are_named_in_telemetry_only() {
    let mut findings = Vec::new();
    for source in sources() {
        if source.room() == "telemetry" {
            continue;
        }
        for (line, text) in source.code() {
            let named = posgate::telemetry::metrics::ALL
                .iter()
                .find(|(name, _)| text.contains(&format!("\"{name}")));
            let registers = ["counter!", "gauge!", "histogram!"]
                .iter()
                .any(|name| text.contains(name));
            if named.is_some() || registers {
                findings.push(format!(
                    "{}:{line}: a metric is named here; register it in telemetry::metrics and use its handle",
                    source.path
                ));
            }
        }
    }
    report("metrics named outside telemetry", &findings);
}

#[test]
fn links_in_markdown_lead_to_files() {
    let mut findings = Vec::new();
    for path in files(".", ".md") {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let folder = root().join(&path).parent().unwrap().to_owned();
        for (at, line) in text.lines().enumerate() {
            for link in line.split("](").skip(1) {
                let target = link.split(')').next().unwrap();
                let file = target.split('#').next().unwrap();
                if file.is_empty() || file.contains("://") || folder.join(file).exists() {
                    continue;
                }
                findings.push(format!(
                    "{path}:{}: {file} is not there; mend the link or remove it",
                    at + 1
                ));
            }
        }
    }
    report("links that lead nowhere", &findings);
}
