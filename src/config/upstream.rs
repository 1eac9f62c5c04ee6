//! `[[upstream]]`: where requests go.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::listener::with_cause;
use super::{Dialects, Reader};
use crate::base::document::{Located, Section};
use crate::base::{MerchantId, TerminalId, limits};
use crate::iso8583::Dialect;
use crate::security::tls;
use crate::switch::{StanPolicy, UpstreamAddress, UpstreamSettings};

impl Reader<'_, '_> {
    pub(super) fn upstream(
        &self,
        section: Section<'_, '_>,
        dialects: &Dialects,
    ) -> Option<UpstreamSettings> {
        let name = section.required_text("name", "bank");
        let dialect = self.dialect(&section, dialects);
        let tls = self.client_tls(&section);
        let addresses = self.addresses(&section, tls.as_ref());
        let policies = [("pass", StanPolicy::Pass), ("own", StanPolicy::Own)];
        let stan = section.choice("stan", &policies, StanPolicy::Pass);
        if let Some(dialect) = &dialect
            && stan == StanPolicy::Pass
        {
            self.tells_terminals_apart(&section, dialect);
        }
        let ms = Duration::from_millis;
        let seconds = Duration::from_secs;
        let timeout = section.duration("timeout", ms(100)..=seconds(300), seconds(15));
        let attempts = section.integer("attempts_max", 1..=10_000);
        let attempts_max = attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(60);
        let sign_on = section.flag("sign_on", false);
        let terminal = self.terminal(&section);
        let merchant = self.merchant(&section);
        let tpdu = self.tpdu(&section, dialect.as_deref());
        let connect_timeout =
            section.duration("connect_timeout", ms(100)..=seconds(60), seconds(5));
        let answer_timeout = section.duration("answer_timeout", ms(100)..=seconds(60), seconds(10));
        let echo_interval = section.duration("echo_interval", ms(0)..=seconds(3_600), seconds(30));
        let reconnect_min = section.duration("reconnect_min", ms(10)..=seconds(60), ms(200));
        let reconnect_max = section.duration("reconnect_max", ms(10)..=seconds(600), seconds(10));
        if reconnect_max < reconnect_min {
            let span = section.span_of("reconnect_max");
            self.problems
                .error(&span, "reconnect_max is shorter than reconnect_min");
        }
        let frame_bytes_max = section.size("frame_max", 64..=limits::FRAME_BYTES_MAX, 8_192);
        section.finish();
        Some(UpstreamSettings {
            name: name?.value.to_owned(),
            dialect: dialect?,
            addresses: addresses?,
            stan,
            timeout,
            attempts_max,
            sign_on,
            terminal: terminal?,
            merchant: merchant?,
            tpdu: tpdu?,
            connect_timeout,
            answer_timeout,
            echo_interval,
            reconnect_min,
            reconnect_max,
            frame_bytes_max,
        })
    }

    /// Whether answers find their requests when terminals count by themselves: two may use one trace number.
    fn tells_terminals_apart(&self, section: &Section<'_, '_>, dialect: &Dialect) {
        let Some((request, fields)) = dialect.matched_without_terminal() else {
            return;
        };
        let fields: Vec<_> = fields.iter().map(|de| format!("DE{de}")).collect();
        let key = if section.has("stan") {
            "stan"
        } else {
            "dialect"
        };
        let message = format!(
            "{}: in {} the answer to {} is matched by {}, which does not tell terminals apart that use the same trace number; write `stan = \"own\"`, or add DE{} to `match` in the dialect",
            section.path(),
            dialect.name(),
            request,
            fields.join(" and "),
            dialect.roles().terminal,
        );
        self.problems.error(&section.span_of(key), message);
    }

    fn addresses(
        &self,
        section: &Section<'_, '_>,
        tls: Option<&Option<Arc<ClientConfig>>>,
    ) -> Option<Vec<UpstreamAddress>> {
        let written = section.texts("addresses");
        let server_name = section.text("server_name");
        if let (Some(name), Some(None)) = (&server_name, tls) {
            let message = format!("{}.server_name needs [upstream.tls]", section.path());
            self.problems.error(&name.span, message);
        }
        if written.is_empty() {
            let lacks = if section.has("addresses") {
                "names none"
            } else {
                "is missing"
            };
            section.error(format!(
                "{}.addresses {lacks}; write for example `addresses = [\"10.0.0.5:9583\"]`",
                section.path()
            ));
            return None;
        }
        if written.len() > limits::GROUP_ADDRESSES_MAX {
            section.error(format!(
                "more than {} addresses",
                limits::GROUP_ADDRESSES_MAX
            ));
        }
        // Every address is looked at, also after a wrong one.
        let mut all = Some(Vec::new());
        for text in &written {
            let address = self.upstream_address(text, server_name.as_ref(), tls);
            all = all.zip(address).map(|(mut all, address)| {
                all.push(address);
                all
            });
        }
        all
    }

    fn upstream_address(
        &self,
        text: &Located<&str>,
        server_name: Option<&Located<&str>>,
        tls: Option<&Option<Arc<ClientConfig>>>,
    ) -> Option<UpstreamAddress> {
        let host = text.value.rsplit_once(':').and_then(|(host, port)| {
            let port: u16 = port.parse().ok()?;
            (port > 0 && !host.is_empty()).then_some(host)
        });
        let Some(host) = host else {
            let message = format!(
                "\"{}\" is no host and port, as in \"bank.example:9583\"",
                text.value
            );
            self.problems.error(&text.span, message);
            return None;
        };
        let Some(config) = tls?.clone() else {
            return Some(UpstreamAddress {
                address: text.value.to_owned(),
                tls: None,
            });
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let (wanted, span) =
            server_name.map_or((host, &text.span), |name| (name.value, &name.span));
        match ServerName::try_from(wanted.to_owned()) {
            Ok(name) => Some(UpstreamAddress {
                address: text.value.to_owned(),
                tls: Some((config, name)),
            }),
            Err(_not_a_name) => {
                let message = format!("\"{wanted}\" is no host name; set server_name");
                self.problems.error(span, message);
                None
            }
        }
    }

    /// `Some(None)` for plain links, `None` after a mistake.
    fn client_tls(&self, section: &Section<'_, '_>) -> Option<Option<Arc<ClientConfig>>> {
        let Some(settings) = section.section("tls") else {
            return (!section.has("tls")).then_some(None);
        };
        let authorities = settings.required_text("ca", "bank-ca.pem");
        settings.finish();
        let authorities = authorities?;
        let made = tls::client(&self.path(&authorities), None);
        made.map_err(|problem| self.problems.error(&authorities.span, with_cause(&problem)))
            .ok()
            .map(Some)
    }

    /// DE41 of our own network messages.
    fn terminal(&self, section: &Section<'_, '_>) -> Option<TerminalId> {
        let Some(text) = section.text("terminal_id") else {
            return TerminalId::parse("POSGATE").ok();
        };
        TerminalId::parse(text.value)
            .map_err(|problem| self.problems.error(&text.span, problem.to_string()))
            .ok()
    }

    /// DE42 of our own network messages.
    fn merchant(&self, section: &Section<'_, '_>) -> Option<MerchantId> {
        let Some(text) = section.text("merchant_id") else {
            return MerchantId::parse("POSGATE").ok();
        };
        MerchantId::parse(text.value)
            .map_err(|problem| self.problems.error(&text.span, problem.to_string()))
            .ok()
    }

    /// TPDU of requests, empty for the dialect's own.
    fn tpdu(&self, section: &Section<'_, '_>, dialect: Option<&Dialect>) -> Option<Vec<u8>> {
        let Some(text) = section.text("tpdu") else {
            return Some(Vec::new());
        };
        let want = dialect?.framing().tpdu.len();
        let hex = text.value.as_bytes();
        let bytes: Option<Vec<u8>> = hex
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let found = bytes.filter(|bytes| bytes.len() == want && hex.len() == want * 2);
        if found.is_none() {
            let message = format!(
                "{}.tpdu must be {} hexadecimal digits",
                section.path(),
                want * 2
            );
            self.problems.error(&text.span, message);
        }
        found
    }
}
