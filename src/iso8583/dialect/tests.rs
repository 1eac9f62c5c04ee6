//! The shipped dialects are sound, and broken files say where.

use super::*;

#[test]
fn shipped_dialects_have_no_problems() {
    for name in Dialect::shipped_names() {
        let text = Dialect::shipped_text(name).unwrap();
        match Dialect::parse(&format!("protocols/{name}/dialect.toml"), text) {
            Ok(dialect) => {
                assert_eq!(dialect.name(), *name);
                assert_eq!(dialect.warnings(), []);
            }
            Err(problems) => panic!("{}", listed(&problems)),
        }
        assert!(Dialect::shipped(name).is_some());
    }
    assert!(Dialect::shipped("nowhere").is_none());
}

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n{problem}"))
        .collect()
}
