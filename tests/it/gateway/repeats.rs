//! Is it new? The same request again, another one under the same number, two at a time.

use posgate::binding::BindingState;

use super::fixture::{Bound, ISO, Setup, UNIONPAY};

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_again_and_is_forwarded_once() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        for (stan, code) in [(7, "00"), (8, "51")] {
            let (_, first) = till.sell(&mut link, stan, code).await;
            let again = till.ask(&till.who.sale(stan, 1_000)).await;
            assert_eq!(again, first);
            // On another connection too.
            let mut moved = world.till(1).await;
            assert_eq!(moved.ask(&moved.who.sale(stan, 1_000)).await, first);
        }
        let (request, _) = till.sell(&mut link, 9, "00").await;
        assert_eq!(request.text(11), "000009");
        world.stop(till).await;
    }
}

#[tokio::test]
async fn a_repeat_in_flight_joins_and_the_answer_goes_where_the_terminal_is() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut left = world.till(1).await;
    left.send(&left.who.sale(7, 100)).await;
    let request = link.next().await;
    left.send(&left.who.sale(7, 100)).await;
    left.hears_nothing().await;
    let mut came = world.till(1).await;
    came.send(&came.who.sale(7, 100)).await;
    came.hears_nothing().await;
    link.send(&request.answered("00")).await;
    assert_eq!(came.next().await.code(), "00");
    left.hears_nothing().await;
    let (request, _) = came.sell(&mut link, 8, "00").await;
    assert_eq!(request.text(11), "000008");
    world.stop((left, came)).await;
}

#[tokio::test]
async fn another_request_under_the_same_number_is_a_duplicate() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 1_000)).await;
    let request = link.next().await;
    assert_eq!(till.code(&till.who.sale(7, 1_001)).await, "94");
    link.send(&request.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
    assert_eq!(till.code(&till.who.sale(7, 1_001)).await, "94");
    let other_card = till.who.sale(7, 1_000).set(2, "6228489999000000018");
    assert_eq!(till.code(&other_card).await, "94");
    // Times, track, PIN and MAC do not make it another one.
    let same = till
        .who
        .sale(7, 1_000)
        .set(52, [1; 8])
        .set(64, [2; 8])
        .set(35, "6228489137264085196=30121010000000000");
    assert_eq!(till.code(&same).await, "00");
    let (request, _) = till.sell(&mut link, 8, "00").await;
    assert_eq!(request.text(11), "000008");
    world.stop(till).await;
}

#[tokio::test]
async fn a_terminal_has_one_financial_request_in_flight() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.balance(6)).await;
    assert_eq!(link.next().await.text(3), "310000");
    till.send(&till.who.sale(7, 100)).await;
    let sale = link.next().await;
    assert_eq!(sale.text(11), "000007", "an enquiry is in nobody's way");
    assert_eq!(till.code(&till.who.sale(8, 100)).await, "09");
    link.send(&sale.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
    let (_, answer) = till.sell(&mut link, 8, "00").await;
    assert_eq!(answer.code(), "00");
    world.stop(till).await;
}

#[tokio::test]
async fn a_repeat_gets_its_first_answer_also_when_the_gate_has_closed_since() {
    let suspended = Bound {
        state: BindingState::Suspended,
        ..Bound::numbered(1)
    };
    let re_pending = Bound {
        state: BindingState::RePending,
        ..Bound::numbered(1)
    };
    let unbound = Bound {
        state: BindingState::Unbound,
        ..Bound::numbered(1)
    };
    for (closed, code) in [(suspended, "58"), (re_pending, "58"), (unbound, "97")] {
        let (world, mut link) = Setup::new().start_with_link().await;
        let mut till = world.till(1).await;
        let (_, first) = till.sell(&mut link, 7, "00").await;
        till.send(&till.who.sale(8, 1_000)).await;
        let waiting = link.next().await;
        world.bind(&closed);
        let again = till.ask(&till.who.sale(7, 1_000)).await;
        assert_eq!(again, first);
        // What was let in before ends as if nothing had happened.
        link.send(&waiting.answered("00")).await;
        assert_eq!(till.next().await.code(), "00");
        // Nothing new is let in, also not under an old number.
        for draft in [till.who.sale(9, 1_000), till.who.sale(6, 1_000)] {
            assert_eq!(till.code(&draft).await, code);
        }
        // After a restart too.
        let stored = world.stop((till, link)).await;
        let setup = Setup {
            stored: Some(stored),
            terminals: 0,
            ..Setup::new()
        };
        let (world, _link) = setup.start_with_link().await;
        let mut till = world.till(1).await;
        let again = till.ask(&till.who.sale(7, 1_000)).await;
        assert_eq!((again.code(), again.text(37)), ("00", first.text(37)));
        assert_eq!(till.code(&till.who.sale(9, 1_000)).await, code);
        world.stop(till).await;
    }
}
