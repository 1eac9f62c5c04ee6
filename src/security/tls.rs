//! TLS configurations. 1.2 and 1.3 only; the provider is named, so that a second one in the build
//! cannot become the default by accident.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Why a TLS configuration cannot be made.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read as what it should be.
    File {
        /// Path.
        path: String,
        /// "certificate chain", "private key", "certificate authorities".
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    Unusable(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, what, .. } => write!(f, "{path} holds no usable {what}"),
            Self::Unusable(_) => f.write_str("the certificate and the key cannot be used together"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source.as_ref()),
            Self::Unusable(source) => Some(source),
        }
    }
}

/// The one cryptographic provider of the process.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The provider with AES-128-GCM before AES-256-GCM, for those who are called.
///
/// Both are far out of reach (NIST SP 800-57 part 1, table 4: 128 bits beyond 2031). What differs is the hash
/// that comes with them in TLS 1.3: SHA-256 has instructions of its own on every server, SHA-384 mostly has none,
/// and was an eighth of the CPU time of a sale over a resumed connection. A peer that offers AES-256 alone gets it.
#[must_use]
pub fn server_provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    // Stable: what ranks the same stays in the provider's order.
    provider.cipher_suites.sort_by_key(|suite| {
        let name = suite.suite().as_str().unwrap_or_default();
        let strength = [("AES_128", 0), ("AES_256", 1)];
        let known = strength.iter().find(|(cipher, _)| name.contains(cipher));
        (suite.tls13().is_none(), known.map_or(2, |(_, rank)| *rank))
    });
    provider
}

/// Reads a PEM certificate chain, leaf first.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    read_certificates(path, "certificate chain")
}

fn read_certificates(
    path: &Path,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::File {
        path: path.display().to_string(),
        what,
        source,
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|e| fail(Box::new(e)))?
        .collect();
    let chain = chain.map_err(|e| fail(Box::new(e)))?;
    if chain.is_empty() {
        return Err(fail(Box::new(io::Error::other("no certificate found"))));
    }
    Ok(chain)
}

/// Reads a PEM private key.
///
/// # Errors
/// When the file cannot be read or holds no key.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File {
        path: path.display().to_string(),
        what: "private key",
        source: Box::new(source),
    })
}

/// Configuration of a terminal listener.
///
/// Sessions resume by stateless tickets under a key that rotates by itself; nothing is kept for a
/// terminal that is away. One ticket a handshake: a terminal resumes its latest. The cipher is chosen
/// here and not by the terminal, see [`server_provider`].
///
/// # Errors
/// When chain and key cannot be used together.
pub fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(server_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Configuration of the admin API: as a terminal listener's; with authorities, only who shows a certificate of
/// theirs may connect.
///
/// # Errors
/// When chain and key cannot be used together, or the file holds no usable certificate authority.
pub fn admin_server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_authorities: Option<&Path>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Unusable)?;
    let config = match client_authorities {
        None => config.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            config.with_client_cert_verifier(verifier.map_err(|source| TlsError::File {
                path: path.display().to_string(),
                what: "certificate authorities",
                source: Box::new(source),
            })?)
        }
    };
    let config = config.with_single_cert(chain, key);
    Ok(Arc::new(config.map_err(TlsError::Unusable)?))
}

/// The file of certificate authorities to use: the given one, or where Debian and its kin keep those that the
/// system trusts.
#[must_use]
pub fn authorities(given: Option<&Path>) -> &Path {
    given.unwrap_or_else(|| Path::new("/etc/ssl/certs/ca-certificates.crt"))
}

fn roots(authorities: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(authorities, "certificate authorities")? {
        roots.add(certificate).map_err(TlsError::Unusable)?;
    }
    Ok(roots)
}

/// A certificate chain, leaf first, and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Configuration of an upstream link, or of a client of the admin API: the peer must have a certificate of these
/// authorities. With an identity it is shown to a peer that asks for one.
///
/// # Errors
/// When the file holds no usable certificate authority, or the identity cannot be used.
pub fn client(
    authorities: &Path,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Unusable)?
        .with_root_certificates(roots(authorities)?);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::Unusable)?,
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_128_comes_first_in_both_versions_and_nothing_is_lost() {
        let names = |provider: &CryptoProvider| -> Vec<&'static str> {
            let suites = provider.cipher_suites.iter();
            suites
                .map(|suite| suite.suite().as_str().unwrap())
                .collect()
        };
        let ours = names(&server_provider());
        assert_eq!(
            ours[..2],
            ["TLS13_AES_128_GCM_SHA256", "TLS13_AES_256_GCM_SHA384"]
        );
        let (mut ours, mut all) = (ours, names(&provider()));
        let first_of_12 = ours.iter().find(|name| !name.starts_with("TLS13"));
        assert_eq!(
            *first_of_12.unwrap(),
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        );
        ours.sort_unstable();
        all.sort_unstable();
        assert_eq!(ours, all);
    }
}
