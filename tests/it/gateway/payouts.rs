//! Money that may not be paid out on its day: it waits, and the file of the day of its release pays it, once.

use std::collections::BTreeMap;

use posgate::base::TerminalId;
use posgate::binding::hold::Explained;
use posgate::binding::{BindingState, HoldScope, ReasonSet, RependReason, TerminalKey};
use posgate::store::RegistryError;
use posgate::store::command::Command;
use posgate::store::registry::Actor;
use serde_json::Value;

use super::fixture::SHOP;
use super::settlement::local_today;
use super::story::{LI, Story, WANG};
use super::wire::Draft;

/// What a file says by class, minor units; the classes that have nothing are left out.
type Sums = BTreeMap<String, i64>;

struct Shop {
    story: Story,
    /// Files of days that are over, as they were on the day after.
    files: BTreeMap<String, Value>,
}

impl Shop {
    async fn open() -> Self {
        let story = Story::begin().await;
        let csv = format!(
            "acquirer,terminal_id,merchant_id,account_id,state\n\
             acme,T0000001,{SHOP},A-001,active\nacme,T0000002,{SHOP},A-002,active\n"
        );
        assert_eq!(story.api.import(&csv).await["report"]["bound"], 2);
        Self {
            story,
            files: BTreeMap::new(),
        }
    }

    fn key(&self, terminal: u32) -> TerminalKey {
        let registry = &self.story.world.running.registry;
        let acquirer = registry.change(|registry| {
            let acquirer = registry.acquirer("acme")?;
            Ok::<_, RegistryError>((acquirer, Default::default()))
        });
        TerminalKey {
            acquirer: acquirer.unwrap(),
            terminal: TerminalId::parse(&format!("T{terminal:07}")).unwrap(),
        }
    }

    fn does(&self, who: &str, command: &Command) -> u64 {
        let actor = Actor::program(who, self.story.world.clock.wall());
        let changed = self.story.world.running.registry.change(|registry| {
            let done = registry.carry_out(command, None, &actor)?;
            Ok::<_, RegistryError>((done.number, done.changes))
        });
        changed.unwrap()
    }

    /// Holds the payout; gives the hold's number.
    fn holds(&self, terminal: u32) -> u64 {
        let words = |text: &str| text.to_owned();
        let explained = Explained {
            reason: words("position"),
            remedy: words("an inspection"),
            documents: String::new(),
            appeal: words("service desk"),
        };
        let (key, scope) = (self.key(terminal), HoldScope::Settlement);
        let place = Command::PlaceHold {
            key,
            scope,
            explained,
        };
        self.does(LI, &place)
    }

    fn lifts(&self, hold: u64) {
        let note = "inspected".to_owned();
        self.does(WANG, &Command::LiftHold { hold, note });
    }

    fn sets(&self, terminal: u32, state: BindingState, reasons: ReasonSet) {
        let actor = Actor::program(LI, self.story.world.clock.wall());
        let key = self.key(terminal);
        let changed = self.story.world.running.registry.change(|registry| {
            let changes = registry.set_state(key, state, reasons, None, &actor)?;
            Ok::<_, RegistryError>(((), changes))
        });
        changed.unwrap();
    }

    async fn at(&mut self, terminal: u32, what: &str, draft: Draft) {
        let name = format!("T{terminal:07}");
        let code = self.story.at(&name, what, |_| draft.clone()).await;
        assert_eq!(code, "00", "{what}");
    }

    async fn sells(&mut self, terminal: u32, stan: u32) {
        let draft = self.till(terminal).sale(stan, 1_000);
        self.at(terminal, "sale", draft).await;
    }

    async fn voids(&mut self, terminal: u32, stan: u32, of: u32) {
        let draft = self.till(terminal).void(stan, of, 1_000);
        self.at(terminal, "void", draft).await;
    }

    async fn refunds(&mut self, terminal: u32, stan: u32, of: u32, minor: u64) {
        let draft = self.till(terminal).refund(stan, of, minor);
        self.at(terminal, "refund", draft).await;
    }

    fn till(&self, terminal: u32) -> super::fixture::Who {
        let mut who = super::fixture::Who::numbered(1, super::fixture::UNIONPAY);
        who.terminal = format!("T{terminal:07}");
        who
    }

    fn today(&self) -> String {
        local_today(&self.story.world)
    }

    /// Today's file of a terminal's account.
    async fn sums(&self, terminal: u32) -> Sums {
        sums_of(&self.file(&self.today()).await, terminal)
    }

    async fn file(&self, day: &str) -> Value {
        let path = format!("/v1/settlements/{day}");
        self.story.api.json(&path).await
    }

    /// The day is over: its file is made, and never differs from then on, nor does any before it.
    async fn next_day(&mut self) {
        let day = self.today();
        self.story.wait(24 * 60);
        let mut file = self.file(&day).await;
        file["journal_group"] = Value::Null;
        self.files.insert(day, file);
        for (day, made) in &self.files {
            let mut now = self.file(day).await;
            now["journal_group"] = Value::Null;
            assert_eq!(&now, made, "{day} on {}", self.today());
        }
    }

    /// What all files pay together.
    fn paid(&self, terminal: u32) -> i64 {
        let nets = self
            .files
            .values()
            .map(|file| sums_of(file, terminal).get("net").copied());
        nets.flatten().sum()
    }
}

fn sums_of(file: &Value, terminal: u32) -> Sums {
    let accounts = file["accounts"].as_array().unwrap();
    let name = format!("A-{terminal:03}");
    let mut sums = Sums::new();
    for account in accounts.iter().filter(|a| a["account_id"] == name.as_str()) {
        let mut lines = Sums::new();
        for line in account["transactions"].as_array().unwrap() {
            let class = line["class"].as_str().unwrap().to_owned();
            *lines.entry(class).or_default() += line["counts"]["minor"].as_i64().unwrap();
        }
        for (class, sum) in account["totals"][0].as_object().unwrap() {
            if class == "currency" || sum["count"] == 0 {
                continue;
            }
            let minor = sum["amount"]["minor"].as_i64().unwrap();
            sums.insert(class.clone(), minor);
            if class != "net" {
                assert_eq!(lines.get(class), Some(&minor), "{class}: {account}");
            }
        }
    }
    sums
}

fn sums<const N: usize>(of: [(&str, i64); N]) -> Sums {
    of.into_iter()
        .map(|(class, minor)| (class.to_owned(), minor))
        .collect()
}

/// bindings test 17, its other half: what was held is paid when the hold ends, by the file of that day.
#[tokio::test]
async fn t17_held_money_is_paid_once_on_the_day_of_its_release() {
    let mut shop = Shop::open().await;
    // The first day: two sales are paid.
    shop.sells(1, 1).await;
    shop.sells(1, 2).await;
    assert_eq!(shop.sums(1).await, sums([("net", 2_000), ("sales", 2_000)]));
    shop.next_day().await;
    // The second: a hold. A sale of before it waits too; what is refunded of the first day's is not held.
    shop.sells(1, 3).await;
    let hold = shop.holds(1);
    for stan in [4, 5, 6] {
        shop.sells(1, stan).await;
    }
    shop.refunds(1, 7, 1, 400).await;
    // This one follows what waits, and waits with it.
    shop.voids(1, 8, 4).await;
    let second = sums([("held", 3_000), ("net", -400), ("refunds", -400)]);
    assert_eq!(shop.sums(1).await, second);
    // The neighbour's file is not touched by any of it.
    shop.sells(2, 1).await;
    shop.next_day().await;
    // The third: some of what waits is refunded.
    shop.refunds(1, 9, 5, 300).await;
    assert_eq!(shop.sums(1).await, sums([("held", -300)]));
    shop.next_day().await;
    // The fourth: two holds, one is lifted, nothing is released.
    let other = shop.holds(1);
    shop.lifts(hold);
    assert_eq!(shop.sums(1).await, sums([]));
    shop.next_day().await;
    // The fifth: the last one is lifted. What was held is paid, and what undoes it counts from now on.
    shop.lifts(other);
    let released = sums([("net", 2_700), ("released", 2_700)]);
    assert_eq!(shop.sums(1).await, released);
    shop.voids(1, 10, 6).await;
    shop.sells(1, 11).await;
    let fifth = sums([
        ("net", 2_700),
        ("released", 2_700),
        ("sales", 1_000),
        ("voids", -1_000),
    ]);
    assert_eq!(shop.sums(1).await, fifth);
    shop.next_day().await;
    // A later hold has nothing of it.
    shop.holds(1);
    assert_eq!(shop.sums(1).await, sums([]));
    shop.next_day().await;
    // Seven sales; two are voided, 7.00 refunded.
    assert_eq!(shop.paid(1), 4_300);
    assert_eq!(shop.paid(2), 1_000);
}

/// What was sold before a suspension waits as well; what was taken offline meanwhile waits until the binding is
/// verified.
#[tokio::test]
async fn suspended_and_re_pending_terminals_are_paid_when_they_are_free() {
    let mut shop = Shop::open().await;
    shop.sells(1, 1).await;
    shop.sells(1, 2).await;
    shop.sets(1, BindingState::Suspended, ReasonSet::EMPTY);
    shop.voids(1, 3, 2).await;
    assert_eq!(shop.sums(1).await, sums([("held", 1_000)]));
    let phone = ReasonSet::EMPTY.with(RependReason::Phone);
    shop.sells(2, 1).await;
    shop.sets(2, BindingState::RePending, phone);
    let offline = shop.till(2).sale(2, 700).retyped("0220");
    let offline = [26, 35, 52, 53].into_iter().fold(offline, Draft::without);
    let offline = offline
        .set(38, "123456")
        .set(60, "30000001000500")
        .set(61, "000001000002");
    shop.at(2, "offline sale", offline).await;
    let day = sums([("held", 700), ("net", 1_000), ("sales", 1_000)]);
    assert_eq!(shop.sums(2).await, day);
    // Suspended on the day itself and free again before its end: nothing waits.
    shop.next_day().await;
    shop.sets(1, BindingState::Active, ReasonSet::EMPTY);
    shop.sells(1, 4).await;
    shop.sets(1, BindingState::Suspended, ReasonSet::EMPTY);
    assert_eq!(shop.sums(1).await, sums([("held", 1_000)]));
    shop.sets(1, BindingState::Active, ReasonSet::EMPTY);
    let free = sums([("net", 2_000), ("released", 1_000), ("sales", 1_000)]);
    assert_eq!(shop.sums(1).await, free);
    assert_eq!(shop.sums(2).await, sums([]));
    shop.next_day().await;
    // Suspended after the day is over: that day's file stands.
    shop.sets(1, BindingState::Suspended, ReasonSet::EMPTY);
    shop.sets(2, BindingState::Active, ReasonSet::EMPTY);
    assert_eq!(shop.sums(2).await, sums([("net", 700), ("released", 700)]));
    shop.next_day().await;
    assert_eq!((shop.paid(1), shop.paid(2)), (2_000, 1_700));
}
