//! Replays the sample messages of every shipped dialect.

use std::fs;
use std::path::{Path, PathBuf};

use posgate::iso8583::{Dialect, Layout, Mti};
use posgate::wire::Sample;

fn samples(dialect: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("protocols")
        .join(dialect)
        .join("messages");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn sample_messages_are_what_they_say() {
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let files = samples(name);
        let broken = |file: &&PathBuf| {
            let name = file.file_name().unwrap().to_string_lossy();
            name.starts_with("broken-")
        };
        let broken = files.iter().filter(broken).count();
        assert!(broken >= 2 && files.len() - broken >= 3, "{name}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let sample = Sample::parse(&text).unwrap();
            assert_eq!(sample.check(&dialect, &text), Ok(()), "{}", file.display());
            if let Some(request) = &sample.answers {
                let request = file.with_file_name(format!("{request}.hex"));
                let request = Sample::parse(&fs::read_to_string(request).unwrap()).unwrap();
                assert_eq!(
                    sample.check_answer(&request, &dialect),
                    Ok(()),
                    "{}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn fields_and_parts_have_names_in_both_languages() {
    fn parts(path: &str, layout: &Layout, lacking: &mut Vec<String>) {
        for rule in layout
            .rules
            .iter()
            .chain(layout.group.iter().flat_map(|group| &group.rules))
        {
            let path = format!("{path}.{}", rule.tag);
            if rule.en.is_empty() || rule.zh.is_empty() {
                lacking.push(path.clone());
            }
            if let Some(inner) = &rule.layout {
                parts(&path, inner, lacking);
            }
        }
    }
    let mut lacking = Vec::new();
    let mut named = 0;
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        for field in dialect.fields() {
            let path = format!("{name}: {}", field.number);
            named += 1;
            if field.en.is_empty() || field.zh.is_empty() {
                lacking.push(path.clone());
            }
            if let Some(layout) = dialect.layout(field.number) {
                parts(&path, layout, &mut lacking);
            }
        }
        let header = dialect.framing().header_parts.iter();
        let header = header.map(|part| (part.name.en.as_str(), part.name.zh.as_str()));
        let requests = dialect.requests().iter();
        let requests = requests.map(|row| (row.name.as_str(), row.zh.as_str()));
        let answers = ["0210", "0110", "1210", "0410", "0810"].map(|mti| Mti::parse(mti).unwrap());
        let answers = answers.map(|mti| dialect.message_rule(mti));
        let answers = answers
            .iter()
            .flatten()
            .map(|rule| (rule.name.as_str(), rule.zh.as_str()));
        for (en, zh) in header.chain(requests).chain(answers) {
            named += 1;
            if en.is_empty() || zh.is_empty() {
                lacking.push(format!("{name}: {en}"));
            }
        }
    }
    assert!(named > 100);
    assert_eq!(lacking, [""; 0]);
}

/// A dialect that renames what it inherits must not leave the other language's name behind.
#[test]
fn names_are_written_in_both_languages_together() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocols");
    for name in Dialect::shipped_names() {
        let text = fs::read_to_string(directory.join(name).join("dialect.toml")).unwrap();
        for (at, line) in (1..).zip(text.lines()) {
            let says = |key: &str| line.contains(&format!("{key} = \""));
            // A request's other name stands in its own line above.
            let of_request = line.starts_with("zh = ");
            assert_eq!(says("en"), says("zh") && !of_request, "{name}:{at}: {line}");
        }
    }
}
