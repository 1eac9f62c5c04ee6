//! `posgate store`, `posgate backup` and `posgate restore` as an operator uses them.

use super::fixture::eventually;
use super::serving::{Place, Serving};
use super::wire::Wire;

/// A sale that is approved. A link that just came up may not be used yet.
async fn sells(place: &Place, serving: &Serving, link: &mut Wire, stan: u32) {
    let mut till = place.till(serving, 1).await;
    let mut stan = stan;
    loop {
        till.send(&till.who.sale(stan, 100)).await;
        tokio::select! {
            request = link.next() => {
                link.send(&request.answered("00")).await;
                break;
            }
            told = till.next() => assert_eq!(told.code(), "91"),
        }
        stan += 100;
    }
    assert_eq!(till.next().await.code(), "00");
}

/// A store with sales in it, whose gateway has ended.
async fn traded() -> Place {
    let place = Place::new().await;
    let (serving, mut link) = place.serve(&[]).await;
    for stan in 1..=3 {
        sells(&place, &serving, &mut link, stan).await;
    }
    assert_eq!(serving.terminate().await.code(), Some(0));
    place
}

/// Changes the last groups of the journal, behind the store's back.
fn tear(place: &Place, groups: u32) {
    let db = rusqlite::Connection::open(place.data("journal.db")).unwrap();
    let change = "UPDATE journal SET body = zeroblob(length(body)) WHERE sequence > \
        (SELECT max(sequence) - ?1 FROM journal)";
    assert_eq!(db.execute(change, [groups]).unwrap(), groups as usize);
}

#[tokio::test]
async fn a_store_is_checked_beside_its_gateway_and_after_it() {
    let place = Place::new().await;
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 1).await;
    assert!(place.succeeds(&["store", "check"]).contains("sound"));
    for verb in ["repair", "rebuild"] {
        let refused = place.fails(1, &["store", verb]);
        assert!(refused.contains("another posgate works on it"), "{refused}");
    }
    drop(link);
    assert_eq!(serving.terminate().await.code(), Some(0));
    assert!(place.succeeds(&["store", "check"]).contains("sound"));
    let refused = place.fails(1, &["store", "check", "--store", "nowhere"]);
    assert!(refused.contains("nowhere is no folder"), "{refused}");
}

#[tokio::test]
async fn a_torn_journal_is_refused_named_and_cut_when_told_to() {
    let place = traded().await;
    // As a crash leaves it: torn, and not projected yet.
    tear(&place, 1);
    let db = rusqlite::Connection::open(place.data("readmodel.db")).unwrap();
    db.execute("UPDATE mark SET sequence = sequence - 1", [])
        .unwrap();
    drop(db);
    let refused = place.fails(1, &["serve"]);
    for words in [
        "journal.db",
        "the checksum differs",
        "`posgate store check`",
    ] {
        assert!(refused.contains(words), "{words} not in {refused}");
    }
    let found = place.fails(2, &["store", "check"]);
    assert!(found.contains("`posgate store repair --cut`"), "{found}");
    let refused = place.fails(1, &["store", "repair"]);
    assert!(refused.contains("would be given up"), "{refused}");
    let done = place.succeeds(&["store", "repair", "--cut"]);
    assert!(done.contains("are given up"), "{done}");
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 50).await;
    assert_eq!(serving.terminate().await.code(), Some(0));
    assert!(place.succeeds(&["store", "check"]).contains("sound"));
}

#[tokio::test]
async fn a_damaged_read_model_is_refused_and_made_again() {
    let place = traded().await;
    std::fs::write(place.data("readmodel.db"), "nonsense, and enough of it").unwrap();
    let refused = place.fails(1, &["serve"]);
    assert!(refused.contains("posgate store rebuild"), "{refused}");
    let done = place.succeeds(&["store", "rebuild"]);
    assert!(done.contains("3 transactions"), "{done}");
    assert!(
        place
            .succeeds(&["store", "check"])
            .contains("3 transactions")
    );
}

#[tokio::test]
async fn keys_that_are_gone_are_not_made_anew_by_themselves() {
    let place = traded().await;
    std::fs::remove_file(place.data("data.keys")).unwrap();
    let refused = place.fails(1, &["serve"]);
    for words in ["data.keys", "posgate store new-keys"] {
        assert!(refused.contains(words), "{words} not in {refused}");
    }
    assert!(!place.data("data.keys").exists());
    place.succeeds(&["store", "new-keys"]);
    let refused = place.fails(1, &["store", "new-keys"]);
    assert!(refused.contains("is there already"), "{refused}");
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 50).await;
    assert_eq!(serving.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_backup_is_taken_from_a_gateway_at_work_and_put_back() {
    let place = Place::new().await;
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 1).await;
    eventually("the sale is projected", || {
        place
            .succeeds(&["store", "check"])
            .contains(" 1 transaction")
    })
    .await;
    let told = place.succeeds(&["backup", "copy"]);
    assert!(told.contains("without"), "{told}");
    assert!(!place.path().join("copy/data.keys").exists());
    sells(&place, &serving, &mut link, 2).await;
    let refused = place.fails(1, &["restore", "copy", "--overwrite"]);
    assert!(refused.contains("another posgate works on it"), "{refused}");
    assert_eq!(serving.terminate().await.code(), Some(0));

    let refused = place.fails(1, &["restore", "copy"]);
    assert!(refused.contains("--overwrite"), "{refused}");
    let told = place.succeeds(&["restore", "copy", "--overwrite"]);
    assert!(told.contains(" 1 transaction"), "{told}");
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 3).await;
    assert_eq!(serving.terminate().await.code(), Some(0));
    let db = rusqlite::Connection::open(place.data("readmodel.db")).unwrap();
    let mut ids = db.prepare("SELECT id FROM txn ORDER BY id").unwrap();
    let ids = ids.query_map([], |row| row.get(0)).unwrap();
    let ids: Vec<i64> = ids.map(Result::unwrap).collect();
    assert_eq!(ids, [1, 20_000_000_001]);
}

/// Breaks a group in the middle that is long projected, behind the store's back.
fn damage_the_middle(place: &Place) {
    let db = rusqlite::Connection::open(place.data("journal.db")).unwrap();
    let change = "UPDATE journal SET body = zeroblob(length(body)) WHERE sequence = 3";
    assert_eq!(db.execute(change, []).unwrap(), 1);
}

fn configure(place: &Place, text: &str) {
    let config = place.path().join("posgate.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let after = before.replacen("[store]\n", &format!("[store]\n{text}\n"), 1);
    std::fs::write(&config, after).unwrap();
}

#[tokio::test]
async fn damage_that_a_start_does_not_meet_is_told_soon_after_and_trade_goes_on() {
    let place = traded().await;
    damage_the_middle(&place);
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 50).await;
    let mut heard = Vec::new();
    eventually("the damage is told", || {
        heard.extend(serving.lines());
        heard
            .iter()
            .any(|line| line.contains("the store is damaged"))
    })
    .await;
    let told = heard
        .iter()
        .find(|line| line.contains("the store is damaged"));
    let told = told.unwrap();
    for words in [
        "ERROR",
        "journal.db",
        "group 3 is damaged",
        "posgate restore",
    ] {
        assert!(told.contains(words), "{words} not in {told}");
    }
    sells(&place, &serving, &mut link, 51).await;
    assert_eq!(serving.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_start_that_reads_everything_refuses_what_is_damaged() {
    let place = traded().await;
    configure(&place, "check = \"start\"");
    let (serving, mut link) = place.serve(&[]).await;
    sells(&place, &serving, &mut link, 50).await;
    assert_eq!(serving.terminate().await.code(), Some(0));
    damage_the_middle(&place);
    let refused = place.fails(1, &["serve"]);
    for words in [
        "journal.db",
        "group 3 is damaged",
        // The group, and the transaction that the read model shows of it.
        "(2 findings)",
        "posgate restore",
    ] {
        assert!(refused.contains(words), "{words} not in {refused}");
    }
    let found = place.fails(2, &["store", "check"]);
    assert!(found.ends_with("2 findings\n"), "{found}");
}

#[tokio::test]
async fn a_start_names_the_command_that_really_helps() {
    // Half of the file is gone: nothing mends that in place, and nobody is sent to try.
    let place = traded().await;
    let path = place.data("journal.db");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let refused = place.fails(1, &["serve"]);
    assert!(refused.contains("posgate restore --overwrite"), "{refused}");
    assert!(!refused.contains("posgate store repair"), "{refused}");
    assert!(
        place
            .fails(2, &["store", "repair", "--cut"])
            .contains("posgate restore")
    );
    // An end that is torn is cut when told to.
    let place = traded().await;
    tear(&place, 1);
    let db = rusqlite::Connection::open(place.data("readmodel.db")).unwrap();
    let back = "UPDATE mark SET sequence = sequence - 1";
    db.execute(back, []).unwrap();
    let refused = place.fails(1, &["serve"]);
    assert!(refused.contains("posgate store repair --cut"), "{refused}");
}
