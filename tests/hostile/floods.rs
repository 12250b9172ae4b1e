//! Floods while clients are taken over, and while they leave: what is on its way then harms nobody.

use super::raw::{Raw, connect, publish, subscribe};
use super::witness::Witness;
use crate::support::{Daemon, Engine, Setup, Version};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// How often each of those who change comes.
const TIMES: usize = 200;
/// More than the queue of one client may hold several times over.
const SLACK: usize = 48 << 20;

/// Publishes as fast as it is read, all qualities of service in turn, until it is told to stop.
fn flood(address: SocketAddr, name: &str, stop: &AtomicBool) {
    let mut raw = Raw::open(address);
    raw.say(&connect(4, name.as_bytes(), true));
    assert!(raw.is_welcome());
    let mut some = Vec::new();
    for n in 1..=10 {
        some.extend(publish(4, 0, "flood/0", 0, &[b'x'; 200]));
        some.extend(publish(4, 2, "flood/1", n, &[b'y'; 200]));
        some.extend(publish(4, 4, "flood/2", n + 100, &[b'z'; 200]));
        some.extend([0x62, 2]);
        some.extend((n + 100).to_be_bytes());
    }
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..8 {
            raw.say(&some);
        }
        // All that was said is answered before more is.
        assert!(raw.is_served(), "a publisher that keeps the rules is sent away");
    }
}

/// Comes, subscribes, and reads a little or nothing.
fn come(address: SocketAddr, level: u8, name: &str, turn: usize) -> Raw {
    let mut raw = Raw::open(address);
    raw.say(&connect(level, name.as_bytes(), turn.is_multiple_of(5)));
    raw.say(&subscribe(level, 1, ["flood/#"], (turn % 3) as u8));
    // It may be taken over before it has its answer.
    for _ in 0..turn % 40 {
        if raw.hear().is_none() {
            break;
        }
    }
    raw
}

fn changes(what: &str, act: impl Fn(SocketAddr, usize) + Sync) {
    let daemon = Setup::new("").engine(Engine::Native).start();
    let address = daemon.address(Version::V3);
    let witness = Witness::of(&daemon);
    let stop = AtomicBool::new(false);
    let before = daemon.data();
    thread::scope(|scope| {
        let floods: Vec<_> = ["flood-1", "flood-2"]
            .map(|name| scope.spawn(|| flood(address, name, &stop)))
            .into();
        let others: Vec<_> = (0..3)
            .map(|who| {
                scope.spawn({
                    let act = &act;
                    move || act(address, who)
                })
            })
            .collect();
        for other in others {
            other.join().expect("one who comes and goes");
        }
        stop.store(true, Ordering::Relaxed);
        for flood in floods {
            flood.join().expect("a publisher");
        }
    });
    witness.ends_undisturbed(what);
    is_well(&daemon, before);
}

/// Whoever comes afterwards is served, and the memory is bounded by queues.
fn is_well(daemon: &Daemon, before: usize) {
    let mut client = daemon.client("afterwards");
    client.subscribe("afterwards", 2);
    client.publish("afterwards", b"x", 2, false);
    assert_eq!(client.next().text(), "x");
    let after = daemon.data();
    assert!(after < before + SLACK, "{before} bytes before, {after} after");
}

#[test]
fn a_flood_while_a_client_is_taken_over_again_and_again() {
    changes("floods at takeover", |address, who| {
        let mut last = None;
        for turn in 0..TIMES {
            // Three threads, one name: each takes it from another, and the connection that it lost stays open here.
            let level = if (who + turn).is_multiple_of(2) { 4 } else { 5 };
            last = Some(come(address, level, "same", turn));
        }
        drop(last);
    });
}

#[test]
fn a_flood_while_clients_leave() {
    changes("floods at disconnect", |address, who| {
        for turn in 0..TIMES {
            let level = if turn.is_multiple_of(2) { 4 } else { 5 };
            let mut raw = come(address, level, &format!("leaver-{who}"), turn);
            match turn % 3 {
                // With a word, and without; what it has not read makes the system reset the connection.
                0 => _ = raw.say(&[0xe0, 0]),
                1 => _ = raw.say(&[0xff; 7]),
                _ => {}
            }
        }
    });
}
