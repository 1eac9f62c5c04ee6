//! Who an acquirer is: said by an admin, shown to everybody, and in the audit trail.

use serde_json::json;

use super::admin::Api;
use super::fixture::Setup;
use super::inquiries::said;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquirers_licence_is_set_shown_and_audited() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let path = "/v1/acquirers/acme";
    let empty = api.json(path).await;
    assert_eq!(
        (&empty["licence"], &empty["version"]),
        (&json!(""), &json!(1))
    );
    let body = json!({ "licence": "Z2000133000019", "institution": "48020000" });
    let set = api.put_if(path, "\"1\"", body.to_string()).await;
    assert_eq!((set.status, set.header("etag")), (200, "\"2\""));
    let stale = api.put_if(path, "\"1\"", body.to_string()).await;
    assert_eq!(stale.status, 412);

    // The command says more; what it does not say stays.
    let socket = api.socket.to_str().unwrap();
    let words = [
        "acquirer",
        "set",
        "acme",
        "--legal-name",
        "Acme Payments",
        "--licence-until",
    ];
    let words = [&words[..], &["2030-12-31", "--socket", socket]].concat();
    let folder = world.folder.path().to_owned();
    let told = tokio::task::block_in_place(|| said(&folder, &words));
    assert_eq!(told.trim(), "the acquirer has version 3 now");
    let listed = api.json("/v1/acquirers").await;
    let expect = json!([{
        "acquirer": "acme", "legal_name": "Acme Payments", "institution": "48020000",
        "licence": "Z2000133000019", "licence_until": "2030-12-31", "version": 3,
    }]);
    assert_eq!(listed["acquirers"], expect);
    let show = ["acquirer", "show", "acme", "--socket", socket];
    let told = tokio::task::block_in_place(|| said(&folder, &show));
    assert!(told.contains("Z2000133000019"), "{told}");

    for (wrong, why) in [
        (json!({ "institution": "12A" }), "digits"),
        (json!({ "licence_until": "2030-13-01" }), "date"),
        (json!({ "licence": "Z2000133000019" }), "known already"),
        (json!({ "name": "acme" }), "name"),
    ] {
        let refused = api.put_if(path, "*", wrong.to_string()).await;
        assert_eq!(refused.status, 422, "{wrong}");
        assert!(refused.text.contains(why), "{refused:?}");
    }
    let nobody = api
        .put_if("/v1/acquirers/nobody", "*", body.to_string())
        .await;
    assert_eq!(nobody.status, 404);
    let told = api.json("/v1/audit?event=acquirer.changed").await;
    let events = told["events"].as_array().unwrap();
    assert_eq!(events.len(), 2);
    let last = events.iter().find(|event| event["before"]["licence"] != "");
    let last = last.unwrap();
    assert_eq!(last["subject"], "acquirer acme");
    assert_eq!(last["before"]["licence_until"], "");
    assert_eq!(last["after"]["licence_until"], "2030-12-31");
    world.stop(()).await;
}
