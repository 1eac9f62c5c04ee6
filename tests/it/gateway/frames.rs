//! Frames on a byte stream: split and joined anywhere, empty ones, more than may wait.

use super::fixture::{Setup, eventually};

#[tokio::test]
async fn frames_split_at_every_byte_are_one_frame_each() {
    let world = Setup::new().start().await;
    let mut till = world.till(1).await;
    let frame = till.who.echo(0).frame(&world.dialect);
    for at in 1..frame.len() {
        let stan = u32::try_from(at).unwrap();
        let frame = till.who.echo(stan).frame(&world.dialect);
        let (head, tail) = frame.split_at(at);
        till.wire.send_bytes(head).await;
        tokio::task::yield_now().await;
        till.wire.send_bytes(tail).await;
        assert_eq!(till.next().await.text(11), format!("{stan:06}"));
    }
    let frame = till.who.echo(999).frame(&world.dialect);
    for byte in frame {
        till.wire.send_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(till.next().await.text(11), "000999");
    world.stop(till).await;
}

#[tokio::test]
async fn frames_joined_in_one_write_are_all_served_also_with_a_tail() {
    let world = Setup::new().start().await;
    let mut till = world.till(1).await;
    let echo = |stan| till.who.echo(stan).frame(&world.dialect);
    let bytes: Vec<u8> = (1..=20).flat_map(echo).collect();
    let cut = bytes.len() - 7;
    let (head, tail) = bytes.split_at(cut);
    let (head, tail) = (head.to_vec(), tail.to_vec());
    till.wire.send_bytes(&head).await;
    for stan in 1..=19 {
        assert_eq!(till.next().await.text(11), format!("{stan:06}"));
    }
    till.wire.send_bytes(&tail).await;
    assert_eq!(till.next().await.text(11), "000020");
    world.stop(till).await;
}

#[tokio::test]
async fn empty_frames_keep_a_session_alive_and_nothing_more() {
    let world = Setup::new().start().await;
    let mut till = world.till(1).await;
    till.wire.send_bytes(&[0; 200]).await;
    till.hears_nothing().await;
    till.wire.send_bytes(&[0]).await;
    let mut rest = vec![0];
    rest.extend(till.who.echo(5).frame(&world.dialect));
    till.wire.send_bytes(&rest).await;
    assert_eq!(till.next().await.text(11), "000005");
    world.stop(till).await;
}

/// Reading stops at the limit and goes on with every answer, whatever thread gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_at_its_limit_goes_on_with_every_answer() {
    let mut setup = Setup::new();
    setup.session.pending_max = 1;
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    for stan in 1..=120 {
        till.send(&till.who.sale(stan, 100)).await;
        let request = link.next().await;
        // It waits in the socket until the sale is answered.
        till.send(&till.who.echo(900_000 + stan)).await;
        link.send(&request.answered("00")).await;
        assert_eq!(till.next().await.mti, "0210");
        assert_eq!(till.next().await.mti, "0830");
    }
    world.stop(till).await;
}

#[tokio::test]
async fn requests_beyond_the_limit_wait_and_are_served_in_turn() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    // Four that wait, each of another terminal, over one connection.
    for number in 1..=4 {
        till.who.terminal = format!("T{number:07}");
        till.send(&till.who.sale(number, 100)).await;
    }
    let mut requests = Vec::new();
    for _ in 1..=4 {
        requests.push(link.next().await);
    }
    till.who.terminal = "T0000001".into();
    till.send(&till.who.echo(5)).await;
    eventually("four are in flight", || {
        world.running.switch.in_flight() == 4
    })
    .await;
    link.send(&requests[2].answered("00")).await;
    assert_eq!(till.next().await.text(41), "T0000003");
    assert_eq!(till.next().await.text(11), "000005");
    for at in [3, 0, 1] {
        link.send(&requests[at].answered("00")).await;
        assert_eq!(till.next().await.text(41), requests[at].text(41));
    }
    world.stop(till).await;
}
