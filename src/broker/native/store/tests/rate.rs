//! How much a card is written to; the numbers in `docs/store.md` are from here.

use super::*;
use tokio::time::{MissedTickBehavior, interval};

const TIME: Duration = Duration::from_secs(60);

/// What this process has caused to be written to disks, in bytes.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

/// Commits what `next` gives at each beat, and says what an hour of it would write.
async fn measure(what: &str, beat: Duration, mut next: impl FnMut(u64) -> Vec<Change>) {
    // Not in memory, as /tmp may be.
    let folder = tempfile::tempdir_in("target").unwrap();
    let (store, _) = open(folder.path());
    commit(&store, vec![session("c", HOUR)]).await;
    let mut beats = interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let before = written();
    let count = TIME.as_millis() / beat.as_millis();
    for number in 0..count as u64 {
        beats.tick().await;
        commit(&store, next(number)).await;
    }
    let bytes = written() - before;
    println!("{what}: {} KiB per hour", bytes * 3_600 / TIME.as_secs() / 1_024);
    store.close().await;
}

#[tokio::test]
#[ignore = "takes two minutes"]
async fn writes_per_hour() {
    measure(
        "10 retained values per second, told every 5 s",
        Duration::from_secs(5),
        |beat| {
            let value = |number: u64| {
                let payload = format!("{{\"value\": {}.{}, \"unit\": \"C\"}}", 20 + number, beat % 10);
                kept(Message {
                    payload: payload.into(),
                    ..message(&format!("sensors/{number}"), b"")
                })
            };
            (0..10).map(value).collect()
        },
    )
    .await;
    measure(
        "100 QoS 1 messages per minute for a client that is away",
        Duration::from_millis(600),
        |seq| {
            vec![queue(
                "c",
                seq,
                message("sensors/1", b"{\"value\": 21.5, \"unit\": \"C\"}"),
            )]
        },
    )
    .await;
    let before = written();
    let folder = tempfile::tempdir_in("target").unwrap();
    let (store, _) = open(folder.path());
    let begun = written();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(written(), begun, "nothing changes, and yet something is written");
    store.close().await;
    println!("start and end: {} KiB", (written() - before) / 1_024);
}
