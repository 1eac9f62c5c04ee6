//! What is done to a terminal may name it by the number of its open binding.

use serde_json::{Value, json};

use super::admin::Api;
use super::fixture::{SHOP, Setup};

async fn done(api: &Api, path: &str, body: Value) -> Value {
    let (status, told) = api.post(path, body).await;
    assert_eq!(status, 200, "{path}: {told}");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_a_terminal_takes_the_number_of_its_binding_too() {
    let world = Setup::new().start().await;
    let api = Api::serve(&world);
    let shown = api.json("/v1/terminals/acme/T0000002").await;
    let number = shown["binding"].as_u64().unwrap();
    let actions = format!("/v1/terminals/-/{number}/actions");
    let suspend = json!({ "action": "suspend", "note": "watched" });
    assert_eq!(done(&api, &actions, suspend).await["number"], number);
    let shown = api.json(&format!("/v1/terminals/-/{number}")).await;
    assert_eq!(
        (&shown["state"], &shown["acquirer"]),
        (&json!("suspended"), &json!("acme"))
    );
    assert_eq!(shown["terminal_id"], "T0000002");
    // The trail names the terminal, however it was called.
    let trail = api.json("/v1/audit?limit=3").await.to_string();
    assert!(trail.contains("terminal acme/T0000002"), "{trail}");
    let state = api
        .put(
            &format!("/v1/terminals/-/{number}/state"),
            json!({ "state": "active" }),
        )
        .await;
    assert_eq!(state, 200);
    let hold = json!({
        "scope": "refund", "reason": "disputes", "remedy": "an inspection", "appeal": "service desk",
    });
    done(&api, &format!("/v1/terminals/-/{number}/holds"), hold).await;
    let holds = api.json("/v1/terminals/acme/T0000002/holds").await;
    assert_eq!(holds["holds"].as_array().unwrap().len(), 1);
    let limit = json!({ "day_count": 50, "note": "trial month" });
    assert_eq!(
        api.put(&format!("/v1/limits/terminal/-/{number}"), limit)
            .await,
        200
    );
    let limit = api.json(&format!("/v1/limits/terminal/-/{number}")).await;
    assert_eq!(
        (&limit["name"], &limit["acquirer"]),
        (&json!("T0000002"), &json!("acme"))
    );
    let (status, batch) = api.get(&format!("/v1/terminals/-/{number}/batch")).await;
    assert_eq!(status, 200, "{batch}");

    // A case too; and the device that takes over is named as ever, at the same acquirer.
    let add = json!({ "serial": "SN-7", "model": "P1" });
    assert_eq!(api.post("/v1/devices/acme", add).await.0, 200);
    let replace = json!({
        "acquirer": "-", "terminal_id": number.to_string(), "new_terminal_id": "T0000009",
        "serial": "SN-7", "note": "worn out",
    });
    done(&api, "/v1/replacements", replace).await;
    let new = api.json("/v1/terminals/acme/T0000009").await;
    assert_eq!(
        (&new["merchant_id"], &new["state"]),
        (&json!(SHOP), &json!("activating"))
    );

    // What is closed is nobody's any more, whoever has the terminal id by now.
    let other = api.json("/v1/terminals/acme/T0000003").await;
    let closed = other["binding"].as_u64().unwrap();
    let unbound = json!({ "state": "unbound" });
    assert_eq!(
        api.put("/v1/terminals/acme/T0000003/state", unbound).await,
        200
    );
    let suspend = json!({ "action": "suspend", "note": "watched" });
    let (status, told) = api
        .post(
            &format!("/v1/terminals/-/{closed}/actions"),
            suspend.clone(),
        )
        .await;
    assert_eq!(status, 409, "{told}");
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("posgate binding show"),
        "{told}"
    );
    for (nothing, expect) in [("99", 404), ("T0000001", 400), ("+1", 400)] {
        let path = format!("/v1/terminals/-/{nothing}/actions");
        assert_eq!(
            api.post(&path, suspend.clone()).await.0,
            expect,
            "{nothing}"
        );
    }
    world.stop(()).await;
}
