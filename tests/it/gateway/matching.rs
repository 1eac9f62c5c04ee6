//! Answers in dialects that name the fields by which they are matched.

use posgate::switch::StanPolicy;

use super::fixture::{ISO, Setup, eventually};
use super::wire::SILENCE;

const ANOTHER_TIME: &str = "1122101501";

#[tokio::test]
async fn an_answer_has_every_field_by_which_it_is_matched_as_the_request_had_it() {
    let setup = Setup {
        amended: r#"
[[message_type]]
name = "answer"
mti = "0210|0230"
match = [7, 11, 32, 41]
"#,
        ..Setup::speaking(ISO)
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100).set(32, "12345678901"))
        .await;
    let request = link.next().await;
    let answer = request.answered("00").set(32, "12345678901");
    let misfits = [
        answer.clone().set(7, ANOTHER_TIME),
        answer.clone().set(32, "12345678902"),
        answer.clone().set(32, "1234567890"),
        answer.clone().without(32),
        answer.clone().without(41),
    ];
    let count = u64::try_from(misfits.len()).unwrap();
    for misfit in &misfits {
        link.send(misfit).await;
    }
    eventually("they are counted", || world.unmatched("unmatched") == count).await;
    till.hears_nothing().await;
    link.send(&answer).await;
    assert_eq!(till.next().await.code(), "00");
    // What the request does not have is not compared.
    till.send(&till.who.sale(8, 100)).await;
    let request = link.next().await;
    link.send(&request.answered("00").set(32, "12345678901"))
        .await;
    assert_eq!(till.next().await.code(), "00");
    world.stop(till).await;
}

#[tokio::test]
async fn a_group_that_counts_by_itself_needs_no_terminal_in_answers() {
    let setup = Setup {
        stan: StanPolicy::Own,
        amended: r#"
[[message_type]]
name = "answer"
mti = "0210"
match = [7, 11]
"#,
        ..Setup::speaking(ISO)
    };
    let (world, mut link) = setup.start_counting().await;
    let mut tills = Vec::new();
    let mut requests = Vec::new();
    for number in 1..=3 {
        let mut till = world.till(number).await;
        till.send(&till.who.sale(7, 100)).await;
        requests.push(link.next().await);
        tills.push(till);
    }
    let answer = |at: usize| requests[at].answered("00").without(41).without(42);
    link.send(&answer(1).set(7, ANOTHER_TIME)).await;
    // Another terminal's name is never right, whatever else is.
    link.send(&answer(1).set(41, "T0000003")).await;
    eventually("they are counted", || world.unmatched("unmatched") == 2).await;
    for at in [1, 2, 0] {
        link.send(&answer(at)).await;
        let told = tills[at].next().await;
        assert_eq!((told.code(), told.text(11)), ("00", "000007"));
    }
    world.stop(tills).await;
}

#[tokio::test]
async fn a_reversal_ends_only_with_an_answer_that_is_matched_by_the_fields_of_its_class() {
    let setup = Setup {
        timeout: SILENCE,
        amended: r#"
[[message_type]]
name = "reversal answer"
mti = "0410|0430"
match = [7, 11, 41]
"#,
        ..Setup::speaking(ISO)
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100)).await;
    link.next().await;
    assert_eq!(till.next().await.code(), "91");
    let reversal = link.next().await;
    assert_eq!(reversal.mti, "0420");
    let answer = reversal.answered("00");
    link.send(&answer.clone().set(7, ANOTHER_TIME)).await;
    link.send(&answer.clone().without(7)).await;
    eventually("they are counted", || world.unmatched("unmatched") == 2).await;
    assert_eq!(world.running.switch.owed(), 1);
    link.send(&answer).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
    world.stop(till).await;
}

#[tokio::test]
async fn a_repeat_ends_only_with_an_answer_that_is_matched_by_the_fields_of_its_class() {
    let setup = Setup {
        timeout: SILENCE,
        amended: r#"
[[message_type]]
name = "answer"
mti = "0230"
match = [7, 11, 41]
"#,
        ..Setup::speaking(ISO)
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.refund(7, 3, 100)).await;
    link.next().await;
    assert_eq!(till.next().await.code(), "91");
    let repeat = link.next().await;
    assert_eq!(repeat.mti, "0221");
    link.send(&repeat.answered("00").set(7, ANOTHER_TIME)).await;
    eventually("it is counted", || world.unmatched("unmatched") == 1).await;
    assert_eq!(world.running.switch.owed(), 1);
    link.send(&repeat.answered("00")).await;
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
    world.stop(till).await;
}
