//! One sale, end to end, in every dialect and over every transport.

use posgate::sim::transport::Target;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};

use super::fixture::{GROUP_TPDU, ISO, PAN, SHOP, Setup, Till, UNIONPAY, Who, World};
use super::wire::{Seen, Wire};

/// TPDU from 0x0077 to 0x0031, and a header that says "handle me".
const TERMINAL_ENVELOPE: [u8; 11] = [
    0x60, 0x00, 0x31, 0x00, 0x77, 0x60, 0x31, 0x05, 0x31, 0x11, 0x08,
];

async fn trade(world: &World, link: &mut Wire, till: &mut Till, stan: u32) {
    let unionpay = world.dialect.name() == UNIONPAY;
    let mut sale = till.who.sale(stan, 12_345);
    if unionpay {
        sale = sale.envelope(&TERMINAL_ENVELOPE);
    }
    till.send(&sale).await;
    let seen = link.next().await;
    assert_eq!(seen.mti, "0200");
    assert_eq!(seen.text(11), format!("{stan:06}"));
    assert_eq!(seen.text(4), "000000012345");
    assert_eq!((seen.text(2), seen.text(41)), (PAN, &*till.who.terminal));
    assert!(seen.has(35) && seen.has(52), "{seen:?}");
    // The terminal's MAC is void upstream.
    assert!(!seen.has(64) && !seen.has(128), "{seen:?}");
    if unionpay {
        assert_eq!(seen.envelope[..5], GROUP_TPDU);
    }
    link.send(&seen.answered("00").set(38, "A1B2C3")).await;
    let answer = till.next().await;
    assert_eq!((answer.mti.as_str(), answer.code()), ("0210", "00"));
    assert_eq!(answer.text(11), format!("{stan:06}"));
    assert_eq!(
        (answer.text(41), answer.text(42)),
        (&*till.who.terminal, SHOP)
    );
    assert_eq!(answer.text(38), "A1B2C3");
    assert!(!answer.has(64), "the upstream's MAC is void here");
    if unionpay {
        // Source and destination change places, and "handle me" is answered with nothing to handle.
        let expected = [
            0x60, 0x00, 0x77, 0x00, 0x31, 0x60, 0x31, 0x00, 0x31, 0x11, 0x08,
        ];
        assert_eq!(answer.envelope, expected);
    }
}

#[tokio::test]
async fn sale_in_plain_goes_through_in_both_dialects() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        trade(&world, &mut link, &mut till, 1).await;
        world.stop(till).await;
    }
}

/// The same client settings, restricted to one version of TLS.
fn only(world: &World, version: &'static SupportedProtocolVersion) -> Target {
    let mut target = world.target();
    let tls = target.tls.as_mut().unwrap();
    let mut roots = RootCertStore::empty();
    for cert in world.authorities() {
        roots.add(cert).unwrap();
    }
    let provider = tls.config.crypto_provider().clone();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.config = config.into();
    target
}

fn version_of(wire: &Wire) -> Option<ProtocolVersion> {
    match &wire.stream {
        posgate::sim::transport::Stream::Client(tls) => tls.get_ref().1.protocol_version(),
        _ => None,
    }
}

#[tokio::test]
async fn sale_over_tls_goes_through_and_the_session_resumes() {
    for dialect in [UNIONPAY, ISO] {
        let setup = Setup {
            tls: true,
            ..Setup::speaking(dialect)
        };
        let (world, mut link) = setup.start_with_link().await;
        let versions = [
            (&TLS12, ProtocolVersion::TLSv1_2),
            (&TLS13, ProtocolVersion::TLSv1_3),
        ];
        for (round, (version, expected)) in (0..).zip(versions) {
            let target = only(&world, version);
            for visit in 0..2 {
                let mut till = Till {
                    wire: world.connect_to(&target).await,
                    who: Who::numbered(1, dialect),
                };
                assert_eq!(version_of(&till.wire), Some(expected));
                assert_eq!(till.wire.stream.resumed(), visit == 1, "{expected:?}");
                trade(&world, &mut link, &mut till, 1 + round * 2 + visit).await;
            }
        }
        let handshakes = |result| world.metric("posgate_handshakes_total", &[("result", result)]);
        assert_eq!((handshakes("full"), handshakes("resumed")), (2, 2));
        world.stop(()).await;
    }
}

#[tokio::test]
async fn sign_on_and_line_test_end_at_the_gateway() {
    let setup = Setup {
        sign_on_required: true,
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    let answer = till.ask(&till.who.sign_on(1)).await;
    assert_eq!((answer.mti.as_str(), answer.code()), ("0810", "00"));
    assert_eq!(answer.part(60, 2..8), "000001", "the open batch");
    assert!(answer.has(12) && answer.has(13) && answer.has(37));
    assert_eq!(till.code(&till.who.echo(2)).await, "00");
    let (request, answer): (Seen, Seen) = till.sell(&mut link, 3, "00").await;
    assert_eq!(request.text(11), "000003");
    assert_eq!(answer.code(), "00");
    world.stop(till).await;
}
