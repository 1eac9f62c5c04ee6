//! Completions and manual pages: what shells and readers get from the commands themselves.

use std::fs;
use std::process::Command;

fn posgate(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_posgate"))
        .args(args)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// The shell reads them, and knows what comes after `posgate token`.
#[test]
fn bash_completes_what_a_command_takes() {
    let script = posgate(&["completions", "bash"]);
    let ask = format!(
        "{script}\nCOMP_WORDS=(posgate token \"\") COMP_CWORD=2\n_posgate posgate \"\" token\necho \"${{COMPREPLY[@]}}\""
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ask");
    fs::write(&file, ask).unwrap();
    let out = Command::new("bash").arg(file).output().unwrap();
    let told = String::from_utf8(out.stdout).unwrap();
    for verb in ["create", "list", "revoke"] {
        assert!(
            told.contains(verb),
            "{told} {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(
            posgate(&["completions", shell]).contains("set-state"),
            "{shell}"
        );
    }
}

/// Help is what it is, whatever its examples hold.
#[test]
fn every_command_has_its_help() {
    let folder = tempfile::tempdir().unwrap();
    posgate(&["man", folder.path().to_str().unwrap()]);
    let mut asked = 0;
    for page in fs::read_dir(folder.path()).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".1").unwrap();
        // A command may have a stroke in its name, as `set-state`: what is asked is what there is.
        let words: Vec<_> = name.split('-').skip(1).collect();
        if words.len() == 1 {
            let help = posgate(&[words[0], "--help"]);
            assert!(help.contains("Usage: posgate"), "{name}: {help}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    let load = posgate(&["load", "--help"]);
    assert!(load.contains("104110041200001"), "{load}");
}

#[test]
fn every_command_has_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    posgate(&["man", pages.to_str().unwrap()]);
    for (page, says) in [
        ("posgate", "audit"),
        ("posgate-token-create", "role"),
        ("posgate-terminal-set-state", "POSGATE_TOKEN"),
        ("posgate-audit-verify", "NUMBER:HASH"),
    ] {
        let text = fs::read_to_string(pages.join(format!("{page}.1"))).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".TH"), "{page}");
        assert!(text.replace('\\', "").contains(says), "{page}");
    }
    assert!(
        !pages.join("posgate-bare-proxy.1").exists(),
        "what is hidden has no page"
    );
}
