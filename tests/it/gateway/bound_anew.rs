//! One terminal id, several shops one after the other: numbers of one are not the other's.

use std::time::Duration;

use posgate::binding::BindingState;
use posgate::binding::watch::BindingRules;
use posgate::switch::StanPolicy;

use super::fixture::{Bound, ISO, Setup, UNIONPAY, World, eventually};

const NEW_SHOP: &str = "104110041200777";

fn bind_anew(world: &World) {
    world.bind(&Bound {
        state: BindingState::Unbound,
        ..Bound::numbered(1)
    });
    world.bind(&Bound {
        merchant: NEW_SHOP.into(),
        account: "account-777".into(),
        ..Bound::numbered(1)
    });
}

/// bindings test 2.
#[tokio::test]
async fn t02_a_former_shops_sale_is_undone_and_not_the_new_ones() {
    for stan in [StanPolicy::Pass, StanPolicy::Own] {
        let setup = Setup {
            stan,
            bindings: BindingRules {
                quarantine: Duration::ZERO,
                ..BindingRules::default()
            },
            ..Setup::new()
        };
        let (world, mut link) = setup.start_counting().await;
        let mut till = world.till(1).await;
        let former = till.who.clone();
        let (first, _) = till.sell(&mut link, 7, "00").await;
        bind_anew(&world);
        till.who.merchant = NEW_SHOP.into();
        let (second, _) = till.sell(&mut link, 7, "00").await;
        if stan == StanPolicy::Own {
            assert_ne!(first.text(11), second.text(11));
        }
        assert_eq!(till.code(&former.reversal(7, 1_000)).await, "00");
        let reversal = link.next().await;
        assert_eq!(reversal.text(11), first.text(11));
        assert_eq!(reversal.text(42), first.text(42));
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        // The new shop's own is still there to be undone.
        assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
        assert_eq!(link.next().await.text(42), NEW_SHOP);
        world.stop(till).await;
    }
}

#[tokio::test]
async fn a_reversal_with_anothers_number_is_answered_and_touches_nothing() {
    for (dialect, code) in [(UNIONPAY, "00"), (ISO, "25")] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        till.sell(&mut link, 7, "00").await;
        let mut stranger = till.who.clone();
        stranger.merchant = NEW_SHOP.into();
        for code in [code, "00"] {
            assert_eq!(till.code(&stranger.reversal(7, 1_000)).await, code);
        }
        assert_eq!(world.reversals("owed"), 0);
        world.stop(till).await;
    }
}

#[tokio::test]
async fn a_void_of_what_only_a_tombstone_names_is_not_forwarded() {
    let setup = Setup {
        stan: StanPolicy::Own,
        ..Setup::new()
    };
    let (world, mut link) = setup.start_counting().await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    assert_eq!(till.code(&till.who.void(8, 7, 1_000)).await, "25");
    let (request, _) = till.sell(&mut link, 9, "00").await;
    assert_eq!(request.text(3), "000000");
    world.stop(till).await;
}
