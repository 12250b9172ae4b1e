//! Every packet in every state: served, or sent away, and nobody else notices.

use super::raw::{PING, Raw, VERSIONS, connect, packet, properties, publish, subscribe, unsubscribe};
use super::witness::Witness;
use crate::support::{Engine, Setup, Version};

/// What becomes of a client that is connected and says this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is served as before.
    Stays,
    /// Its connection ends.
    Ends,
}
use Then::{Ends, Stays};

/// Each kind of packet, well formed, in this version.
fn packets(level: u8) -> Vec<(&'static str, Vec<u8>, Then)> {
    let id = |first: u8| packet(first, &[0, 9]);
    let acknowledges: Vec<u8> = [&[0, 9], properties(level), &[0]].concat();
    // An AUTH is malformed before MQTT 5, and there it needs a method.
    vec![
        ("type 0", packet(0x00, &[]), Ends),
        ("CONNECT", connect(level, b"again", true), Ends),
        (
            "CONNACK",
            packet(0x20, &[&[0, 0], properties(level)].concat()),
            Ends,
        ),
        ("PUBLISH, QoS 0", publish(level, 0, "matrix", 0, b"x"), Stays),
        ("PUBLISH, QoS 1", publish(level, 2, "matrix", 7, b"x"), Stays),
        ("PUBLISH, QoS 2", publish(level, 4, "matrix", 8, b"x"), Stays),
        ("PUBLISH, QoS 3", publish(level, 6, "matrix", 8, b"x"), Ends),
        ("PUBACK", id(0x40), Stays),
        ("PUBREC", id(0x50), Stays),
        ("PUBREL", id(0x62), Stays),
        ("PUBCOMP", id(0x70), Stays),
        ("SUBSCRIBE", subscribe(level, 9, ["matrix/own"], 1), Stays),
        ("SUBSCRIBE without a filter", subscribe(level, 9, [], 1), Ends),
        ("SUBACK", packet(0x90, &acknowledges), Ends),
        ("UNSUBSCRIBE", unsubscribe(level, 9, ["matrix/own"]), Stays),
        ("UNSUBACK", packet(0xb0, &acknowledges), Ends),
        ("PINGREQ", PING.to_vec(), Stays),
        ("PINGRESP", packet(0xd0, &[]), Ends),
        ("DISCONNECT", packet(0xe0, &[]), Ends),
        ("AUTH", packet(0xf0, &[]), Ends),
    ]
}

#[test]
fn every_packet_in_every_state() {
    let daemon = Setup::new("").engine(Engine::Native).start();
    let address = daemon.address(Version::V3);
    let witness = Witness::of(&daemon);
    let mut watcher = daemon.client("watcher");
    watcher.subscribe("matrix", 2);
    for level in VERSIONS {
        for (name, packet, then) in packets(level) {
            let what = format!("{name}, level {level}");
            let hello = connect(level, b"matrix", true);

            // Before CONNECT: only that is answered.
            let mut raw = Raw::open(address);
            raw.say(&packet);
            let welcome = raw.is_welcome();
            assert_eq!(welcome, name == "CONNECT", "{what} comes first");
            drop(raw);

            // Twice, that the second finds what the first has left.
            let mut raw = Raw::open(address);
            raw.say(&hello);
            assert!(raw.is_welcome());
            raw.say(&[&packet[..], &packet].concat());
            let found = if raw.is_served() { Stays } else { Ends };
            assert_eq!(found, then, "{what}, when connected");
            drop(raw);

            // Behind a DISCONNECT it is not heard: what is published would be.
            let mut raw = Raw::open(address);
            let late = publish(level, 0, "matrix", 0, b"late");
            raw.say(&[&hello[..], &[0xe0, 0], &packet, &late].concat());
            assert!(raw.is_welcome());
            assert_eq!(raw.hear(), None, "{what}, behind a DISCONNECT");
        }
    }
    watcher.publish("matrix", b"last", 1, false);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "last") {
        heard.push(watcher.next().text());
    }
    // QoS 0 and 1 twice each in three versions; QoS 2 was never released.
    let expected = [vec!["x"; 12], vec!["last"]].concat();
    assert_eq!(heard, expected);
    witness.ends_undisturbed("every packet in every state");
}
