//! A thousand who say nothing, packets that never end, and noise.

use super::raw::{Raw, VERSIONS, connect, head, publish};
use super::witness::Witness;
use crate::support::{Engine, Setup, Version};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::hash::{BuildHasher, Hasher, RandomState};

const CROWD: usize = 1000;

/// Each has a descriptor at both ends; the daemon has ours.
fn room_for_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let want = maximum.unwrap_or(u64::MAX).min(8192);
    if current.is_some_and(|current| current < want) {
        let current = Some(want);
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).expect("a higher limit");
    }
}

#[test]
fn a_thousand_half_open_connections_hold_up_nobody() {
    room_for_descriptors();
    let daemon = Setup::new("")
        .engine(Engine::Native)
        .broker("connect-timeout = '5s'\nmax-connect-rate = 0")
        .start();
    let address = daemon.address(Version::V3);
    let witness = Witness::of(&daemon);
    let before = daemon.data();
    let hello = connect(4, b"half open", true);
    let mut crowd: Vec<Raw> = (0..CROWD)
        .map(|n| {
            let mut raw = Raw::open(address);
            raw.say(&hello[..n % hello.len()]);
            raw
        })
        .collect();
    // Those who do speak are served.
    for n in 0..20 {
        let mut raw = Raw::open(address);
        raw.say(&connect(4, format!("prompt-{n}").as_bytes(), true));
        assert!(raw.is_welcome() && raw.is_served());
    }
    let full = daemon.data();
    // And each of the others is sent away in time.
    for raw in &mut crowd {
        assert_eq!(raw.hear(), None);
    }
    witness.ends_undisturbed("1,000 half-open connections");
    assert!(
        full.saturating_sub(before) < CROWD * 32 * 1024,
        "{} bytes for a thousand who say nothing",
        full.saturating_sub(before)
    );
}

/// Packets that come byte by byte, of many clients at once, arrive.
#[test]
fn packets_that_dribble_arrive() {
    let daemon = Setup::new("").engine(Engine::Native).start();
    let address = daemon.address(Version::V3);
    let witness = Witness::of(&daemon);
    let mut watcher = daemon.client("watcher");
    watcher.subscribe("dribble/#", 0);
    let streams: Vec<Vec<u8>> = (0..30)
        .map(|n| {
            let level = VERSIONS[n % 3];
            let hello = connect(level, format!("dribble-{n}").as_bytes(), true);
            [hello, publish(level, 0, &format!("dribble/{n}"), 0, &[b'd'; 200])].concat()
        })
        .collect();
    let mut clients: Vec<Raw> = streams.iter().map(|_| Raw::open(address)).collect();
    let longest = streams.iter().map(Vec::len).max().unwrap_or_default();
    for at in 0..longest {
        for (client, stream) in clients.iter_mut().zip(&streams) {
            if let Some(byte) = stream.get(at) {
                assert!(client.say(&[*byte]));
            }
        }
    }
    let mut heard: Vec<String> = (0..streams.len()).map(|_| watcher.next().topic).collect();
    heard.sort();
    let mut expected: Vec<String> = (0..streams.len()).map(|n| format!("dribble/{n}")).collect();
    expected.sort();
    assert_eq!(heard, expected);
    witness.ends_undisturbed("dribbled packets");
}

/// Who announces a packet that is too long is sent away at once; who announces one that is not, and sends little of it,
/// costs little.
#[test]
fn long_packets_cost_what_was_sent_of_them() {
    let daemon = Setup::new("").engine(Engine::Native).start();
    let address = daemon.address(Version::V3);
    let witness = Witness::of(&daemon);
    for level in VERSIONS {
        for too_long in [
            &head(0x30, (16 << 20) + 1)[..],
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            &[0x30, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            let mut raw = Raw::open(address);
            raw.say(&connect(level, b"long", true));
            assert!(raw.is_welcome());
            raw.say(too_long);
            let mut last = Vec::new();
            while let Some(packet) = raw.hear() {
                last = packet;
            }
            let told = if too_long.len() == 6 { 0x81 } else { 0x95 };
            let expected: &[u8] = if level == 5 { &[0xe0, 1, told] } else { &[] };
            assert_eq!(last, expected, "level {level}, {too_long:02x?}");
        }
    }
    let before = daemon.data();
    let some = [&head(0x30, 15 << 20)[..], &[0, 1, b'a'], &[b'x'; 10_000]].concat();
    let clients: Vec<Raw> = (0..200)
        .map(|n| {
            let mut raw = Raw::open(address);
            raw.say(&connect(4, format!("some-{n}").as_bytes(), true));
            assert!(raw.is_welcome());
            raw.say(&some);
            raw
        })
        .collect();
    let mut client = daemon.client("afterwards");
    client.subscribe("afterwards", 0);
    let after = daemon.data();
    drop(clients);
    witness.ends_undisturbed("long packets");
    // 3 GB were announced, 2 MB were sent.
    assert!(
        after.saturating_sub(before) < 40 << 20,
        "{} bytes for 200 clients",
        after.saturating_sub(before)
    );
}

/// Noise on new connections, and on those that began well.
#[test]
fn random_bytes_disturb_nobody() {
    let daemon = Setup::new("").engine(Engine::Native).start();
    let address = daemon.address(Version::V3);
    let witness = Witness::of(&daemon);
    let before = daemon.data();
    let state = RandomState::new();
    let mut count = 0_u64;
    let mut random = || {
        count += 1;
        let mut hasher = state.build_hasher();
        hasher.write_u64(count);
        hasher.finish()
    };
    for n in 0..1500 {
        let mut raw = Raw::open(address);
        if n % 3 > 0 {
            raw.say(&connect(
                VERSIONS[n % 2 + 1],
                format!("noise-{}", n % 50).as_bytes(),
                n % 7 == 0,
            ));
        }
        let length = random() % 300;
        let mut noise: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if n % 2 == 0 && noise.len() > 2 {
            // As if it were a packet, so that more than its head is looked at.
            noise[0] = (random() % 16) as u8 * 16 + [0, 2, 4][n % 3];
            noise[1] %= 64;
        }
        raw.say(&noise);
    }
    let mut client = daemon.client("afterwards");
    client.subscribe("afterwards", 0);
    witness.ends_undisturbed("random bytes");
    let after = daemon.data();
    assert!(
        after < before + (48 << 20),
        "{before} bytes before, {after} after"
    );
}
