//! The gate over the wire: who may do what, and with which code the others are told.

use posgate::binding::{AccountStatus, BindingState};

use super::fixture::{Bound, Setup, Who, World, eventually};
use super::wire::Draft;

async fn bound_in(state: BindingState) -> World {
    let setup = Setup {
        terminals: 0,
        ..Setup::new()
    };
    let world = setup.start().await;
    world.bind(&Bound {
        state,
        ..Bound::numbered(1)
    });
    world
}

#[tokio::test]
async fn terminals_that_may_not_trade_are_told_why_and_nothing_is_forwarded() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let bind = |number, state, account_status| {
        world.bind(&Bound {
            state,
            account_status,
            account: format!("account-{number}"),
            ..Bound::numbered(number)
        });
    };
    bind(11, BindingState::Unbound, AccountStatus::Verified);
    bind(12, BindingState::RePending, AccountStatus::Verified);
    bind(13, BindingState::Suspended, AccountStatus::Verified);
    bind(14, BindingState::Active, AccountStatus::Frozen);
    bind(15, BindingState::Active, AccountStatus::Unverified);
    for (number, code) in [
        (99, "97"),
        (11, "97"),
        (12, "58"),
        (13, "58"),
        (14, "58"),
        (15, "58"),
    ] {
        let mut till = world.till(number).await;
        assert_eq!(
            till.code(&till.who.sale(1, 100)).await,
            code,
            "terminal {number}"
        );
        assert_eq!(
            till.code(&till.who.echo(2)).await,
            if number == 99 || number == 11 {
                "97"
            } else {
                "00"
            }
        );
    }
    let mut stranger = world.till(2).await;
    stranger.who.merchant = "104110041299999".into();
    assert_eq!(stranger.code(&stranger.who.sale(1, 100)).await, "03");
    // The next thing the upstream hears of is a terminal in order.
    let mut till = world.till(1).await;
    let (request, _) = till.sell(&mut link, 1, "00").await;
    assert_eq!(request.text(41), "T0000001");
    world.stop((till, stranger)).await;
}

#[tokio::test]
async fn broken_requests_get_format_error_with_what_could_be_read() {
    let (world, _link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    let without_amount = till.who.sale(21, 100).without(4);
    let answer = till.ask(&without_amount).await;
    assert_eq!((answer.code(), answer.text(11)), ("30", "000021"));
    // The amount's first byte is no BCD.
    let mut frame = till.who.sale(22, 100).frame(&world.dialect);
    let amount = [0, 0, 0, 0, 1, 0];
    let at = frame.windows(6).position(|w| w == amount).unwrap();
    frame[at] = 0xAB;
    till.wire.send_bytes(&frame).await;
    let answer = till.next().await;
    assert_eq!((answer.mti.as_str(), answer.code()), ("0210", "30"));
    assert_eq!(answer.text(3), "000000");
    // Where the mistake is behind DE11 and DE41, both come back.
    let mut frame = till.who.sale(23, 100).without(64).frame(&world.dialect);
    *frame.last_mut().unwrap() = 0xFF;
    till.wire.send_bytes(&frame).await;
    let answer = till.next().await;
    assert_eq!(
        (answer.code(), answer.text(11), answer.text(41)),
        ("30", "000023", "T0000001")
    );
    // One mistake costs one request.
    assert_eq!(till.code(&till.who.echo(24)).await, "00");
    world.stop(till).await;
}

#[tokio::test]
async fn management_that_is_not_served_gets_40_at_once() {
    let world = Setup::new().start().await;
    let mut till = world.till(1).await;
    for (mti, code) in [
        ("0800", "00000000370"),
        ("0820", "00000000362"),
        ("0800", "00000000999"),
    ] {
        let download = till.who.echo(5).retyped(mti).set(60, code);
        let answer = till.ask(&download).await;
        assert_eq!(
            (answer.code(), answer.text(11)),
            ("40", "000005"),
            "{mti} {code}"
        );
    }
    world.stop(till).await;
}

#[tokio::test]
async fn money_before_sign_on_and_of_another_batch_gets_77() {
    let setup = Setup {
        sign_on_required: true,
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.sale(1, 100)).await, "77");
    assert_eq!(till.code(&till.who.sign_on(2)).await, "00");
    let of_batch_2 = till.who.sale(3, 100).set(60, "22000002000500");
    assert_eq!(till.code(&of_batch_2).await, "77");
    let (_, answer) = till.sell(&mut link, 4, "00").await;
    assert_eq!(answer.code(), "00");
    world.stop(till).await;
}

/// bindings test 11: what cannot be decided is 96, never 97, known terminal or not.
#[tokio::test]
async fn t11_money_fails_closed_while_the_directory_is_not_trusted() {
    let (world, _link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    world.running.switch.directory().set_trusted(false);
    assert_eq!(till.code(&till.who.sale(1, 100)).await, "96");
    let mut never_bound = world.till(999).await;
    assert_eq!(never_bound.code(&never_bound.who.sale(1, 100)).await, "96");
    world.running.switch.directory().set_trusted(true);
    assert_eq!(never_bound.code(&never_bound.who.sale(2, 100)).await, "97");
    drop(never_bound);
    world.stop(till).await;
}

#[tokio::test]
async fn no_link_is_said_at_once() {
    let (world, link) = Setup::new().start_with_link().await;
    drop(link);
    let down = || world.running.switch.groups_up().0 == 0;
    eventually("the link is down", down).await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.sale(1, 100)).await, "91");
    world.stop(till).await;
}

/// A terminal clears its stored reversal only on 00, 12 or 25: every state answers one of them.
#[tokio::test]
async fn reversals_are_answered_in_every_state() {
    for &state in BindingState::ALL {
        let world = bound_in(state).await;
        let mut till = world.till(1).await;
        assert_eq!(
            till.code(&till.who.reversal(9, 100)).await,
            "00",
            "{state:?}"
        );
        if state == BindingState::Active {
            let mut never_bound = world.till(99).await;
            let reversal = never_bound.who.reversal(9, 100);
            assert_eq!(never_bound.code(&reversal).await, "97");
        }
        world.stop(till).await;
    }
}

#[tokio::test]
async fn an_answer_sent_by_a_terminal_is_passed_over() {
    let world = Setup::new().start().await;
    let mut till = world.till(1).await;
    let answer: Draft = Who::numbered(1, world.dialect.name())
        .sale(1, 100)
        .retyped("0210")
        .set(39, "00");
    till.send(&answer).await;
    till.hears_nothing().await;
    world.stop(till).await;
}
