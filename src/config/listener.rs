//! `[[listener]]`: where terminals come in.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::{Dialects, Reader, Upstreams};
use crate::base::document::{Located, Section};
use crate::base::limits;
use crate::binding::SerialRule;
use crate::net::session::SessionLimits;
use crate::security::tls;
use crate::switch::{ListenSettings, UpstreamSettings};

const SERIALS: [(&str, SerialRule); 4] = [
    ("ignore", SerialRule::Ignore),
    ("watch", SerialRule::Watch),
    ("check", SerialRule::Check),
    ("require", SerialRule::Require),
];

impl Reader<'_, '_> {
    pub(super) fn listener(
        &self,
        section: Section<'_, '_>,
        dialects: &Dialects,
        upstreams: &Upstreams,
        index: usize,
    ) -> Option<ListenSettings> {
        if index >= limits::LISTENERS_MAX {
            section.error(format!("more than {} listeners", limits::LISTENERS_MAX));
        }
        let name = section.required_text("name", "shops");
        let address = section.required_text("address", "0.0.0.0:8583");
        let address = address.and_then(|text| self.address(&text));
        let acquirer = section.required_text("acquirer", "acme");
        if let Some(empty) = acquirer
            .as_ref()
            .filter(|text| ["", "-"].contains(&text.value.trim()))
        {
            // What is behind a `-` is the number of a binding.
            self.problems
                .error(&empty.span, "the acquirer needs a name, and `-` is none");
        }
        let dialect = self.dialect(&section, dialects);
        let upstream = section.required_text("upstream", "bank");
        let served = upstream
            .as_ref()
            .and_then(|name| self.upstream_of(name, upstreams));
        if let (Some(dialect), Some(group), Some(text)) = (&dialect, served, &upstream)
            && dialect.name() != group.dialect.name()
        {
            let message = format!(
                "upstream group {} speaks {}, this listener {}: translation between dialects is not \
                 built yet, both must be the same",
                text.value,
                group.dialect.name(),
                dialect.name()
            );
            self.problems.error(&text.span, message);
        }
        let serials = section.choice("serials", &SERIALS, SerialRule::default());
        let has_mac = self.mac(&section);
        self.code_entry(&section, has_mac);
        let sign_on_required =
            section.choice("sign_on", &[("required", true), ("optional", false)], true);
        let tls = self.server_tls(&section);
        let settings = Limits::read(&section);
        section.finish();
        Some(ListenSettings {
            name: name?.value.to_owned(),
            address: address?,
            tls: tls?,
            dialect: dialect?,
            acquirer: acquirer?.value.to_owned(),
            upstream: upstream?.value.to_owned(),
            sign_on_required,
            // Until MACs are verified nothing that a terminal sends is proof of who it is.
            authentic: false,
            code_entry: false,
            serials,
            handshake_timeout: settings.handshake_timeout,
            handshakes_max: settings.handshakes_max,
            handshakes_per_address_max: settings.handshakes_per_address_max,
            connections_per_second: settings.connections_per_second,
            sessions_max: settings.sessions_max,
            session: settings.session,
        })
    }

    fn upstream_of<'u>(
        &self,
        name: &Located<&str>,
        upstreams: &'u Upstreams,
    ) -> Option<&'u UpstreamSettings> {
        if !upstreams.names.iter().any(|known| known == name.value) {
            let known = upstreams.names.join(", ");
            let message = format!("no upstream group {}; known: {known}", name.value);
            self.problems.error(&name.span, message);
        }
        upstreams
            .sound
            .iter()
            .flatten()
            .find(|group| group.name == name.value)
    }

    /// Whether something other than "none" is written.
    fn mac(&self, section: &Section<'_, '_>) -> bool {
        let Some(mac) = section.required_text("mac", "none") else {
            return false;
        };
        if mac.value == "none" {
            let message = format!(
                "{}.mac is \"none\": answers are not authenticated; only TLS protects them",
                section.path()
            );
            self.problems.warn(&mac.span, message);
            false
        } else {
            let message = format!(
                "{}.mac must be \"none\": message authentication is not built yet",
                section.path()
            );
            self.problems.error(&mac.span, message);
            true
        }
    }

    /// Codes are taken from terminals only where their messages are authenticated: anybody else could try them.
    fn code_entry(&self, section: &Section<'_, '_>, has_mac: bool) {
        if section.flag("code_entry", false) && !has_mac {
            let message = format!(
                "{path}.code_entry needs MACs, and {path}.mac is \"none\": anybody who reaches the listener \
                 could try codes; write code_entry = false, and have codes checked by `posgate challenge check`",
                path = section.path()
            );
            self.problems.error(&section.span_of("code_entry"), message);
        }
    }

    /// `Some(None)` for a plain listener, `None` after a mistake.
    fn server_tls(&self, section: &Section<'_, '_>) -> Option<Option<Arc<ServerConfig>>> {
        let Some(settings) = section.section("tls") else {
            if section.has("tls") {
                return None;
            }
            let message = format!(
                "{} has no [listener.tls]: terminals speak in the clear; end TLS in front of it",
                section.path()
            );
            self.problems.warn(&section.span(), message);
            return Some(None);
        };
        let certificate = settings.required_text("certificate", "posgate.crt");
        let key = settings.required_text("key", "posgate.key");
        settings.finish();
        let chain = certificate.and_then(|text| {
            let read = tls::read_chain(&self.path(&text));
            read.map_err(|problem| self.problems.error(&text.span, with_cause(&problem)))
                .ok()
        });
        let secret = key.as_ref().and_then(|text| {
            let read = tls::read_key(&self.path(text));
            read.map_err(|problem| self.problems.error(&text.span, with_cause(&problem)))
                .ok()
        });
        let (chain, secret) = (chain?, secret?);
        let made = tls::server(chain, secret);
        let span = key.map_or_else(|| section.span(), |text| text.span);
        made.map_err(|problem| self.problems.error(&span, with_cause(&problem)))
            .ok()
            .map(Some)
    }
}

/// An error and what caused it, on one line.
pub(super) fn with_cause(problem: &dyn std::error::Error) -> String {
    match problem.source() {
        Some(cause) => format!("{problem}: {cause}"),
        None => problem.to_string(),
    }
}

/// Time-outs and bounds of a listener. Defaults: `docs/configuration.md`.
struct Limits {
    handshake_timeout: Duration,
    handshakes_max: usize,
    handshakes_per_address_max: usize,
    connections_per_second: u32,
    sessions_max: usize,
    session: SessionLimits,
}

impl Limits {
    fn read(section: &Section<'_, '_>) -> Self {
        let ms = Duration::from_millis;
        let seconds = Duration::from_secs;
        let count = |key: &'static str, from: u64, to: u64, default: usize| {
            section
                .integer(key, from..=to)
                .and_then(|value| usize::try_from(value).ok())
                .unwrap_or(default)
        };
        let time = |key: &'static str, to: Duration, default: Duration| {
            section.duration(key, ms(100)..=to, default)
        };
        Self {
            // Terminals over GPRS finish in one to three seconds.
            handshake_timeout: time("handshake_timeout", seconds(60), seconds(5)),
            handshakes_max: count("handshakes_max", 1, 65_536, 256),
            // Fleets share a carrier's address, so there is no limit by default.
            handshakes_per_address_max: count("handshakes_per_address_max", 0, 65_536, 0),
            connections_per_second: section
                .integer("connections_per_second", 0..=1_000_000)
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(500),
            sessions_max: count("sessions_max", 1, 10_000_000, 100_000),
            session: SessionLimits {
                // Absolute, not per read: a byte at a time does not stretch it.
                frame_timeout: time("frame_timeout", seconds(600), seconds(10)),
                idle_timeout: time("idle_timeout", seconds(86_400), seconds(600)),
                write_timeout: time("write_timeout", seconds(600), seconds(10)),
                frame_bytes_max: section.size("frame_max", 64..=limits::FRAME_BYTES_MAX, 4_096),
                pending_max: section
                    .integer("pending_max", 1..=1_024)
                    .and_then(|value| u32::try_from(value).ok())
                    .unwrap_or(4),
                write_bytes_max: section.size("write_max", 1_024..=16 << 20, 32 << 10),
            },
        }
    }
}
