//! E-mail over SMTP.

use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport, Message, Tokio1Executor};
use zeroize::Zeroizing;

use super::{Attempt, Notifier, Undelivered, Why};
use crate::base::notice::Notice;

/// Why a mail server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// What stands in `From` is no address.
    #[error("from is no address; write `Posgate <noreply@bank.example>`")]
    From(#[source] AddressError),
    /// The certificate authorities cannot be used.
    #[error("the certificate authorities of the mail server cannot be used")]
    Authorities(#[source] SmtpError),
}

/// How the connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (port 465).
    Tls,
    /// TLS once the server was asked for it (port 587); never without.
    StartTls,
    /// None: for a server on this machine.
    None,
}

/// A mail server.
#[derive(Clone)]
pub struct MailServer {
    /// Its name, which its certificate has to have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept private.
    pub security: MailSecurity,
    /// PEM of the certificate authorities; those of the system otherwise.
    pub authorities: Option<Vec<u8>>,
    /// User and password.
    pub user: Option<(String, Zeroizing<String>)>,
    /// What stands in `From`.
    pub from: String,
    /// Longest that one attempt may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for MailServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailServer")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// Sends e-mails, each over a connection of its own.
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl Mailer {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When the settings do not fit together.
    pub fn new(server: &MailServer) -> Result<Self, MailError> {
        let from: Mailbox = server.from.parse().map_err(MailError::From)?;
        let tls = || -> Result<TlsParameters, SmtpError> {
            let mut tls = TlsParameters::builder(server.host.clone());
            if let Some(pem) = &server.authorities {
                tls = tls.certificate_store(CertificateStore::None);
                tls = tls.add_root_certificate(Certificate::from_pem(pem)?);
            }
            tls.build_rustls()
        };
        let tls = match server.security {
            MailSecurity::Tls => Tls::Wrapper(tls().map_err(MailError::Authorities)?),
            MailSecurity::StartTls => Tls::Required(tls().map_err(MailError::Authorities)?),
            MailSecurity::None => Tls::None,
        };
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
                .port(server.port)
                .tls(tls)
                .timeout(Some(server.timeout));
        if let Some((user, password)) = &server.user {
            let credentials = Credentials::new(user.clone(), password.as_str().to_owned());
            transport = transport.credentials(credentials);
        }
        Ok(Self {
            transport: transport.build(),
            from,
            timeout: server.timeout,
        })
    }

    fn message(&self, number: u64, notice: &Notice) -> Result<Message, Why> {
        let to: Mailbox = notice.to.parse().map_err(|_wrong| Why::Address)?;
        let host = self.from.email.domain();
        let builder: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(notice.subject.clone())
            // The same for each attempt: a mailbox shows a second copy as one.
            .message_id(Some(format!("<posgate.{number}@{host}>")))
            .header(ContentType::TEXT_PLAIN);
        let message = builder.body(notice.text.as_str().to_owned());
        message.map_err(|_unwritable| Why::Address)
    }
}

impl Notifier for Mailer {
    fn deliver<'a>(&'a self, number: u64, notice: &'a Notice) -> Attempt<'a> {
        Box::pin(async move {
            let message = self.message(number, notice).map_err(Undelivered::Never)?;
            // The transport's own time-out is for each step.
            match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
                Err(_elapsed) => Err(Undelivered::Later(Why::Timeout)),
                Ok(Ok(_accepted)) => Ok(()),
                Ok(Err(problem)) => Err(judged(&problem)),
            }
        })
    }
}

/// What the server's answer means. Its words are not kept: they may name the address.
fn judged(problem: &SmtpError) -> Undelivered {
    let why = problem
        .status()
        .map_or(Why::Connection, |code| Why::Smtp(code.into()));
    // 5xx about the address or the message stands; one about us (530 to 535: sign on first) may be mended.
    match why {
        Why::Smtp(code) if problem.is_permanent() && !(530..=538).contains(&code) => {
            Undelivered::Never(why)
        }
        _ if problem.is_timeout() => Undelivered::Later(Why::Timeout),
        _ => Undelivered::Later(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailer(from: &str) -> Result<Mailer, MailError> {
        Mailer::new(&MailServer {
            host: "localhost".into(),
            port: 1,
            security: MailSecurity::None,
            authorities: None,
            user: None,
            from: from.into(),
            timeout: Duration::from_secs(5),
        })
    }

    fn notice(to: &str) -> Notice {
        Notice {
            to: Zeroizing::new(to.into()),
            subject: "Posgate: 验证码".into(),
            text: Zeroizing::new("123456\r\n.\r\nRCPT TO:<evil@example.com>".into()),
        }
    }

    #[test]
    fn a_sender_that_is_no_address_is_refused() {
        assert!(matches!(mailer("nobody"), Err(MailError::From(_))));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_never_tried_and_a_server_that_is_away_is() {
        let mailer = mailer("Posgate <noreply@bank.example>").unwrap();
        let wrong = mailer.deliver(1, &notice("a@b\r\nBcc: c@d")).await;
        assert_eq!(wrong, Err(Undelivered::Never(Why::Address)));
        let away = mailer.deliver(1, &notice("li@shop.example")).await;
        assert_eq!(away, Err(Undelivered::Later(Why::Connection)));
    }

    #[test]
    fn every_attempt_at_one_text_is_the_same_message() {
        let mailer = mailer("Posgate <noreply@bank.example>").unwrap();
        let message = mailer.message(7, &notice("li@shop.example")).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(
            text.contains("Message-ID: <posgate.7@bank.example>"),
            "{text}"
        );
    }
}
