//! `[notify.sms]`, `[notify.email]` and `[[webhook]]`: how texts reach people, and events programs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::Reader;
use super::listener::with_cause;
use crate::base::document::{Located, Section};
use crate::net::notify::{
    Escape, MailSecurity, MailServer, Mailer, SmsSettings, Template, WebhookSettings,
};
use crate::security::tls;
use crate::switch::NotifySettings;

/// Fewest bytes of a secret that signs.
const SECRET_BYTES_MIN: usize = 16;
/// Most bytes of a file with a secret.
const SECRET_BYTES_MAX: u64 = 4_096;
/// Body of an SMS gateway's request unless the file says otherwise.
const TEMPLATE: &str = r#"{"to":"{to}","text":"{text}","id":"{id}"}"#;
/// Longest that one attempt may take, unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Reader<'_, '_> {
    /// `None` after a mistake.
    pub(super) fn notify(&self, root: &Section<'_, '_>) -> Option<NotifySettings> {
        let mut settings = NotifySettings::default();
        let mut sound = true;
        if let Some(notify) = root.section("notify") {
            if let Some(sms) = notify.section("sms") {
                settings.sms = self.sms(sms);
                sound &= settings.sms.is_some();
            }
            if let Some(email) = notify.section("email") {
                settings.email = self.email(email);
                sound &= settings.email.is_some();
            }
            notify.finish();
        }
        let mut names = Vec::new();
        for section in root.sections("webhook") {
            self.once(&section, "name", "webhook", &mut names);
            let name = section.required_text("name", "shop-system");
            let webhook = self.webhook(&section);
            section.finish();
            match (name, webhook) {
                (Some(name), Some(webhook)) => {
                    settings.webhooks.insert(name.value.to_owned(), webhook);
                }
                (_, _) => sound = false,
            }
        }
        sound.then_some(settings)
    }

    fn sms(&self, section: Section<'_, '_>) -> Option<SmsSettings> {
        let webhook = self.webhook(&section);
        let escape = section.choice(
            "body",
            &[("json", Escape::Json), ("form", Escape::Form)],
            Escape::Json,
        );
        let written = section.text("template");
        let text = written.as_ref().map_or(TEMPLATE, |text| text.value);
        let span = written
            .as_ref()
            .map_or_else(|| section.span(), |text| text.span.clone());
        let template = Template::parse(text, escape);
        let template = template.map_err(|wrong| {
            let message = format!("{}.template: {wrong}", section.path());
            self.problems.error(&span, message);
        });
        section.finish();
        Some(SmsSettings {
            webhook: webhook?,
            template: template.ok()?,
        })
    }

    /// What all webhooks have: address, secret, authorities, time-out.
    fn webhook(&self, section: &Section<'_, '_>) -> Option<WebhookSettings> {
        let url = section.required_text("url", "https://sms.example/send");
        let secret = section.required_text("secret_file", "webhook.secret");
        let timeout = self.timeout(section);
        let tls = self.webhook_tls(section);
        let secret = secret.and_then(|text| self.secret(&text, SECRET_BYTES_MIN));
        let (url, tls, secret) = (url?, tls?, secret?);
        let made = WebhookSettings::new(url.value, tls, secret.as_bytes(), timeout);
        made.map_err(|wrong| {
            let message = format!("{}.url {}: {wrong}", section.path(), url.value);
            self.problems.error(&url.span, message);
        })
        .ok()
    }

    fn timeout(&self, section: &Section<'_, '_>) -> Duration {
        let range = Duration::from_secs(1)..=Duration::from_secs(120);
        section.duration("timeout", range, TIMEOUT)
    }

    fn webhook_tls(&self, section: &Section<'_, '_>) -> Option<Arc<ClientConfig>> {
        let given = section.text("ca");
        let path = given.as_ref().map(|text| self.path(text));
        let authorities = tls::authorities(path.as_deref());
        let span = given.map_or_else(|| section.span(), |text| text.span);
        let made = tls::client(authorities, None);
        made.map_err(|problem| {
            let message = format!(
                "{}: name the certificate authorities with `ca`",
                with_cause(&problem)
            );
            self.problems.error(&span, message);
        })
        .ok()
    }

    /// What stands in a file that only its owner may read.
    fn secret(&self, text: &Located<&str>, least: usize) -> Option<Zeroizing<String>> {
        let path = self.path(text);
        let refuse = |message: String| {
            self.problems
                .error(&text.span, format!("{} {message}", path.display()));
        };
        match read_secret(&path) {
            Err(problem) => refuse(format!("cannot be read: {problem}")),
            Ok((mode, _)) if mode & 0o077 != 0 => refuse(format!(
                "is open to others (mode {mode:o}); run `chmod 600 {}`",
                path.display()
            )),
            Ok((_, secret)) if secret.len() < least => refuse(format!(
                "holds {} characters, at least {least} are needed; `openssl rand -hex 32` makes a good one",
                secret.len()
            )),
            Ok((_, secret)) => return Some(secret),
        }
        None
    }

    fn email(&self, section: Section<'_, '_>) -> Option<MailServer> {
        let host = section.required_text("server", "mail.bank.example");
        let security = section.choice(
            "tls",
            &[
                ("on", MailSecurity::Tls),
                ("starttls", MailSecurity::StartTls),
                ("off", MailSecurity::None),
            ],
            MailSecurity::Tls,
        );
        let port = section.integer("port", 1..=65_535);
        let usual = match security {
            MailSecurity::Tls => 465,
            MailSecurity::StartTls => 587,
            MailSecurity::None => 25,
        };
        let from = section.required_text("from", "Posgate <noreply@bank.example>");
        let user = section.text("user");
        let password = section.text("password_file");
        let ca = section.text("ca");
        let timeout = self.timeout(&section);
        if let Some(host) = &host
            && security == MailSecurity::None
            && !["localhost", "127.0.0.1", "::1"].contains(&host.value)
        {
            let message =
                "email without TLS is for a mail server on this machine only; write tls = \"on\"";
            self.problems.error(&host.span, message);
        }
        let authorities = match &ca {
            None => Some(None),
            Some(text) => {
                let read = std::fs::read(self.path(text));
                read.map_err(|problem| {
                    let message = format!("{} cannot be read: {problem}", text.value);
                    self.problems.error(&text.span, message);
                })
                .ok()
                .map(Some)
            }
        };
        let user = match (user, password) {
            (None, None) => Some(None),
            (Some(user), Some(password)) => {
                let secret = self.secret(&password, 1);
                secret.map(|secret| Some((user.value.to_owned(), secret)))
            }
            (Some(_), None) | (None, Some(_)) => {
                section.error("user and password_file belong together");
                None
            }
        };
        let span = section.span();
        section.finish();
        let server = MailServer {
            host: host?.value.to_owned(),
            port: u16::try_from(port.unwrap_or(usual)).unwrap_or(u16::MAX),
            security,
            authorities: authorities?,
            user: user?,
            from: from?.value.to_owned(),
            timeout,
        };
        match Mailer::new(&server) {
            Ok(_usable) => Some(server),
            Err(problem) => {
                self.problems.error(&span, with_cause(&problem));
                None
            }
        }
    }
}

/// The mode of a file and what stands in it, without the space around it.
fn read_secret(path: &Path) -> std::io::Result<(u32, Zeroizing<String>)> {
    let meta = std::fs::metadata(path)?;
    if meta.len() > SECRET_BYTES_MAX {
        return Err(std::io::Error::other("it is too large for a secret"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    let secret = Zeroizing::new(text.trim().to_owned());
    Ok((meta.permissions().mode() & 0o777, secret))
}
