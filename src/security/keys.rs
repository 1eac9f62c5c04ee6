//! The installation's data keys: one seals card numbers (AES-256-GCM), one hashes them (HMAC-SHA-256,
//! PCI DSS 3.5.1.1). They live in a file of their own, readable by its owner alone, made on first start.

use std::fmt;
use std::fs;
use std::hash::Hasher;
#[expect(deprecated, reason = "see its use")]
use std::hash::SipHasher;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use crate::base::failpoint::{self, Point};
use crate::base::{Pan, TxnId};

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const HEADER: &str = "posgate-data-keys-1";

/// Why keys cannot be had. Never carries key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the data key file {path} cannot be used")]
    File {
        /// Path.
        path: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("the data key file {path} is open to others (mode {mode:o}); run `chmod 600 {path}`")]
    Open {
        /// Path.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// Not what this build writes.
    #[error("{path} is no data key file of this version of posgate")]
    Format {
        /// Path.
        path: String,
    },
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// See the module.
pub struct DataKeys {
    seal: LessSafeKey,
    /// First four bytes of every nonce of this process; the transaction's number is the rest.
    nonce_prefix: [u8; 4],
    hash: hmac::Key,
    /// Key of [`Self::hash_parts`], derived from `hash`.
    parts: [u64; 2],
    /// Key of [`Self::seal_value`], derived from `hash`.
    values: LessSafeKey,
    /// Key of [`Self::seal_elements`], derived from `hash`.
    elements: LessSafeKey,
    /// Key of [`Self::hash_value`], derived from `hash`.
    value_hash: hmac::Key,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKeys")
    }
}

impl DataKeys {
    /// Reads the keys, making them when the file is not there yet.
    ///
    /// # Errors
    /// When the file cannot be used, is open to others, or is no key file.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let shown = path.display().to_string();
        let file = |source| KeyError::File {
            path: shown.clone(),
            source,
        };
        match fs::metadata(path) {
            Ok(meta) => {
                let mode = meta.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(KeyError::Open { path: shown, mode });
                }
                let text = Zeroizing::new(fs::read_to_string(path).map_err(file)?);
                let keys = parse(&text).ok_or(KeyError::Format { path: shown })?;
                Self::from_bytes(&keys)
            }
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => {
                let mut keys = Zeroizing::new([0; KEY_BYTES * 2]);
                rand::fill(keys.as_mut_slice()).map_err(|_unspecified| KeyError::Crypto)?;
                write_new(path, keys.as_slice()).map_err(file)?;
                Self::from_bytes(&keys)
            }
            Err(other) => Err(file(other)),
        }
    }

    /// Keys of a simulation: the same ones each time, and no file.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub(crate) fn simulated() -> Result<Self, KeyError> {
        Self::from_bytes(&[0x5A; KEY_BYTES * 2])
    }

    fn from_bytes(keys: &[u8; KEY_BYTES * 2]) -> Result<Self, KeyError> {
        let (seal, hash) = keys.split_at(KEY_BYTES);
        let seal = UnboundKey::new(&AES_256_GCM, seal).map_err(|_unspecified| KeyError::Crypto)?;
        let hash = hmac::Key::new(hmac::HMAC_SHA256, hash);
        let mut nonce_prefix = [0; 4];
        rand::fill(&mut nonce_prefix).map_err(|_unspecified| KeyError::Crypto)?;
        let values = hmac::sign(&hash, b"posgate: key of sealed values");
        let values = UnboundKey::new(&AES_256_GCM, values.as_ref())
            .map_err(|_unspecified| KeyError::Crypto)?;
        let value_hash = hmac::sign(&hash, b"posgate: key of the hash of values");
        let elements = hmac::sign(&hash, b"posgate: key of sealed data elements");
        let elements = UnboundKey::new(&AES_256_GCM, elements.as_ref())
            .map_err(|_unspecified| KeyError::Crypto)?;
        Ok(Self {
            seal: LessSafeKey::new(seal),
            values: LessSafeKey::new(values),
            elements: LessSafeKey::new(elements),
            value_hash: hmac::Key::new(hmac::HMAC_SHA256, value_hash.as_ref()),
            nonce_prefix,
            parts: parts_key(&hash),
            hash,
        })
    }

    /// Encrypts a card number for one transaction: nonce, ciphertext, tag. It opens for that transaction
    /// only.
    ///
    /// The nonce is unique under the key because a transaction's number is used once in a process, and two
    /// processes that gave out the same number (one of them lost its journal) differ in their prefix but
    /// for one chance in 2^32.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn seal_pan(&self, pan: &Pan, txn: TxnId) -> Result<Vec<u8>, KeyError> {
        self.seal_of(&self.seal, pan.expose(), txn)
    }

    /// Decrypts what [`Self::seal_pan`] made for the same transaction; `None` for anything else.
    #[must_use]
    pub fn open_pan(&self, sealed: &[u8], txn: TxnId) -> Option<Pan> {
        Pan::from_digits(&open_of(&self.seal, sealed, txn)?)
    }

    /// Encrypts data elements of one transaction that hold card numbers, under a key of its own: nonce,
    /// ciphertext, tag. They open for that transaction only, and are sealed once in it (see
    /// [`Self::seal_pan`]).
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn seal_elements(&self, elements: &[u8], txn: TxnId) -> Result<Vec<u8>, KeyError> {
        self.seal_of(&self.elements, elements, txn)
    }

    /// Decrypts what [`Self::seal_elements`] made for the same transaction; `None` for anything else.
    #[must_use]
    pub fn open_elements(&self, sealed: &[u8], txn: TxnId) -> Option<Zeroizing<Vec<u8>>> {
        open_of(&self.elements, sealed, txn)
    }

    fn seal_of(&self, key: &LessSafeKey, clear: &[u8], txn: TxnId) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        let (prefix, number) = nonce.split_at_mut(self.nonce_prefix.len());
        prefix.copy_from_slice(&self.nonce_prefix);
        number.copy_from_slice(&txn.0.to_le_bytes());
        let mut sealed = Vec::with_capacity(NONCE_LEN + clear.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(clear);
        let body = sealed.get_mut(NONCE_LEN..).unwrap_or_default();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(txn.0.to_le_bytes()),
                body,
            )
            .map_err(|_unspecified| KeyError::Crypto)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Encrypts a value for one use, as `contact` or `identity`: nonce, ciphertext, tag. It opens for that
    /// use only.
    ///
    /// The nonce is random, under a key of its own: values are few (contacts and documents of merchants), far
    /// below the 2^32 that random nonces allow.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn seal_value(&self, value: &[u8], of: &str) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_unspecified| KeyError::Crypto)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + value.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let body = sealed.get_mut(NONCE_LEN..).unwrap_or_default();
        let tag = self
            .values
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(of.as_bytes()),
                body,
            )
            .map_err(|_unspecified| KeyError::Crypto)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Decrypts what [`Self::seal_value`] made for the same use; `None` for anything else.
    #[must_use]
    pub fn open_value(&self, sealed: &[u8], of: &str) -> Option<Zeroizing<String>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let clear = self
            .values
            .open_in_place(nonce, Aad::from(of.as_bytes()), &mut body)
            .ok()?;
        Some(Zeroizing::new(str::from_utf8(clear).ok()?.to_owned()))
    }

    /// Keyed hash over several byte strings, each with its length: finds a sealed value, or is kept instead of
    /// a code.
    #[must_use]
    pub fn hash_value(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut signing = hmac::Context::with_key(&self.value_hash);
        for part in parts {
            signing.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            signing.update(part);
        }
        let mut hash = [0; 32];
        hash.iter_mut()
            .zip(signing.sign().as_ref())
            .for_each(|(to, from)| *to = *from);
        hash
    }

    /// A random number, for codes.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn random(&self) -> Result<u32, KeyError> {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes).map_err(|_unspecified| KeyError::Crypto)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Keyed hash of a card number, cut to 16 bytes.
    #[must_use]
    pub fn hash_pan(&self, pan: &Pan) -> [u8; 16] {
        let tag = hmac::sign(&self.hash, pan.expose());
        let mut cut = [0; 16];
        cut.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        cut
    }

    /// Keyed hash over several byte strings, each with its length: equal for equal lists.
    ///
    /// SipHash-2-4, made for short inputs and results of eight bytes, takes a tenth of an HMAC's time.
    #[must_use]
    #[expect(
        deprecated,
        reason = "deprecated as a hash for maps only: no other name of it promises which SipHash it is"
    )]
    pub fn hash_parts(&self, parts: &[&[u8]]) -> u64 {
        let [first, second] = self.parts;
        let mut hasher = SipHasher::new_with_keys(first, second);
        for part in parts {
            hasher.write(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish()
    }
}

fn open_of(key: &LessSafeKey, sealed: &[u8], txn: TxnId) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let clear = key
        .open_in_place(nonce, Aad::from(txn.0.to_le_bytes()), &mut body)
        .ok()?
        .len();
    body.truncate(clear);
    Some(body)
}

/// The two halves of a key of its own for [`DataKeys::hash_parts`].
fn parts_key(hash: &hmac::Key) -> [u64; 2] {
    let tag = hmac::sign(hash, b"posgate: key of the hash over parts");
    let mut halves = tag.as_ref().chunks_exact(8).map(|half| {
        let bytes = half.first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    });
    [
        halves.next().unwrap_or_default(),
        halves.next().unwrap_or_default(),
    ]
}

fn parse(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES * 2]>> {
    let hex = text.strip_prefix(HEADER)?.trim();
    if hex.len() != KEY_BYTES * 4 || !hex.is_ascii() {
        return None;
    }
    let mut keys = Zeroizing::new([0; KEY_BYTES * 2]);
    for (byte, pair) in keys.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(keys)
}

fn write_new(path: &Path, keys: &[u8]) -> io::Result<()> {
    use fmt::Write as _;
    let mut text = Zeroizing::new(format!("{HEADER} "));
    for byte in keys {
        write!(text, "{byte:02x}").map_err(io::Error::other)?;
    }
    text.push('\n');
    // Under another name until it is whole: a process that ends in between leaves nothing that is taken for keys.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    match fs::remove_file(&unfinished) {
        Ok(()) => {}
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => {}
        Err(problem) => return Err(problem),
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    failpoint::pass(Point::KeysWritten);
    fs::rename(&unfinished, path)?;
    failpoint::pass(Point::KeysInPlace);
    // The name must be on the disk before anything is sealed with what it leads to.
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, DataKeys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = DataKeys::load_or_create(&folder.path().join("keys")).unwrap();
        (folder, keys)
    }

    fn pan() -> Pan {
        Pan::from_digits(b"6217000000000001").unwrap()
    }

    #[test]
    fn keys_are_made_once_and_read_back() {
        let (folder, keys) = keys();
        let again = DataKeys::load_or_create(&folder.path().join("keys")).unwrap();
        assert_eq!(keys.hash_pan(&pan()), again.hash_pan(&pan()));
        let sealed = keys.seal_pan(&pan(), TxnId(1)).unwrap();
        assert_eq!(again.open_pan(&sealed, TxnId(1)), Some(pan()));
    }

    #[test]
    fn keys_that_were_not_written_to_the_end_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.keys");
        fs::write(folder.path().join("data.keys.new"), HEADER).unwrap();
        let made = DataKeys::load_or_create(&path).unwrap();
        let again = DataKeys::load_or_create(&path).unwrap();
        assert_eq!(made.hash_pan(&pan()), again.hash_pan(&pan()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_sealed_number_opens_unchanged_and_for_its_transaction_only() {
        let (_folder, keys) = keys();
        let sealed = keys.seal_pan(&pan(), TxnId(1)).unwrap();
        assert!(!sealed.windows(8).any(|w| w == b"62170000"));
        assert_eq!(keys.open_pan(&sealed, TxnId(2)), None);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(keys.open_pan(&bad, TxnId(1)), None, "byte {at}");
        }
        assert_eq!(keys.open_pan(&sealed[..5], TxnId(1)), None);
    }

    #[test]
    fn a_key_file_open_to_others_is_refused_with_the_way_out() {
        let (folder, _keys) = keys();
        let path = folder.path().join("keys");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = DataKeys::load_or_create(&path).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "posgate-data-keys-1 00").unwrap();
        assert!(matches!(
            DataKeys::load_or_create(&path),
            Err(KeyError::Format { .. })
        ));
    }

    /// Stored hashes are compared with those of later builds.
    #[test]
    fn the_hash_over_parts_is_the_same_in_every_build() {
        let keys = DataKeys::from_bytes(&[7; KEY_BYTES * 2]).unwrap();
        assert_eq!(
            keys.hash_parts(&[b"sale", b"", b"1050"]),
            16_279_416_505_168_985_481
        );
    }

    #[test]
    fn a_sealed_value_opens_unchanged_and_for_its_use_only() {
        let (_folder, keys) = keys();
        let sealed = keys.seal_value(b"+8613800138000", "contact").unwrap();
        let again = keys.seal_value(b"+8613800138000", "contact").unwrap();
        assert_ne!(sealed, again, "equal values look different");
        assert!(!sealed.windows(6).any(|w| w == b"138001"));
        let opened = keys.open_value(&sealed, "contact").unwrap();
        assert_eq!(opened.as_str(), "+8613800138000");
        assert!(keys.open_value(&sealed, "identity").is_none());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(keys.open_value(&bad, "contact").is_none(), "byte {at}");
        }
        assert!(keys.open_value(&sealed[..5], "contact").is_none());
    }

    #[test]
    fn hashes_of_values_depend_on_every_part_and_its_border() {
        let (_folder, keys) = keys();
        let hash = keys.hash_value(&[b"ab", b"c"]);
        assert_eq!(hash, keys.hash_value(&[b"ab", b"c"]));
        assert_ne!(hash, keys.hash_value(&[b"a", b"bc"]));
        assert_ne!(hash, keys.hash_value(&[b"abc"]));
        let (_other_folder, other) = self::keys();
        assert_ne!(hash, other.hash_value(&[b"ab", b"c"]));
    }

    #[test]
    fn part_lists_with_other_borders_hash_differently() {
        let (_folder, keys) = keys();
        assert_ne!(
            keys.hash_parts(&[b"ab", b"c"]),
            keys.hash_parts(&[b"a", b"bc"])
        );
        assert_eq!(
            keys.hash_parts(&[b"ab", b"c"]),
            keys.hash_parts(&[b"ab", b"c"])
        );
    }
}
