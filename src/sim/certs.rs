//! Certificates made on the spot, and the TLS settings of simulated terminals and hosts.
//!
//! For trying things out only: the keys live in memory and are forgotten with the process. A real gateway
//! reads its certificate and key from files (`net`).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::security::tls::server_provider;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Make(#[source] Box<rcgen::Error>),
    /// The text is not PEM, or holds nothing of the wanted kind.
    #[error("the PEM text holds no usable {what}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The parser's finding, when it found something unreadable.
        #[source]
        source: Option<Box<rustls_pki_types::pem::Error>>,
    },
    /// rustls refuses the certificate, the key or their pairing.
    #[error("TLS refuses the certificate or key")]
    Tls(#[source] Box<rustls::Error>),
}

impl From<rcgen::Error> for CertsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(Box::new(error))
    }
}

impl From<rustls::Error> for CertsError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(Box::new(error))
    }
}

/// A throw-away authority and one server certificate of it, as PEM text.
#[derive(Clone)]
pub struct MadeCerts {
    /// Certificate of the authority: what clients trust.
    pub ca_pem: String,
    /// Server certificate.
    pub cert_pem: String,
    /// Key of the server certificate (PKCS #8).
    pub key_pem: String,
}

impl std::fmt::Debug for MadeCerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeCerts").finish_non_exhaustive()
    }
}

impl MadeCerts {
    /// Makes an authority and a P-256 server certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// When the system's randomness fails.
    pub fn for_localhost() -> Result<Self, CertsError> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "Posgate simulator authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut server = CertificateParams::new(names)?;
        server
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let cert = server.signed_by(&key, &authority)?;
        Ok(Self {
            ca_pem: authority.pem(),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// Which server certificates a simulated terminal or link accepts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those of the authorities in this PEM text.
    CaPem(String),
    /// Any. Only for a peer whose certificate cannot be known beforehand.
    AnyCertificateWithoutChecking,
}

/// How clients do TLS: settings shared by many connections.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// rustls settings; sessions are stored here for resumption.
    pub config: Arc<ClientConfig>,
    /// Name the server's certificate must carry.
    pub name: ServerName<'static>,
}

impl ClientTls {
    /// Settings for TLS 1.2 and 1.3 that resume sessions.
    ///
    /// # Errors
    /// When the authorities' PEM text cannot be used.
    pub fn new(trust: &Trust, name: ServerName<'static>) -> Result<Self, CertsError> {
        let provider = Arc::new(terminal_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match trust {
            Trust::CaPem(pem) => {
                let mut roots = RootCertStore::empty();
                for cert in read_certs(pem)? {
                    roots.add(cert)?;
                }
                builder.with_root_certificates(roots)
            }
            Trust::AnyCertificateWithoutChecking => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoCertificateCheck { provider })),
        };
        Ok(Self {
            config: Arc::new(config.with_no_client_auth()),
            name,
        })
    }

    /// The same settings with a session store of its own, as each terminal has one.
    #[must_use]
    pub fn with_own_sessions(&self) -> Self {
        self.with_resumption(Resumption::in_memory_sessions(2))
    }

    /// The same settings, never resuming.
    #[must_use]
    pub fn without_resumption(&self) -> Self {
        self.with_resumption(Resumption::disabled())
    }

    fn with_resumption(&self, resumption: Resumption) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = resumption;
        Self {
            config: Arc::new(config),
            name: self.name.clone(),
        }
    }
}

/// What terminals in the field can do: no post-quantum key exchange, whose price would be in every handshake
/// measured.
fn terminal_provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

/// Server settings for TLS 1.2 and 1.3 with resumption by ticket.
///
/// # Errors
/// When the PEM texts hold no certificate or key, or they do not belong together.
pub fn server_config(cert_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, CertsError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| CertsError::Pem {
        what: "private key",
        source: Some(Box::new(e)),
    })?;
    // The same ciphers as the gateway's: what is compared with it differs in nothing but what it does.
    let provider = Arc::new(server_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(read_certs(cert_pem)?, key)?;
    config.ignore_client_order = true;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

fn read_certs(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    let what = "certificate";
    let certs: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| CertsError::Pem {
            what,
            source: Some(Box::new(e)),
        })?;
    if certs.is_empty() {
        return Err(CertsError::Pem { what, source: None });
    }
    Ok(certs)
}

/// Takes every certificate for good. Signatures of the handshake are still checked.
#[derive(Debug)]
struct NoCertificateCheck {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoCertificateCheck {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn localhost() -> ServerName<'static> {
        ServerName::try_from("localhost").unwrap()
    }

    #[test]
    fn made_certificate_serves_and_is_trusted() {
        let made = MadeCerts::for_localhost().unwrap();
        server_config(&made.cert_pem, &made.key_pem).unwrap();
        ClientTls::new(&Trust::CaPem(made.ca_pem), localhost()).unwrap();
    }

    #[test]
    fn text_without_certificate_is_refused() {
        let made = MadeCerts::for_localhost().unwrap();
        let empty = Trust::CaPem(String::new());
        assert!(matches!(
            ClientTls::new(&empty, localhost()),
            Err(CertsError::Pem { source: None, .. })
        ));
        assert!(matches!(
            server_config(&made.cert_pem, "no key"),
            Err(CertsError::Pem {
                what: "private key",
                ..
            })
        ));
    }

    #[test]
    fn keys_do_not_print() {
        let made = MadeCerts::for_localhost().unwrap();
        assert_eq!(format!("{made:?}"), "MadeCerts { .. }");
    }
}
