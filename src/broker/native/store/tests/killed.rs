//! A process that is killed while it writes: what it was told is committed is there, and nothing is half there.

use super::*;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};

const FOLDER: &str = "MQTTYD_TEST_STORE";
const ROUNDS: u64 = 25;
/// So many messages wait at any time.
const WAIT: u64 = 3;

/// Writes until it is killed. Each batch changes something of every kind, to tell one from another.
#[tokio::test]
#[ignore = "is started, and killed, by the test below"]
async fn child() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let (store, loaded) = open(folder.as_ref());
    let last = last(&loaded);
    if last == 0 {
        commit(&store, vec![session("c", HOUR)]).await;
    }
    let mut committed = store.committed();
    let base = store.commit(Vec::new());
    for number in last + 1.. {
        let message = Arc::new(Message {
            payload: Bytes::copy_from_slice(&number.to_le_bytes()),
            ..message("t", b"")
        });
        let client = ByteString::from("c");
        let packet_id = (number % 1_000) as u16;
        let ticket = store.commit(vec![
            kept(Message::clone(&message)),
            Change::Queue {
                client: client.clone(),
                seq: number,
                packet_id: None,
                message,
                qos: Qos::ExactlyOnce,
                retain: false,
                ids: Vec::new(),
            },
            Change::Sent {
                client: client.clone(),
                seq: number,
                packet_id,
                released: number % 2 == 0,
            },
            done("c", number.saturating_sub(WAIT)),
            Change::Received {
                client: client.clone(),
                packet_id,
            },
            Change::Released {
                client,
                packet_id: (number.saturating_sub(1) % 1_000) as u16,
            },
        ]);
        // Sometimes many are under way.
        if number % 7 != 0 {
            committed.wait_for(|at| *at >= ticket).await.unwrap();
        }
        let sure = last + committed.borrow().saturating_sub(base);
        writeln!(stdout(), "committed {sure}").unwrap();
    }
}

/// The number of the last batch that is there; all of it, and nothing else, must be.
fn last(loaded: &Loaded) -> u64 {
    let Some(Kept { message, .. }) = loaded.retained.first() else {
        assert!(loaded.sessions.iter().all(|session| session.queue.is_empty()));
        return 0;
    };
    let number = u64::from_le_bytes(message.payload[..].try_into().unwrap());
    let session = &loaded.sessions[0];
    let seqs: Vec<_> = session.queue.iter().map(|waiting| waiting.seq).collect();
    let expected: Vec<_> = (number.saturating_sub(WAIT) + 1..=number).collect();
    assert_eq!(seqs, expected);
    for waiting in &session.queue {
        assert_eq!(waiting.message.payload[..], waiting.seq.to_le_bytes());
        assert_eq!(
            waiting.sent,
            Some(((waiting.seq % 1_000) as u16, waiting.seq % 2 == 0))
        );
    }
    assert_eq!(session.received, [(number % 1_000) as u16]);
    number
}

#[tokio::test]
async fn a_kill_takes_nothing_that_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..ROUNDS {
        let random = RandomState::new().hash_one(round);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg(format!("{}::child", module_path!().split_once("::").unwrap().1))
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        let mut hear = |line: String| {
            if let Some(number) = line.strip_prefix("committed ") {
                told = number.parse().unwrap();
                return true;
            }
            false
        };
        // Somewhere between the start and the wrap of the log.
        let mut left = random % 4_000;
        while left > 0 {
            left -= u64::from(hear(lines.next().expect("the child lives").unwrap()));
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            hear(line);
        }
        child.wait().unwrap();
        let (store, loaded) = open(folder.path());
        let there = last(&loaded);
        assert!(
            there >= told && there >= before,
            "{there} is there after {told} was told, {before} before"
        );
        before = there;
        drop(loaded);
        // Once in a while it ends in order.
        store.close().await;
    }
    assert!(before > 0);
}
