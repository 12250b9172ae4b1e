//! The broker is killed at any moment, started again, and held to what it had promised.
//!
//! A kill leaves to the disk what the process had given to the kernel. What a power cut leaves is less by what was
//! written in the last sync interval; that it is never a broken file is SQLite's promise (`docs/store.md`).

use super::clients::{Publisher, Subscriber, TOPICS, retained};
use crate::support::{Daemon, Engine, PATIENCE, Setup, Version};
use rustix::process::Signal;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

#[test]
fn a_kill_takes_nothing_that_was_acknowledged() {
    rounds(20);
}

#[test]
#[ignore = "takes several minutes: cargo test --test main power -- --ignored --nocapture"]
fn a_thousand_kills_take_nothing_that_was_acknowledged() {
    rounds(1_000);
}

struct Clients {
    once: Publisher,
    least: Publisher,
    kept: Publisher,
    reader: Subscriber,
    /// It is there in every second round only.
    sleeper: Subscriber,
}

#[expect(clippy::print_stderr, reason = "a long run says how far it is")]
fn rounds(count: u64) {
    let mut clients = Clients {
        once: Publisher::new("once", 2, false),
        least: Publisher::new("least", 1, false),
        kept: Publisher::new("kept", 1, true),
        reader: Subscriber::new("reader"),
        sleeper: Subscriber::new("sleeper"),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut daemon = setup(&folder).start();
    let address = daemon.address(Version::V3);
    clients.reader.begin(address).expect("a subscription");
    clients.sleeper.begin(address).expect("a subscription");
    for round in 1..=count {
        let random = RandomState::new().hash_one(round);
        let address = daemon.address(Version::V3);
        check_retained(&clients.kept, address);
        kill_while(&mut clients, &mut daemon, address, random);
        daemon = daemon.start_again();
        assert!(
            !daemon.log().text().contains("set aside"),
            "the store could not be opened"
        );
        if round % 100 == 0 {
            let Clients { reader, sleeper, .. } = &clients;
            eprintln!(
                "{round} rounds, {} and {} messages, {} and {} once more",
                reader.count, sleeper.count, reader.again, sleeper.again
            );
        }
    }
    // All that is under way arrives.
    let address = daemon.address(Version::V3);
    for publisher in [&mut clients.once, &mut clients.least, &mut clients.kept] {
        let all = publisher.run(address, false);
        assert!(all.is_ok(), "{all:?}: {publisher:?} is not acknowledged");
    }
    let publishers = [&clients.once, &clients.least, &clients.kept];
    for subscriber in [&mut clients.reader, &mut clients.sleeper] {
        let all = subscriber.run(address, |last| {
            publishers.iter().all(|publisher| {
                let numbers = publisher.last.saturating_sub(TOPICS - 1)..=publisher.last;
                numbers
                    .filter(|number| *number > 0)
                    .all(|number| last.get(&publisher.topic(number)) == Some(&number))
            })
        });
        assert!(
            all.is_ok(),
            "{all:?}: {:?} were published, {:?} came",
            publishers.map(|publisher| publisher.last),
            subscriber.last
        );
        assert!(
            subscriber.count > count,
            "the rounds were too short to show anything"
        );
    }
}

fn setup(folder: &tempfile::TempDir) -> Setup {
    Setup::new("").engine(Engine::Native).broker(&format!(
        "persistence-location = {:?}\nmax-queued-messages = 0\nmax-queued-bytes = 0",
        folder.path()
    ))
}

/// Lets all clients do what they do, and ends the broker at some moment in it.
fn kill_while(clients: &mut Clients, daemon: &mut Daemon, address: SocketAddr, random: u64) {
    let Clients {
        once,
        least,
        kept,
        reader,
        sleeper,
    } = clients;
    thread::scope(|scope| {
        for publisher in [once, least, kept] {
            scope.spawn(move || ended(publisher.run(address, true)));
        }
        scope.spawn(|| ended(reader.run(address, |_| false)));
        if random & 1 == 0 {
            scope.spawn(|| ended(sleeper.run(address, |_| false)));
        }
        // Any moment is the right one: this waits for nothing.
        thread::park_timeout(Duration::from_micros(random >> 1 & 0x1_ffff));
        if random >> 60 == 0 {
            daemon.program.signal(Signal::TERM);
            daemon.program.wait();
        } else {
            daemon.program.kill();
        }
    });
}

/// A connection that ends is what these tests are about; one that is silent is not.
fn ended(result: io::Result<()>) {
    if let Err(error) = result {
        let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        assert!(!late, "the broker said nothing for {PATIENCE:?}");
    }
}

fn check_retained(kept: &Publisher, address: SocketAddr) {
    let found = retained(address, kept.acked.keys()).expect("the retained messages");
    for (topic, acked) in &kept.acked {
        let there = found.get(topic).copied().unwrap_or(0);
        assert!(
            (*acked..=kept.last).contains(&there),
            "{topic}: {there} is retained after {acked}"
        );
    }
}
