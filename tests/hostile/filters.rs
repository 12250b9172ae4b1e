//! A hundred thousand subscriptions of one client that come and go: their memory comes back.

use super::raw::{Raw, connect, subscribe, unsubscribe};
use super::witness::Witness;
use crate::support::{Engine, PATIENCE, Setup, Version};
use std::thread;
use std::time::{Duration, Instant};

const FILTERS: usize = 100_000;
/// In one packet.
const AT_ONCE: usize = 1000;
const ROUNDS: usize = 6;

#[test]
fn a_hundred_thousand_filters_come_and_go() {
    let daemon = Setup::new("")
        .engine(Engine::Native)
        .broker("max-subscriptions = 0")
        .start();
    let witness = Witness::of(&daemon);
    let filters: Vec<String> = (0..FILTERS)
        .map(|n| match n % 4 {
            0 => format!("plain/{n}/room"),
            1 => format!("level/{n}/+/room"),
            2 => format!("+/{n}/#"),
            _ => format!("$share/group{}/shared/{n}", n % 97),
        })
        .collect();
    let before = daemon.data();
    // It is given back a little later.
    let settled = |bound: usize| {
        let deadline = Instant::now() + PATIENCE;
        while daemon.data() > bound && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(20));
        }
        daemon.data()
    };
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        let mut raw = Raw::open(daemon.address(Version::V3));
        raw.say(&connect(5, b"many", true));
        assert!(raw.is_welcome());
        for part in filters.chunks(AT_ONCE) {
            raw.say(&subscribe(5, 1, part.iter().map(String::as_str), 1));
            let ack = raw.hear().expect("a SUBACK");
            assert!(
                ack[ack.len() - AT_ONCE..].iter().all(|code| *code == 1),
                "granted"
            );
        }
        let peak = daemon.data();
        // Half of them end one by one, the rest with the session.
        for part in filters[..FILTERS / 2].chunks(AT_ONCE) {
            raw.say(&unsubscribe(5, 1, part.iter().map(String::as_str)));
            let ack = raw.hear().expect("an UNSUBACK");
            assert!(ack[ack.len() - AT_ONCE..].iter().all(|code| *code == 0), "ended");
        }
        assert!(raw.is_served());
        if round % 2 == 0 {
            raw.say(&[0xe0, 0]);
            assert_eq!(raw.hear(), None);
        }
        drop(raw);
        // Whoever is answered now comes behind its end.
        let mut raw = Raw::open(daemon.address(Version::V3));
        raw.say(&connect(5, b"many", true));
        assert!(raw.is_welcome());
        drop(raw);
        // It goes in turns: it is over when little is left.
        sizes.push((peak, settled(before + (peak - before) / 8)));
    }
    witness.ends_undisturbed("100,000 filters");
    let words = format!("{before} bytes before; peak and after: {sizes:?}");
    let (peak, after) = sizes[ROUNDS - 1];
    assert!(
        after.saturating_sub(before) < (peak - before) / 2,
        "memory does not come back: {words}"
    );
    let (_, early) = sizes[1];
    assert!(
        after < early + early / 4 + (2 << 20),
        "it grows round by round: {words}"
    );
    report(&words);
}

#[expect(clippy::print_stderr, reason = "a measure, for who asks with --nocapture")]
fn report(words: &str) {
    eprintln!("{words}");
}
