//! A group that counts by itself: the upstream sees its STANs, the terminal its own, on every way.

use posgate::switch::StanPolicy;

use super::fixture::{ISO, Setup, Till, UNIONPAY, counting_link, eventually};
use super::wire::{SILENCE, Seen, Wire};

fn counting(dialect: &'static str) -> Setup {
    Setup {
        stan: StanPolicy::Own,
        ..Setup::speaking(dialect)
    }
}

/// The STAN of the original that a void or a reversal names.
fn reference(seen: &Seen) -> &str {
    match seen.has(90) {
        true => seen.part(90, 4..10),
        false => seen.part(61, 6..12),
    }
}

async fn void(till: &mut Till, link: &mut Wire, stan: u32, of: u32) -> (Seen, Seen) {
    till.send(&till.who.void(stan, of, 1_000)).await;
    let request = link.next().await;
    link.send(&request.answered("00")).await;
    (request, till.next().await)
}

#[tokio::test]
async fn upstream_and_terminal_each_see_their_own_stan() {
    for dialect in [UNIONPAY, ISO] {
        let world = counting(dialect).start().await;
        let mut link = counting_link(&world).await;
        let mut seen = Vec::new();
        for number in 1..=3 {
            let mut till = world.till(number).await;
            let (request, answer) = till.sell(&mut link, 654_321, "00").await;
            assert_eq!(answer.text(11), "654321");
            assert_ne!(request.text(11), "654321");
            seen.push(request.text(11).to_owned());
            let again = till.ask(&till.who.sale(654_321, 1_000)).await;
            assert_eq!(again, answer);
        }
        seen.dedup();
        assert_eq!(seen.len(), 3, "{seen:?}");
        world.stop(()).await;
    }
}

#[tokio::test]
async fn a_void_names_its_original_by_the_groups_stan_for_as_long_as_it_is_stored() {
    for dialect in [UNIONPAY, ISO] {
        let world = counting(dialect).start().await;
        let mut link = counting_link(&world).await;
        let mut till = world.till(1).await;
        let (sale, _) = till.sell(&mut link, 501, "00").await;
        let (request, answer) = void(&mut till, &mut link, 502, 501).await;
        assert_eq!(reference(&request), sale.text(11));
        assert_eq!((answer.text(11), reference(&answer)), ("000502", "000501"));
        // More than the lane remembers later.
        let (sale, _) = till.sell(&mut link, 503, "00").await;
        let (second, _) = till.sell(&mut link, 504, "00").await;
        for stan in 505..=513 {
            till.sell(&mut link, stan, "00").await;
        }
        let (request, answer) = void(&mut till, &mut link, 514, 503).await;
        assert_eq!(reference(&request), sale.text(11));
        assert_eq!(reference(&answer), "000503");
        // What was never sold cannot be voided.
        assert_eq!(till.code(&till.who.void(515, 499, 1_000)).await, "25");
        // After a restart of the gateway.
        let stored = world.stop((till, link)).await;
        let world = Setup {
            stored: Some(stored),
            ..counting(dialect)
        };
        let world = world.start().await;
        let mut link = counting_link(&world).await;
        let mut till = world.till(1).await;
        let (request, answer) = void(&mut till, &mut link, 516, 504).await;
        assert_eq!(reference(&request), second.text(11));
        assert_ne!(request.text(11), second.text(11));
        assert_eq!(reference(&answer), "000504");
        world.stop(till).await;
    }
}

#[tokio::test]
async fn silence_is_told_and_undone_each_in_its_own_numbers() {
    for dialect in [UNIONPAY, ISO] {
        let setup = Setup {
            timeout: SILENCE,
            ..counting(dialect)
        };
        let world = setup.start().await;
        let mut link = counting_link(&world).await;
        let mut till = world.till(1).await;
        let (sale, _) = till.sell(&mut link, 501, "00").await;
        till.send(&till.who.void(502, 501, 1_000)).await;
        let request = link.next().await;
        let told = till.next().await;
        assert_eq!(told.code(), if dialect == UNIONPAY { "98" } else { "91" });
        assert_eq!(told.text(11), "000502");
        if told.has(61) || told.has(90) {
            assert_eq!(reference(&told), "000501");
        }
        let reversal = link.next().await;
        assert_eq!(reversal.text(11), request.text(11));
        if dialect == UNIONPAY {
            assert_eq!(reference(&reversal), sale.text(11));
        } else {
            assert_eq!(reference(&reversal), request.text(11));
        }
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        world.stop(till).await;
    }
}

#[tokio::test]
async fn a_sale_from_before_a_restart_is_found_and_undone_once() {
    for dialect in [UNIONPAY, ISO] {
        for policy in [StanPolicy::Pass, StanPolicy::Own] {
            let setup = |stored| Setup {
                stan: policy,
                stored,
                ..Setup::speaking(dialect)
            };
            let world = setup(None).start().await;
            let mut link = counting_link(&world).await;
            let mut till = world.till(1).await;
            let (sale, _) = till.sell(&mut link, 501, "00").await;
            let stored = world.stop((till, link)).await;
            let world = setup(Some(stored)).start().await;
            let mut link = counting_link(&world).await;
            let mut till = world.till(1).await;
            for _ in 0..3 {
                let answer = till.ask(&till.who.reversal(501, 1_000)).await;
                assert_eq!(answer.code(), "00");
                if dialect == ISO {
                    assert_eq!(reference(&answer), "000501");
                }
            }
            let reversal = link.next().await;
            assert_eq!(reversal.text(11), sale.text(11));
            if dialect == ISO {
                assert_eq!(reference(&reversal), sale.text(11));
            }
            link.send(&reversal.answered("00")).await;
            eventually("nothing is owed", || world.running.switch.owed() == 0).await;
            assert_eq!(world.reversals("owed"), 1);
            let (next, _) = till.sell(&mut link, 502, "00").await;
            assert_eq!(next.mti, "0200");
            world.stop(till).await;
        }
    }
}

/// The upstream charged and said nothing, the gateway was stopped with the reversal owed: it goes out by
/// itself after the restart, and the terminal's own is one with it.
#[tokio::test]
async fn a_reversal_owed_before_a_restart_is_sent_after_it() {
    for policy in [StanPolicy::Pass, StanPolicy::Own] {
        let setup = |stored| Setup {
            stan: policy,
            stored,
            timeout: SILENCE,
            ..Setup::speaking(UNIONPAY)
        };
        let world = setup(None).start().await;
        let mut link = counting_link(&world).await;
        let mut till = world.till(1).await;
        till.send(&till.who.sale(601, 1_000)).await;
        let sale = link.next().await;
        assert_eq!(till.next().await.code(), "98");
        let stored = world.stop((till, link)).await;
        let (world, mut link) = setup(Some(stored)).start_with_link().await;
        let reversal = link.next().await;
        let mut till = world.till(1).await;
        let answer = till.ask(&till.who.reversal(601, 1_000)).await;
        assert_eq!(answer.code(), "00");
        assert_eq!(
            (reversal.mti.as_str(), reversal.text(11)),
            ("0400", sale.text(11))
        );
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        world.stop(till).await;
    }
}
