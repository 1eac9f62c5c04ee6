//! The end of a batch: totals compared, lines uploaded, batches closed by terminals and by people.

use posgate::base::{BatchResult, LineVerdict};
use posgate::store::Record;
use posgate::store::batch::{BatchRecord, BatchStep, Closing};
use serde_json::json;

use super::admin::Api;
use super::fixture::{PAN, Setup, Stored, Till, Who, journal_of};
use super::wire::{Draft, Seen, Wire};

/// Debit sum and count, credit sum and count.
pub(super) type Sums = (u64, u64, u64, u64);

pub(super) const NOTHING: Sums = (0, 0, 0, 0);

/// A gateway whose terminals have to sign on.
fn setup() -> Setup {
    Setup {
        sign_on_required: true,
        ..Setup::new()
    }
}

/// Goes on from what an earlier gateway left.
fn after(stored: Stored) -> Setup {
    Setup {
        stored: Some(stored),
        ..setup()
    }
}

fn digits(sums: Sums, result: char) -> String {
    let (debit, debits, credit, credits) = sums;
    format!("{debit:012}{debits:03}{credit:012}{credits:03}{result}")
}

/// A management request with that DE60.
fn management(who: &Who, mti: &str, stan: u32, de60: &str) -> Draft {
    Draft::new(mti)
        .set(11, format!("{stan:06}"))
        .set(41, &who.terminal)
        .set(42, &who.merchant)
        .set(60, de60)
}

pub(super) fn settlement(who: &Who, stan: u32, domestic: Sums, foreign: Sums) -> Draft {
    let totals = digits(domestic, '0') + &digits(foreign, '0');
    management(who, "0500", stan, "00000001201")
        .set(48, totals)
        .set(49, "156")
        .set(63, "01 ")
}

/// Trace number, card, amount.
type Line<'a> = (u32, &'a str, u64);

fn upload(who: &Who, stan: u32, lines: &[Line<'_>]) -> Draft {
    let line = |(stan, pan, minor): &Line<'_>| format!("00{stan:06}{pan:0>20}{minor:012}");
    let lines: Vec<_> = lines.iter().map(line).collect();
    let list = format!("{:02}{}", lines.len(), lines.concat());
    management(who, "0320", stan, "00000001201").set(48, list)
}

fn upload_end(who: &Who, stan: u32, lines: u32) -> Draft {
    management(who, "0320", stan, "00000001202").set(48, format!("{lines:04}"))
}

fn sign_off(who: &Who, stan: u32) -> Draft {
    management(who, "0820", stan, "00000001002")
}

fn told(answer: &Seen) -> (&str, &str) {
    (answer.part(48, 0..31), answer.part(48, 31..62))
}

/// The result of the first set.
fn result(answer: &Seen) -> &str {
    answer.part(48, 30..31)
}

/// Signs on and gives the batch.
async fn signed_on(till: &mut Till, stan: u32) -> String {
    let answer = till.ask(&till.who.sign_on(stan)).await;
    assert_eq!(answer.code(), "00");
    answer.part(60, 2..8).to_owned()
}

/// A request that the upstream answers with a code, and what the terminal hears.
async fn asked(till: &mut Till, link: &mut Wire, draft: &Draft, code: &str) -> Seen {
    till.send(draft).await;
    let request = link.next().await;
    link.send(&request.answered(code)).await;
    till.next().await
}

/// A sale, approved and reversed, the reversal acknowledged.
async fn reversed(till: &mut Till, link: &mut Wire, stan: u32, minor: u64) {
    let answer = asked(till, link, &till.who.sale(stan, minor), "00").await;
    assert_eq!(answer.code(), "00");
    assert_eq!(till.code(&till.who.reversal(stan, minor)).await, "00");
    let owed = link.next().await;
    assert_eq!(owed.mti, "0400");
    link.send(&owed.answered("00")).await;
}

fn steps(stored: &Stored) -> Vec<BatchRecord> {
    let records = journal_of(stored.path()).into_iter();
    records
        .filter_map(|record| match record {
            Record::Batch(step) => Some(*step),
            _ => None,
        })
        .collect()
}

/// Of all gateways of this process: other tests may count too.
fn settlements(result: &str) -> u64 {
    let text = super::fixture::prometheus().render();
    let line = format!("posgate_settlements_total{{result=\"{result}\"}} ");
    let found = text.lines().find_map(|l| l.strip_prefix(&line));
    found.map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn totals_are_what_stands_to_the_cent_and_a_repeat_gets_the_same_bytes() {
    let (world, mut link) = setup().start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(signed_on(&mut till, 1).await, "000001");
    let before = settlements("balanced");
    for (stan, code) in [(10, "00"), (11, "00"), (12, "51")] {
        till.sell(&mut link, stan, code).await;
    }
    reversed(&mut till, &mut link, 13, 700).await;
    // The host approves less than was asked for.
    till.send(&till.who.sale(14, 900)).await;
    let request = link.next().await;
    link.send(&request.answered("10").set(4, "000000000600"))
        .await;
    assert_eq!(till.next().await.code(), "10");
    let void = till.who.void(15, 11, 1_000);
    assert_eq!(asked(&mut till, &mut link, &void, "00").await.code(), "00");
    let refund = till.who.refund(16, 10, 250);
    assert_eq!(
        asked(&mut till, &mut link, &refund, "00").await.code(),
        "00"
    );
    let balance = till.who.balance(17);
    asked(&mut till, &mut link, &balance, "00").await;

    let right = (2_600, 3, 1_250, 2);
    let request = settlement(&till.who, 20, right, NOTHING);
    let first = till.ask(&request).await;
    assert_eq!((first.mti.as_str(), first.code()), ("0510", "00"));
    assert_eq!(told(&first), (&*digits(right, '1'), &*digits(NOTHING, '1')));
    assert_eq!(first.text(63), "01");
    assert!(first.has(12) && first.has(13) && first.has(37), "{first:?}");
    assert!(settlements("balanced") > before);
    assert_eq!(till.ask(&request).await, first);
    // What the terminal counts apart by network is one to us.
    let apart = settlement(&till.who, 21, (2_000, 2, 1_250, 2), (600, 1, 0, 0));
    let answer = till.ask(&apart).await;
    assert_eq!((result(&answer), answer.part(48, 61..62)), ("1", "1"));
    // The batch is still open.
    assert_eq!(till.sell(&mut link, 22, "00").await.1.code(), "00");
    assert_eq!(
        till.ask(&request).await,
        first,
        "a repeat is no new question"
    );

    let crashed = world.crashed();
    world.stop(till).await;
    let (world, _link) = after(crashed).start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(till.ask(&request).await, first, "nor after a restart");
    let more = settlement(&till.who, 23, (3_600, 4, 1_250, 2), NOTHING);
    assert_eq!(result(&till.ask(&more).await), "1");
    let stored = world.stop(till).await;
    let results: Vec<_> = steps(&stored)
        .iter()
        .map(|step| match &step.step {
            BatchStep::Settled(settled) => settled.result,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [BatchResult::Balanced; 3]);
}

#[tokio::test]
async fn totals_that_differ_are_uploaded_line_by_line_and_the_end_closes_the_batch() {
    let (world, mut link) = setup().start_with_link().await;
    let mut till = world.till(1).await;
    signed_on(&mut till, 1).await;
    for stan in [10, 11, 12, 13] {
        till.sell(&mut link, stan, "00").await;
    }
    reversed(&mut till, &mut link, 14, 700).await;
    // One cent too much, and one card that was foreign.
    let claim = settlement(&till.who, 20, (3_001, 3, 0, 0), (1_000, 1, 0, 0));
    let unbalanced = till.ask(&claim).await;
    assert_eq!(unbalanced.code(), "00");
    let ours = (4_000, 4, 0, 0);
    assert_eq!(
        told(&unbalanced),
        (&*digits(ours, '2'), &*digits(NOTHING, '2'))
    );
    // Equal, another amount, another card, reversed here, unknown here.
    let lines = [
        (10, PAN, 1_000),
        (11, PAN, 1_001),
        (12, "6228489999000000018", 1_000),
        (14, PAN, 700),
        (15, PAN, 1_000),
    ];
    let first = upload(&till.who, 21, &lines[..3]);
    let answer = till.ask(&first).await;
    assert_eq!((answer.mti.as_str(), answer.code()), ("0330", "00"));
    assert_eq!(till.ask(&first).await, answer);
    let crashed = world.crashed();
    world.stop(till).await;

    // A batch that is not uploaded to its end stays open.
    let (world, _link) = after(crashed).start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    assert_eq!(signed_on(&mut till, 2).await, "000001");
    assert_eq!(till.ask(&claim).await, unbalanced);
    assert_eq!(till.ask(&first).await, answer);
    assert_eq!(till.code(&upload(&till.who, 22, &lines[3..])).await, "00");
    let told = api.json("/v1/terminals/acme/T0000001/batch").await;
    assert_eq!(told["totals"][0]["debit_minor"], 4_000, "{told}");
    assert_eq!(told["settlements"][0]["result"], "not-balanced");
    let counts = json!({ "equal": 1, "different": 3, "unknown": 1 });
    assert_eq!(told["uploaded"], counts);
    assert_eq!(told["differing"][0]["card"], "622848*********5196");
    assert_eq!(
        (&told["is_open"], &told["closed"]),
        (&json!(true), &json!(null))
    );
    assert!(!told.to_string().contains(PAN));

    let end = upload_end(&till.who, 23, 5);
    let ended = till.ask(&end).await;
    assert_eq!((ended.mti.as_str(), ended.code()), ("0330", "00"));
    assert_eq!(till.code(&till.who.sale(30, 100)).await, "77");
    assert_eq!(till.ask(&end).await, ended);
    assert_eq!(till.ask(&claim).await, unbalanced);
    assert_eq!(till.ask(&first).await, answer);
    // What was not said before is not taken any more.
    assert_eq!(
        till.code(&upload(&till.who, 24, &[(16, PAN, 5)])).await,
        "77"
    );
    assert_eq!(
        till.code(&settlement(&till.who, 25, ours, NOTHING)).await,
        "77"
    );
    // A sign-off after it does not skip a batch.
    assert_eq!(till.code(&sign_off(&till.who, 26)).await, "00");
    let crashed = world.crashed();
    world.stop(till).await;

    let (world, mut link) = after(crashed).start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(till.ask(&end).await, ended);
    assert_eq!(till.code(&till.who.sale(30, 100)).await, "77");
    assert_eq!(signed_on(&mut till, 3).await, "000002");
    assert_eq!(till.code(&till.who.sale(30, 100)).await, "77");
    // A reversal of what is in the old batch is served all the same.
    assert_eq!(till.code(&till.who.reversal(13, 1_000)).await, "00");
    let owed = link.next().await;
    link.send(&owed.answered("00")).await;
    let told = Api::serve(&world)
        .json("/v1/terminals/acme/T0000001/batch?batch=1")
        .await;
    assert_eq!(told["closed"]["how"], "terminal", "{told}");
    assert_eq!(
        (&told["closed"]["next"], &told["closed"]["uploaded"]),
        (&json!(2), &json!(5))
    );
    assert_eq!(told["totals"][0]["debit_minor"], 3_000);
    let stored = world.stop(till).await;
    let steps = steps(&stored);
    let [_, lines, more, end] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    let verdicts = |record: &BatchRecord| match &record.step {
        BatchStep::Uploaded(lines) => lines.iter().map(|(_, v)| *v).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let all = [verdicts(lines), verdicts(more)].concat();
    use LineVerdict::{Different, Equal, Unknown};
    assert_eq!(all, [Equal, Different, Different, Different, Unknown]);
    let BatchStep::Closed(closed) = &end.step else {
        panic!("{end:?}")
    };
    // Number 13 counts here and was not uploaded.
    let missing = match &closed.how {
        Closing::Terminal { counts, .. } => counts.missing,
        other @ Closing::Operator { .. } => panic!("{other:?}"),
    };
    assert_eq!(missing, 1);
}

#[tokio::test]
async fn what_is_in_flight_is_waited_for_and_what_is_owed_is_not() {
    let (world, mut link) = setup().start_with_link().await;
    let mut till = world.till(1).await;
    signed_on(&mut till, 1).await;
    till.sell(&mut link, 10, "00").await;
    let settle = |stan| settlement(&till.who, stan, (1_000, 1, 0, 0), NOTHING);
    let (early, too_early, later) = (settle(20), settle(21), settle(22));
    assert_eq!(result(&till.ask(&early).await), "1");

    till.send(&till.who.sale(11, 500)).await;
    let request = link.next().await;
    let answer = till.ask(&too_early).await;
    assert_eq!((answer.code(), result(&answer)), ("09", "3"));
    let end = upload_end(&till.who, 23, 0);
    assert_eq!(till.code(&end).await, "09");
    link.send(&request.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
    // It is a question anew now, and counts what was decided.
    let answer = till.ask(&too_early).await;
    assert_eq!(told(&answer).0, digits((1_500, 2, 0, 0), '2'));

    // A reversal that is owed counts nothing, whether or not it is acknowledged.
    assert_eq!(till.code(&till.who.reversal(11, 500)).await, "00");
    let owed = link.next().await;
    assert_eq!(result(&till.ask(&later).await), "1");
    assert_eq!(till.code(&end).await, "00");
    link.send(&owed.answered("00")).await;
    assert_eq!(signed_on(&mut till, 2).await, "000002");
    super::fixture::eventually("the reversal is acknowledged", || {
        world.running.switch.owed() == 0
    })
    .await;
    world.stop(till).await;
}

#[tokio::test]
async fn chips_notices_and_failures_are_lines_of_their_own() {
    let (world, mut link) = setup().start_with_link().await;
    let mut till = world.till(1).await;
    signed_on(&mut till, 1).await;
    for (stan, code) in [(10, "00"), (11, "00"), (12, "51")] {
        till.sell(&mut link, stan, code).await;
    }
    let one = |stan, management_code: &str, minor: u64| {
        let de60 = format!("22000001{management_code}");
        management(&till.who, "0320", stan, &de60)
            .set(2, PAN)
            .set(4, format!("{minor:012}"))
            .set(22, "051")
    };
    let lines = [
        one(10, "203", 1_000),
        one(11, "206", 1_000),
        one(12, "204", 1_000),
        one(13, "000", 50),
    ];
    for line in &lines {
        let first = till.ask(line).await;
        assert_eq!(first.code(), "00");
        assert_eq!(till.ask(line).await, first);
    }
    // Without a comparison there is no end.
    assert_eq!(till.code(&upload_end(&till.who, 20, 4)).await, "12");
    // A length that does not agree with its number of lines, totals that are too short.
    let broken = upload(&till.who, 21, &[(10, PAN, 1)]).set(48, "02000010");
    assert_eq!(till.code(&broken).await, "30");
    let short = settlement(&till.who, 22, NOTHING, NOTHING).set(48, "0".repeat(31));
    assert_eq!(till.code(&short).await, "30");
    let stored = world.stop(till).await;
    let verdicts: Vec<_> = steps(&stored)
        .iter()
        .map(|step| match &step.step {
            BatchStep::Uploaded(lines) => (lines[0].0.stan.get(), lines[0].1),
            other => panic!("{other:?}"),
        })
        .collect();
    use LineVerdict::{Different, Equal, Unknown};
    // The host has booked what the chip refused: somebody has to look.
    let expect = [(10, Equal), (11, Different), (12, Equal), (13, Unknown)];
    assert_eq!(verdicts, expect);
}

#[tokio::test]
async fn a_person_closes_a_batch_with_a_name_and_a_reason() {
    let (world, mut link) = setup().start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    let path = "/v1/terminals/acme/T0000001/batch/close";
    let close = |batch: Option<u32>| json!({ "by": "Li Na", "note": "till burnt", "batch": batch });
    assert_eq!(
        api.post_text(path, close(None)).await.0,
        409,
        "no batch yet"
    );
    signed_on(&mut till, 1).await;
    till.sell(&mut link, 10, "00").await;
    for wrong in [
        json!({ "by": "", "note": "x" }),
        json!({ "by": "Li Na", "note": " " }),
        json!({ "by": "Li Na", "note": format!("card {PAN}") }),
    ] {
        assert_eq!(api.post_text(path, wrong).await.0, 422);
    }
    assert_eq!(api.post_text(path, close(Some(2))).await.0, 412);
    let unknown = "/v1/terminals/acme/X0000001/batch/close";
    assert_eq!(api.post_text(unknown, close(None)).await.0, 404);
    till.send(&till.who.sale(11, 500)).await;
    let request = link.next().await;
    assert_eq!(
        api.post_text(path, close(Some(1))).await.0,
        409,
        "in flight"
    );
    link.send(&request.answered("00")).await;
    till.next().await;

    let (status, told) = api.post_text(path, close(Some(1))).await;
    assert_eq!(status, 200, "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["closed"], &told["next"]), (&json!(1), &json!(2)));
    // Twice closes one batch.
    assert_eq!(api.post_text(path, close(Some(1))).await.0, 412);
    assert_eq!(till.code(&till.who.sale(12, 100)).await, "77");
    let late = settlement(&till.who, 20, (1_500, 2, 0, 0), NOTHING);
    assert_eq!(till.code(&late).await, "77");
    let crashed = world.crashed();
    world.stop(till).await;

    let (world, _link) = after(crashed).start_with_link().await;
    let api = Api::serve(&world);
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.sale(12, 100)).await, "77");
    assert_eq!(signed_on(&mut till, 2).await, "000002");
    let told = api.json("/v1/terminals/acme/T0000001/batch?batch=1").await;
    let closed = &told["closed"];
    assert_eq!(
        (&closed["by"], &closed["note"]),
        (&json!("Li Na"), &json!("till burnt"))
    );
    assert_eq!(told["totals"][0]["debit_minor"], 1_500, "{told}");
    assert_eq!(told["is_open"], false);
    world.stop(till).await;
}

#[tokio::test]
async fn a_closed_batch_takes_nothing_where_nobody_signs_on_either() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 10, "00").await;
    let settle = settlement(&till.who, 20, (1_000, 1, 0, 0), NOTHING);
    assert_eq!(result(&till.ask(&settle).await), "1");
    let end = upload_end(&till.who, 21, 0);
    assert_eq!(till.code(&end).await, "00");
    assert_eq!(till.code(&till.who.sale(11, 100)).await, "77");
    let next = till.who.sale(11, 100).set(60, "22000002000500");
    assert_eq!(asked(&mut till, &mut link, &next, "00").await.code(), "00");
    world.stop(till).await;
}

/// What a terminal and its host do, drawn at random, against sums that the test keeps: every comparison
/// balances, and one cent more never does.
#[tokio::test]
async fn whatever_a_terminal_does_its_totals_are_the_journals() {
    let seed = std::env::var("SIM_SEED").map_or(20_261_122, |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut world, mut link) = setup().start_with_link().await;
    let mut till = world.till(1).await;
    signed_on(&mut till, 1).await;
    let (mut sums, mut last) = (NOTHING, None);
    for stan in 10..90_u32 {
        let minor = random.u64(1..5_000);
        match (random.u8(0..10), last.take()) {
            (0..=3, _) => {
                let code = ["00", "00", "51"][random.usize(0..3)];
                let sale = till.who.sale(stan, minor);
                let answer = asked(&mut till, &mut link, &sale, code).await;
                assert_eq!(answer.code(), code, "seed {seed}");
                if code == "00" {
                    (sums.0, sums.1) = (sums.0 + minor, sums.1 + 1);
                    last = Some((stan, minor));
                }
            }
            (4, Some((of, minor))) => {
                assert_eq!(till.code(&till.who.reversal(of, minor)).await, "00");
                let owed = link.next().await;
                link.send(&owed.answered("00")).await;
                (sums.0, sums.1) = (sums.0 - minor, sums.1 - 1);
            }
            (5, Some((of, minor))) => {
                let void = till.who.void(stan, of, minor);
                asked(&mut till, &mut link, &void, "00").await;
                (sums.2, sums.3) = (sums.2 + minor, sums.3 + 1);
            }
            (6, _) => {
                let refund = till.who.refund(stan, 1, minor);
                asked(&mut till, &mut link, &refund, "00").await;
                (sums.2, sums.3) = (sums.2 + minor, sums.3 + 1);
            }
            (7, _) => {
                let crashed = world.crashed();
                world.stop(till).await;
                (world, link) = after(crashed).start_with_link().await;
                till = world.till(1).await;
            }
            _ => {
                let right = settlement(&till.who, stan, sums, NOTHING);
                let answer = till.ask(&right).await;
                assert_eq!(told(&answer).0, digits(sums, '1'), "seed {seed}, {stan}");
                let wrong = (sums.0 + 1, sums.1, sums.2, sums.3);
                let wrong = settlement(&till.who, stan + 500, wrong, NOTHING);
                let answer = till.ask(&wrong).await;
                assert_eq!(told(&answer).0, digits(sums, '2'), "seed {seed}, {stan}");
            }
        }
    }
    world.stop(till).await;
}
