//! `[admin]`: where the admin API is served.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;

use super::Reader;
use super::listener::with_cause;
use crate::base::document::Section;
use crate::security::tls;
use crate::switch::StoreChoice;

/// The admin API over TLS.
#[derive(Clone, Debug)]
pub struct AdminHttps {
    /// Where it listens.
    pub address: SocketAddr,
    /// With which certificate, and whose it asks for.
    pub tls: Arc<ServerConfig>,
}

impl Reader<'_, '_> {
    /// The socket's path, and HTTPS when it is wanted: `None` after a mistake.
    pub(super) fn admin(
        &self,
        root: &Section<'_, '_>,
        store: &StoreChoice,
    ) -> (PathBuf, Option<Option<AdminHttps>>) {
        let StoreChoice::Sqlite(folder) = store;
        let default = folder.join("admin.sock");
        let Some(admin) = root.section("admin") else {
            return (default, Some(None));
        };
        let socket = admin
            .text("socket")
            .map_or(default, |text| self.path(&text));
        let https = self.admin_https(&admin);
        admin.finish();
        (socket, https)
    }

    fn admin_https(&self, admin: &Section<'_, '_>) -> Option<Option<AdminHttps>> {
        let listen = admin.text("listen");
        let exposed = admin.flag("exposed", false);
        let tls = self.admin_tls(admin);
        let Some(listen) = listen else {
            if admin.has("tls") {
                admin.error(
                    "admin.tls is set and admin.listen is not; write `listen = \"127.0.0.1:8443\"`",
                );
            }
            return Some(None);
        };
        let address = self.address(&listen);
        if let Some(address) = address
            && !address.ip().is_loopback()
            && !exposed
        {
            let message = format!(
                "admin.listen {address} can be reached from other machines; if that is meant, add `exposed = true`"
            );
            self.problems.error(&listen.span, message);
        }
        if !admin.has("tls") {
            let message = "admin.listen needs [admin.tls] with certificate and key: tokens are only sent over TLS";
            self.problems.error(&listen.span, message);
        }
        Some(Some(AdminHttps {
            address: address?,
            tls: tls?,
        }))
    }

    fn admin_tls(&self, admin: &Section<'_, '_>) -> Option<Arc<ServerConfig>> {
        let settings = admin.section("tls")?;
        let certificate = settings.required_text("certificate", "admin.crt");
        let key = settings.required_text("key", "admin.key");
        let client_ca = settings.text("client_ca");
        settings.finish();
        let chain = certificate.as_ref().and_then(|text| {
            let read = tls::read_chain(&self.path(text));
            read.map_err(|problem| self.problems.error(&text.span, with_cause(&problem)))
                .ok()
        });
        let secret = key.and_then(|text| {
            let read = tls::read_key(&self.path(&text));
            read.map_err(|problem| self.problems.error(&text.span, with_cause(&problem)))
                .ok()
        });
        let span = match (&client_ca, &certificate) {
            (Some(text), _) | (None, Some(text)) => text.span.clone(),
            (None, None) => admin.span(),
        };
        let authorities = client_ca.map(|text| self.path(&text));
        let made = tls::admin_server(chain?, secret?, authorities.as_deref());
        made.map_err(|problem| self.problems.error(&span, with_cause(&problem)))
            .ok()
    }
}
