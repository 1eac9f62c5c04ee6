//! Who may do what over the admin API: roles, and the tokens that carry one.
//!
//! A token is `pgt_NUMBER_SECRET`: the number by which it is known, and 256 random bits as hexadecimal
//! digits. Only a SHA-256 of the secret is kept: against so many bits no dictionary helps, so a slow hash
//! would add nothing.

use std::fmt;

use aws_lc_rs::{constant_time, digest, rand};
use zeroize::Zeroizing;

const SECRET_BYTES: usize = 32;
const PREFIX: &str = "pgt_";

/// What somebody is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Runs the day: terminals, batches, exceptions.
    Operator,
    /// Approves what another person prepared.
    Checker,
    /// Holds and freezes.
    Risk,
    /// Looks after keys.
    KeyCustodian,
    /// Gives rights, imports, and reads the audit trail.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Viewer,
        Self::Operator,
        Self::Checker,
        Self::Risk,
        Self::KeyCustodian,
        Self::Admin,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Checker => "checker",
            Self::Risk => "risk",
            Self::KeyCustodian => "key-custodian",
            Self::Admin => "admin",
        }
    }

    /// The role with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything: who may open the Unix socket.
    All,
    /// What a role may.
    Of(Role),
}

impl Rights {
    /// Whether one of these roles is among them.
    #[must_use]
    pub fn include(self, roles: &[Role]) -> bool {
        match self {
            Self::All => true,
            Self::Of(role) => roles.contains(&role),
        }
    }

    /// A role's name, or "all".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Of(role) => role.name(),
        }
    }
}

/// What is kept of a token's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl TokenHash {
    /// Whether this is what is kept of that secret. Takes as long whatever differs.
    #[must_use]
    pub fn fits(&self, secret: &TokenSecret) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &secret.hash().0).is_ok()
    }
}

/// The secret of a token. Wiped when dropped.
pub struct TokenSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret")
    }
}

impl TokenSecret {
    /// A new one; `None` when the system gives no random bytes.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(secret.as_mut_slice()).ok()?;
        Some(Self(secret))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0; 32];
        let sum = digest::digest(&digest::SHA256, self.0.as_slice());
        hash.iter_mut()
            .zip(sum.as_ref())
            .for_each(|(to, from)| *to = *from);
        TokenHash(hash)
    }

    /// The token that is given to a person, once.
    #[must_use]
    pub fn token(&self, number: u64) -> Zeroizing<String> {
        // Long enough from the start: a string that grows leaves copies behind.
        let mut token = Zeroizing::new(String::with_capacity(128));
        token.push_str(PREFIX);
        token.push_str(&number.to_string());
        token.push('_');
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
        for byte in self.0.iter() {
            token.push(digit(byte >> 4));
            token.push(digit(byte & 15));
        }
        token
    }
}

/// Takes a token apart: its number and its secret. `None` for what is none.
#[must_use]
pub fn token_parts(token: &str) -> Option<(u64, TokenSecret)> {
    let (number, hex) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| number.parse().ok()).flatten()?;
    if hex.len() != SECRET_BYTES * 2 || !hex.is_ascii() {
        return None;
    }
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    for (byte, pair) in secret.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let pair = str::from_utf8(pair).ok()?;
        let plain = pair.bytes().all(|b| b.is_ascii_hexdigit());
        *byte = plain.then(|| u8::from_str_radix(pair, 16).ok()).flatten()?;
    }
    Some((number, TokenSecret(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_only() {
        let secret = TokenSecret::generate().unwrap();
        let token = secret.token(17);
        let (number, read) = token_parts(&token).unwrap();
        assert_eq!(number, 17);
        assert!(secret.hash().fits(&read));
        let other = TokenSecret::generate().unwrap();
        assert!(!secret.hash().fits(&other));
        assert!(
            !format!("{secret:?} {:?}", secret.hash()).contains(token.split('_').nth(2).unwrap())
        );
    }

    #[test]
    fn what_is_no_token_is_none() {
        let hex = "0".repeat(64);
        for wrong in [
            "",
            "pgt_",
            "pgt_1_",
            "pgt_1_00",
            &format!("pgt_+1_{hex}"),
            &format!("pgt__{hex}"),
            &format!("pgt_1_{}", "+0".repeat(32)),
            &format!("x_1_{hex}"),
            &format!("pgt_1_{}é", "0".repeat(62)),
        ] {
            assert!(token_parts(wrong).is_none(), "{wrong}");
        }
        assert!(token_parts(&format!("pgt_1_{hex}")).is_some());
    }

    #[test]
    fn roles_are_read_by_their_names() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert!(Rights::All.include(&[role]));
            assert!(Rights::Of(role).include(&[Role::Viewer, role]));
        }
        assert!(!Rights::Of(Role::Admin).include(&[Role::Viewer]));
    }
}
