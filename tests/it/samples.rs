//! Replays the sample messages of every shipped dialect.

use std::fs;
use std::path::{Path, PathBuf};

use posgate::iso8583::Dialect;
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
