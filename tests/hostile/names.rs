//! Client ids of every odd shape: taken or refused as the standard says, and harmless in the log.

use super::raw::{Raw, connect};
use super::witness::Witness;
use crate::support::{Engine, Setup, Version};

#[test]
fn client_ids_of_every_odd_shape() {
    let long = vec![b'x'; 65_535];
    let taken: &[&[u8]] = &[
        b"/",
        b"//",
        b"a/b/c",
        b"../../etc/passwd",
        b"$share/g/a",
        b"$SYS/broker",
        b"+",
        b"#",
        b" ",
        "🦀🦀🦀".as_bytes(),
        "e\u{301}\u{202e}\u{feff}\u{fffe}\u{10ffff}".as_bytes(),
        b"\x01\x07\x1b[2J\r\n\x7f\xc2\x9b",
        b"'; DROP TABLE session; --",
        b"%s%n%c%u",
        &long,
    ];
    let refused: &[&[u8]] = &[
        b"a\0b",
        b"\0",
        b"\xed\xa0\x80",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"cut \xe2\x82",
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kept = format!("persistence-location = {:?}", folder.path());
    let mut daemon = Setup::new("").engine(Engine::Native).broker(&kept).start();
    let witness = Witness::of(&daemon);
    let address = daemon.address(Version::V3);
    for level in [4, 5] {
        for id in taken {
            let (mut first, mut second) = (Raw::open(address), Raw::open(address));
            first.say(&connect(level, id, false));
            assert!(first.is_welcome(), "{}, level {level}", id.escape_ascii());
            second.say(&connect(level, id, false));
            let ack = second.hear().expect("an answer");
            assert_eq!(ack[2..4], [1, 0], "{} is taken over", id.escape_ascii());
            while first.hear().is_some() {}
            assert!(second.is_served());
        }
        for id in refused {
            let mut raw = Raw::open(address);
            raw.say(&connect(level, id, true));
            assert!(!raw.is_welcome(), "{}, level {level}", id.escape_ascii());
        }
    }
    // An empty one is given one, with a clean session; and MQTT 3.1 knows of none.
    for (level, clean, welcome) in [
        (3, true, false),
        (4, true, true),
        (4, false, false),
        (5, true, true),
    ] {
        let mut raw = Raw::open(address);
        raw.say(&connect(level, b"", clean));
        assert_eq!(raw.is_welcome(), welcome, "none, level {level}, clean {clean}");
    }
    witness.ends_undisturbed("odd client ids");
    for line in daemon.log().text().lines() {
        assert!(!line.contains(char::is_control), "in the log: {line:?}");
        assert!(line.len() < 2000, "a line of {} bytes in the log", line.len());
    }
    // They are found again by the store.
    assert!(daemon.terminate().0.success());
    let daemon = daemon.start_again();
    let address = daemon.address(Version::V3);
    for id in taken {
        let mut raw = Raw::open(address);
        raw.say(&connect(5, id, false));
        let ack = raw.hear().expect("an answer");
        assert_eq!(ack[2..4], [1, 0], "{} is remembered", id.escape_ascii());
    }
}
