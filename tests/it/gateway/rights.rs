//! Who may do what over the admin API: tokens, roles, TLS, client certificates, lock-out.

use std::sync::Arc;

use posgate::security::tls;
use posgate::sim::certs::{ClientTls, MadeCerts, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};

use super::admin::{Api, admin, new_key};
use super::fixture::{Setup, World};

/// A token with that role.
async fn token(api: &Api, role: &str) -> (u64, String) {
    let body = json!({ "name": format!("a {role}"), "role": role });
    let (status, created) = api.post("/v1/tokens", body).await;
    assert_eq!(status, 201, "{created}");
    let token = created["token"].as_str().unwrap().to_owned();
    (created["id"].as_u64().unwrap(), token)
}

/// The API of one gateway, over the socket and over TLS.
async fn both(world: &World, client_ca: Option<&str>) -> (Api, Api) {
    let certs = MadeCerts::for_localhost().unwrap();
    let chain = CertificateDer::pem_slice_iter(certs.cert_pem.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certs.key_pem.as_bytes()).unwrap();
    let authorities = client_ca.map(|pem| {
        let path = world.folder.path().join("clients.pem");
        std::fs::write(&path, pem).unwrap();
        path
    });
    let server = tls::admin_server(chain, key, authorities.as_deref()).unwrap();
    let admin = admin(world);
    let socket = world.folder.path().join("admin.sock");
    admin.serve_socket(&socket).unwrap();
    let any_port = "127.0.0.1:0".parse().unwrap();
    let address = admin.serve_https(any_port, server).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientTls::new(&Trust::CaPem(certs.ca_pem.clone()), name).unwrap();
    let local = Api {
        socket,
        https: None,
        token: None,
    };
    let remote = Api {
        https: Some((address, Arc::clone(&client.config))),
        ..local.clone()
    };
    std::fs::write(world.folder.path().join("server-ca.pem"), certs.ca_pem).unwrap();
    (local, remote)
}

async fn get(api: &Api, path: &str) -> u16 {
    api.request("GET", path, &[], String::new()).await.status
}

#[tokio::test]
async fn over_tls_nobody_is_anybody_without_a_good_token() {
    let world = Setup::new().start().await;
    let (local, remote) = both(&world, None).await;
    let (number, good) = token(&local, "viewer").await;
    let path = "/v1/terminals/acme/T0000001";
    let mut bad = good.clone();
    let last = bad.pop();
    bad.push(if last == Some('0') { '1' } else { '0' });
    for wrong in [None, Some(""), Some("pgt_1_00"), Some(bad.as_str())] {
        let refused = remote
            .with(wrong)
            .request("GET", path, &[], String::new())
            .await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (401, "unauthorized")
        );
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
        // What is not there is not told either.
        assert_eq!(get(&remote.with(wrong), "/v1/nothing").await, 401);
    }
    let remote = remote.with(Some(&good));
    assert_eq!(get(&remote, path).await, 200);
    // On the socket a token narrows what may be done; a wrong one opens nothing.
    assert_eq!(get(&local.with(Some(&good)), "/v1/audit").await, 403);
    assert_eq!(get(&local.with(Some(&bad)), path).await, 401);
    // Taken back, it is of no use for the next request.
    let revoke = format!("/v1/tokens/{number}");
    let key = new_key();
    let revoked = local
        .request(
            "DELETE",
            &revoke,
            &[("idempotency-key", &key)],
            String::new(),
        )
        .await;
    assert_eq!(
        (revoked.status, &revoked.json()["status"]),
        (200, &json!("revoked"))
    );
    assert_eq!(get(&remote, path).await, 401);
    world.stop(()).await;
}

/// Every route of the document with every role: who may not gets 403, and who may gets anything else.
#[tokio::test]
async fn every_route_is_open_to_its_roles_and_to_no_other() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let document = api.json("/openapi.json").await;
    let roles = [
        "viewer",
        "operator",
        "checker",
        "risk",
        "key-custodian",
        "admin",
    ];
    let mut tokens = Vec::new();
    for role in roles {
        tokens.push((role, token(&api, role).await.1));
    }
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let told = operation["description"].as_str().unwrap();
            let (_, told) = told.rsplit_once("Roles: ").unwrap();
            let may: Vec<_> = told.trim_end_matches('.').split(", ").collect();
            let (method, path) = (method.to_uppercase(), path.replace(['{', '}'], ""));
            for (role, token) in &tokens {
                // Without a key no write is made.
                let api = api.with(Some(token));
                let answered = api.request(&method, &path, &[], String::new()).await;
                let what = format!("{role}: {method} {path}: {answered:?}");
                assert_eq!(answered.status == 403, !may.contains(role), "{what}");
                assert_ne!(answered.status, 401, "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
    // Somebody who may not is named, with what he wanted.
    let denied = api.json("/v1/audit?event=access.denied").await;
    let denied = denied["events"].as_array().unwrap();
    let viewer = denied
        .iter()
        .find(|event| event["actor"]["name"] == "a viewer");
    assert_eq!(viewer.unwrap()["actor"]["rights"], "viewer");
    world.stop(()).await;
}

/// Every action, step and event of the addresses that do several things, with every role.
#[tokio::test]
async fn every_act_is_open_to_its_roles_and_to_no_other() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let document = api.json("/openapi.json").await;
    let mut tokens = Vec::new();
    for role in ["operator", "checker", "risk", "admin"] {
        tokens.push((role, token(&api, role).await.1));
    }
    let places = [
        ("/v1/terminals/{acquirer}/{terminal}/actions", "action"),
        ("/v1/unbindings/{case}/steps", "step"),
        ("/v1/replacements/{case}/steps", "step"),
        ("/v1/accounts/{acquirer}/{account}/events", "event"),
        ("/v1/contacts/{contact}/events", "event"),
    ];
    // All that any act wants; what one does not know is left out until it is content.
    let words = json!({
        "network": "N", "note": "n", "serial": "S", "challenge": 1, "code": "123456", "reasons": ["phone"],
        "reason": "phone", "evidence": 1, "spare": true, "address": "1 Long Street", "account_id": "A", "phone_tail": "1", "merchant_id": "M",
        "account_tail": "1", "document": "identity", "sha256": "", "approved": true, "hash": "", "result": "done",
        "test": "echo", "passed": true,
    });
    let mut tried = 0;
    for (path, tag) in places {
        let told = document["paths"][path]["post"]["description"]
            .as_str()
            .unwrap();
        let address = path
            .replace("{acquirer}", "acme")
            .replace("{terminal}", "T0000001")
            .replace("{account}", "account-1")
            .replace("{case}", "9")
            .replace("{contact}", "9");
        let acts = told.lines().filter_map(|line| {
            let (act, roles) = line.strip_prefix("- `")?.split_once("`: ")?;
            Some((act, roles.split(", ").collect::<Vec<_>>()))
        });
        for (act, may) in acts {
            let body = body_of(&document, path, tag, act, &words);
            for (role, token) in &tokens {
                let (_, answer) = api.with(Some(token)).post(&address, body.clone()).await;
                let what = format!("{role}: {act} of {path}: {answer}");
                let forbidden = answer["title"] == "forbidden";
                assert_eq!(forbidden, !may.contains(role), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 38 * 4, "{tried}");
    world.stop(()).await;
}

/// A body of an act with what its schema asks for.
fn body_of(document: &Value, path: &str, tag: &str, act: &str, words: &Value) -> Value {
    let asked = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
    let name = asked["schema"]["$ref"].as_str().unwrap();
    let schema = &document["components"]["schemas"][name.rsplit('/').next().unwrap()];
    let mut body = json!({ tag: act });
    let Some(ways) = schema["oneOf"].as_array() else {
        return body;
    };
    let way = ways.iter().find(|way| {
        let parts = way["allOf"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![(*way).clone()]);
        parts
            .iter()
            .any(|part| part["properties"][tag]["enum"][0] == act)
    });
    let way = way.unwrap_or_else(|| panic!("{act} of {path} is not in the document"));
    let parts = way["allOf"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![way.clone()]);
    for part in parts {
        for needed in part["required"].as_array().into_iter().flatten() {
            let needed = needed.as_str().unwrap();
            if needed != tag {
                assert!(words.get(needed).is_some(), "{needed} of {act}");
                body[needed] = words[needed].clone();
            }
        }
    }
    body
}

#[tokio::test]
async fn a_token_is_shown_once_kept_as_a_hash_and_told_without_its_secret() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let key = new_key();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key.as_str()),
    ];
    let body = json!({ "name": "Li Na", "role": "operator", "days": 7 }).to_string();
    let created = api
        .request("POST", "/v1/tokens", &headers, body.clone())
        .await;
    let token = created.json()["token"].as_str().unwrap().to_owned();
    let secret = token.rsplit('_').next().unwrap();
    assert_eq!(secret.len(), 64);
    let again = api.request("POST", "/v1/tokens", &headers, body).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (201, "true")
    );
    assert!(!again.text.contains(secret), "it is shown once");
    for path in ["/v1/tokens", "/v1/audit"] {
        let (_, shown) = api.get(path).await;
        assert!(shown.contains("Li Na") && !shown.contains(secret), "{path}");
    }
    let life = &api.json("/v1/tokens").await["tokens"][0];
    let life = life["expires_at_us"].as_u64().unwrap() - life["created_at_us"].as_u64().unwrap();
    assert_eq!(life, 7 * 86_400_000_000);
    let digits: Vec<u8> = secret
        .bytes()
        .map(|digit| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap())
        .collect();
    let (pairs, _) = digits.as_chunks();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    let left = world.stop(()).await;
    for entry in std::fs::read_dir(left.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        let holds = |what: &[u8]| file.windows(what.len()).any(|w| w == what);
        assert!(
            !holds(secret.as_bytes()) && !holds(&bytes),
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn a_token_that_was_given_out_is_good_after_a_restart_and_a_revoked_one_is_not() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let (_, kept) = token(&api, "viewer").await;
    let (number, gone) = token(&api, "viewer").await;
    let revoke = format!("/v1/tokens/{number}");
    let revoked = api
        .request(
            "DELETE",
            &revoke,
            &[("idempotency-key", "r")],
            String::new(),
        )
        .await;
    assert_eq!(revoked.status, 200);
    let stored = Some(world.stop(()).await);
    let setup = Setup {
        stored,
        terminals: 0,
        ..Setup::new()
    };
    let world = setup.start().await;
    let api = Api::serve(&world);
    assert_eq!(get(&api.with(Some(&kept)), "/v1/exceptions").await, 200);
    assert_eq!(get(&api.with(Some(&gone)), "/v1/exceptions").await, 401);
    world.stop(()).await;
}

#[tokio::test]
async fn who_fails_ten_times_is_locked_out_and_told_of() {
    let world = Setup::new().start().await;
    let (local, remote) = both(&world, None).await;
    let (_, good) = token(&local, "viewer").await;
    for _ in 0..10 {
        assert_eq!(
            get(&remote.with(Some("pgt_1_x")), "/v1/exceptions").await,
            401
        );
    }
    // No more guesses from there.
    let locked = remote
        .with(Some("pgt_1_x"))
        .request("GET", "/v1/exceptions", &[], String::new())
        .await;
    assert_eq!(
        (locked.status, locked.problem().as_str()),
        (429, "locked out")
    );
    let wait: u64 = locked.header("retry-after").parse().unwrap();
    assert!((1_790..=1_800).contains(&wait), "{wait}");
    // Others may share the address: a good token gets in.
    assert_eq!(get(&remote.with(Some(&good)), "/v1/exceptions").await, 200);
    // Who is on the machine is not locked out.
    assert_eq!(get(&local, "/v1/exceptions").await, 200);
    let told = local.json("/v1/audit?event=access.").await;
    assert_eq!(told["events"][0]["event"], "access.locked_out");
    assert_eq!(told["events"][0]["subject"], "address 127.0.0.1");
    assert_eq!(told["events"].as_array().unwrap().len(), 1);
    world.stop(()).await;
}

#[tokio::test]
async fn a_token_that_asks_too_often_waits() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let (_, viewer) = token(&api, "viewer").await;
    let viewer = api.with(Some(&viewer));
    let mut refused = None;
    for _ in 0..2_000 {
        let answer = viewer.request("GET", "/healthz", &[], String::new()).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("nobody is held up");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (429, "too many requests")
    );
    assert!(!refused.header("retry-after").is_empty());
    world.stop(()).await;
}

/// An authority for clients, and a client's certificate with its key.
fn client_certificates() -> (String, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut client = CertificateParams::new(Vec::new()).unwrap();
    client
        .distinguished_name
        .push(DnType::CommonName, "operators");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = client.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    (authority.pem(), vec![certificate.der().clone()], key)
}

#[tokio::test]
async fn with_client_authorities_nobody_comes_in_without_a_certificate_and_a_token() {
    let world = Setup::new().start().await;
    let (authority, chain, key) = client_certificates();
    let (local, without) = both(&world, Some(&authority)).await;
    let (_, operator) = token(&local, "operator").await;
    let (address, _) = without.https.clone().unwrap();
    // A server that wants a certificate says so once the client has spoken.
    let refused = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = without.connect().await?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await?;
        stream.read_u8().await
    };
    assert!(refused.await.is_err(), "who shows no certificate is heard");
    let authorities = world.folder.path().join("server-ca.pem");
    let client: Arc<ClientConfig> = tls::client(&authorities, Some((chain, key))).unwrap();
    let with = Api {
        https: Some((address, client)),
        ..local.clone()
    };
    assert_eq!(
        get(&with, "/v1/exceptions").await,
        401,
        "a certificate alone is not enough"
    );
    let with = with.with(Some(&operator));
    let state = "/v1/terminals/acme/T0000001/state";
    assert_eq!(with.put(state, json!({ "state": "suspended" })).await, 200);
    let told = local.json("/v1/audit?event=binding.").await;
    let actor = &told["events"][0]["actor"];
    assert_eq!(
        (&actor["name"], &actor["channel"]),
        (&json!("a operator"), &json!("https"))
    );
    let address = actor["address"].as_str().unwrap();
    assert!(address.contains(" certificate sha256:"), "{address}");
    world.stop(()).await;
}

/// Two persons let money flow, and no single one gets around that by setting states.
#[tokio::test]
async fn by_hand_only_an_admin_starts_what_anybody_stops() {
    let world = Setup::new().start().await;
    let (local, _) = both(&world, None).await;
    let terminal = "/v1/terminals/acme/T0000001/state";
    let account = "/v1/accounts/acme/account-1/status";
    let (_, admin) = token(&local, "admin").await;
    let boss = local.with(Some(&admin));
    for role in ["operator", "risk"] {
        let (_, given) = token(&local, role).await;
        let api = local.with(Some(&given));
        let stop = json!({ "state": "suspended" });
        let go = json!({ "state": "active" });
        assert_eq!(api.put(terminal, stop.clone()).await, 200);
        assert_eq!(api.put(terminal, stop).await, 200, "it stays as it is");
        for more in [
            go.clone(),
            json!({ "state": "unbound" }),
            json!({ "state": "re-pending", "reasons": ["phone"] }),
        ] {
            assert_eq!(api.put(terminal, more.clone()).await, 403, "{role}: {more}");
        }
        let several = json!({ "items": [
            { "acquirer": "acme", "terminal_id": "T0000001", "state": "active" },
            { "acquirer": "acme", "terminal_id": "T0000002", "state": "suspended" },
        ] });
        let (status, told) = api.post("/v1/terminals/states", several).await;
        assert_eq!(status, 200, "{told}");
        let each = |at: usize| told["items"][at]["status"].as_u64();
        assert_eq!((each(0), each(1)), (Some(403), Some(200)), "{told}");
        let detail = &told["items"][0]["problem"]["detail"];
        assert!(
            detail.as_str().unwrap().contains("posgate binding"),
            "{told}"
        );
        assert_eq!(api.put(account, json!({ "status": "frozen" })).await, 200);
        let verified = json!({ "status": "verified" });
        assert_eq!(api.put(account, verified.clone()).await, 403, "{role}");
        let state = local.json("/v1/terminals/acme/T0000001").await;
        assert_eq!(
            (&state["state"], &state["account_status"]),
            (&json!("suspended"), &json!("frozen"))
        );
        assert_eq!(boss.put(terminal, go).await, 200);
        assert_eq!(boss.put(account, verified).await, 200);
    }
    // For good is for who may say so of an account, by hand too.
    for (role, status) in [("risk", 403), ("operator", 200)] {
        let (_, given) = token(&local, role).await;
        let api = local.with(Some(&given));
        let closed = json!({ "status": "closed" });
        assert_eq!(api.put(account, closed).await, status, "{role}");
    }
    world.stop(()).await;
}

/// A command reaches its gateway over HTTPS with a token from the environment or a file.
#[tokio::test]
async fn commands_work_over_https_as_they_do_on_the_socket() {
    let world = Setup::new().start().await;
    let (local, remote) = both(&world, None).await;
    let (_, operator) = token(&local, "operator").await;
    let (address, _) = remote.https.unwrap();
    let url = format!("https://localhost:{}", address.port());
    let folder = world.folder.path();
    let file = folder.join("token");
    std::fs::write(&file, &operator).unwrap();
    let run = |set: Vec<(&'static str, String)>, args: Vec<&'static str>| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_posgate"));
        command.args(args).current_dir(folder).env_clear().envs(set);
        async move {
            let out = command.output().await.unwrap();
            let told = String::from_utf8(out.stdout).unwrap();
            (
                out.status.success(),
                told,
                String::from_utf8(out.stderr).unwrap(),
            )
        }
    };
    let ca = folder.join("server-ca.pem").display().to_string();
    let base = vec![("POSGATE_URL", url), ("POSGATE_CA", ca)];
    let also = |name: &'static str, value: &str| {
        let mut set = base.clone();
        set.push((name, value.to_owned()));
        set
    };
    let show = || vec!["terminal", "show", "acme", "T0000001", "-o", "json"];
    let (done, _, told) = run(base.clone(), show()).await;
    assert!(!done && told.contains("POSGATE_TOKEN"), "{told}");
    let (done, shown, told) = run(also("POSGATE_TOKEN", &operator), show()).await;
    assert!(done, "{told}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["state"], "active");
    let file = file.display().to_string();
    let (done, _, told) = run(also("POSGATE_TOKEN_FILE", &file), show()).await;
    assert!(!done && told.contains("chmod 600"), "{told}");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let suspend = vec![
        "terminal",
        "set-state",
        "acme",
        "T0000001",
        "suspended",
        "--version",
        "1",
    ];
    let (done, _, told) = run(also("POSGATE_TOKEN_FILE", &file), suspend.clone()).await;
    assert!(done, "{told}");
    let (done, _, told) = run(also("POSGATE_TOKEN_FILE", &file), suspend).await;
    assert!(!done && told.contains("version 2"), "{told}");
    let list = vec!["token", "list"];
    let (done, _, told) = run(also("POSGATE_TOKEN", &operator), list).await;
    assert!(
        !done && told.contains("the role operator may not do this"),
        "{told}"
    );
    world.stop(()).await;
}
