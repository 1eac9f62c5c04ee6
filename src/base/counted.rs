//! A number of things, in words.

use std::fmt;

/// Shows as `1 byte`, `2 bytes`, `0 bytes`: what is counted is named in the singular and takes an `s`.
#[derive(Clone, Copy, Debug)]
pub struct Counted<N>(pub N, pub &'static str);

impl<N: fmt::Display> fmt::Display for Counted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.to_string();
        let end = if number == "1" { "" } else { "s" };
        write!(f, "{number} {}{end}", self.1)
    }
}

impl<N: fmt::Display> Counted<N> {
    /// With a verb behind it: `1 line is`, `2 lines are`.
    pub fn that(&self, one: &str, many: &str) -> String {
        let verb = if self.0.to_string() == "1" { one } else { many };
        format!("{self} {verb}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let check = |number: u64, expect: &str| {
            assert_eq!(Counted(number, "mistake").to_string(), expect);
        };
        check(0, "0 mistakes");
        check(1, "1 mistake");
        check(2, "2 mistakes");
        check(11, "11 mistakes");
        assert_eq!(
            Counted(1, "byte").that("follows", "follow"),
            "1 byte follows"
        );
        assert_eq!(
            Counted(0, "byte").that("follows", "follow"),
            "0 bytes follow"
        );
    }
}
