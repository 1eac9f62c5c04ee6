//! Voids and refunds find their originals, and may not undo more than there is.

use posgate::switch::StanPolicy;

use super::fixture::{ISO, Setup, Till, UNIONPAY, World, counting_link, eventually};
use super::wire::{Draft, Wire};

/// A request that the upstream answers with that code; what the terminal hears.
async fn passed(till: &mut Till, link: &mut Wire, draft: &Draft, code: &str) -> String {
    till.send(draft).await;
    let request = link.next().await;
    link.send(&request.answered(code)).await;
    till.next().await.code().to_owned()
}

async fn worlds(each: impl AsyncFn(&World, &mut Wire, Till)) {
    for dialect in [UNIONPAY, ISO] {
        for stan in [StanPolicy::Pass, StanPolicy::Own] {
            let setup = Setup {
                stan,
                ..Setup::speaking(dialect)
            };
            let world = setup.start().await;
            let mut link = counting_link(&world).await;
            let till = world.till(1).await;
            each(&world, &mut link, till).await;
            world.stop(link).await;
        }
    }
}

#[tokio::test]
async fn a_sale_is_voided_once_and_whole() {
    worlds(async |world, link, mut till| {
        till.sell(link, 501, "00").await;
        let void = till.who.void(502, 501, 1_000);
        assert_eq!(till.code(&till.who.void(510, 501, 999)).await, "64");
        assert_eq!(till.code(&till.who.void(511, 499, 1_000)).await, "25");
        // A void that the host declines leaves the sale as it was.
        let declined = till.who.void(512, 501, 1_000);
        assert_eq!(passed(&mut till, link, &declined, "51").await, "51");
        assert_eq!(passed(&mut till, link, &void, "00").await, "00");
        // Repeated it gets its answer; another one finds nothing left.
        assert_eq!(till.code(&void).await, "00");
        assert_eq!(till.code(&till.who.void(503, 501, 1_000)).await, "12");
        // The void undone, the sale stands again.
        assert_eq!(till.code(&till.who.reversal(502, 1_000)).await, "00");
        let reversal = link.next().await;
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        let again = till.who.void(504, 501, 1_000);
        assert_eq!(passed(&mut till, link, &again, "00").await, "00");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_stand_is_not_voided() {
    worlds(async |world, link, mut till| {
        till.sell(link, 501, "51").await;
        assert_eq!(till.code(&till.who.void(502, 501, 1_000)).await, "12");
        till.sell(link, 503, "00").await;
        assert_eq!(till.code(&till.who.reversal(503, 1_000)).await, "00");
        let reversal = link.next().await;
        assert_eq!(till.code(&till.who.void(504, 503, 1_000)).await, "12");
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        assert_eq!(till.code(&till.who.void(505, 503, 1_000)).await, "12");
        let (request, _) = till.sell(link, 506, "00").await;
        assert_eq!(request.mti, "0200");
    })
    .await;
}

#[tokio::test]
async fn refunds_together_do_not_exceed_their_sale() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 501, "00").await;
    let first = till.who.refund(502, 501, 600);
    assert_eq!(passed(&mut till, &mut link, &first, "00").await, "00");
    assert_eq!(till.code(&till.who.refund(503, 501, 401)).await, "64");
    assert_eq!(till.code(&till.who.void(504, 501, 1_000)).await, "12");
    // After a restart too.
    let stored = world.stop((till, link)).await;
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.refund(505, 501, 401)).await, "64");
    let second = till.who.refund(506, 501, 400);
    assert_eq!(passed(&mut till, &mut link, &second, "00").await, "00");
    assert_eq!(till.code(&till.who.refund(507, 501, 1)).await, "64");
    // Of a sale made elsewhere the host has to decide.
    let elsewhere = till.who.refund(508, 77, 1);
    assert_eq!(passed(&mut till, &mut link, &elsewhere, "51").await, "51");
    world.stop(till).await;
}
