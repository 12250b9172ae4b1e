//! Frames between markers: what they promise.

use super::super::escape::{Stuff, Xor};
use super::super::tests::*;
use super::super::{Config as Frame, Framing};
use super::*;
use proptest::prelude::*;

fn text(start: &str, end: &str, more: &str) -> Framing {
    build(&format!(
        "{{ start-end = {{ start = {start}, end = {end}, {more} }} }}"
    ))
}

#[test]
fn text_between_two_markers() {
    let framing = text("'('", "[13]", "");
    let got = decode(&framing, &(), b"NAK\r(230.1 50.0\r\n(OK\r");
    assert_eq!(
        got,
        [
            damaged(Damage::Noise, "NAK\r"),
            frame("230.1 50.0"),
            damaged(Damage::Noise, "\n"),
            frame("OK"),
        ]
    );
    let kept = text("'('", "[13]", "strip = false, ignore = [10]");
    assert_eq!(decode(&kept, &(), b"(a\r\n\n(b\r\n"), [frame("(a"), frame("(b")]);
    assert_eq!(encode(&framing, &(), b"OK"), Ok(b"(OK\r".to_vec()));
    assert_eq!(encode(&kept, &(), b"(OK"), Ok(b"(OK\r".to_vec()));
    assert_eq!(encode(&kept, &(), b"OK"), Err(EncodeError::Unstarted));
    assert_eq!(encode(&framing, &(), b"O\rK"), Err(EncodeError::Marker));
}

#[test]
fn a_frame_that_was_cut_off() {
    let plain = text("[2]", "[3]", "");
    assert_eq!(
        decode(&plain, &(), b"\x02cut\x02whole\x03"),
        [frame("cut\x02whole")]
    );
    let restart = text("[2]", "[3]", "restart = true");
    let cut = damaged(Damage::Unfinished, "\x02cut");
    assert_eq!(
        decode(&restart, &(), b"\x02cut\x02whole\x03"),
        [cut, frame("whole")]
    );
    let wire = [b"\x02cut".as_slice(), &encode(&plain, &Hash, b"whole").unwrap()].concat();
    assert_eq!(
        decode(&plain, &Hash, &wire),
        [damaged(Damage::Check, "\x02cut"), frame("whole")]
    );
    assert_eq!(
        decode(&plain, &(), b"\x02never"),
        [damaged(Damage::Stale, "\x02never")]
    );
}

/// A start marker that overlaps itself, behind bytes that look like its beginning.
#[test]
fn the_true_start_may_overlap_a_false_one() {
    let framing = text(
        "'ccc'",
        "'ccb'",
        "strip = false, escape = { stuff = { mark = 'cc', with = 'a' } }",
    );
    let wire = encode(&framing, &Hash, b"cccc").unwrap();
    assert_eq!(
        decode(&framing, &Hash, &[b"cc", &wire[..]].concat()),
        [damaged(Damage::Unfinished, "cc"), frame("cccc")]
    );
}

/// IEC 62056-21 (NEVA MT 324 and others): STX data ETX and one check byte.
#[test]
fn the_check_may_stand_behind_the_end() {
    let framing = text("[2]", "[3]", "tail = 1");
    let sum = Sum { from: 1, width: 1 };
    let wire = encode(&framing, &sum, b"0.9.1(12)").unwrap();
    assert!(wire.starts_with(b"\x020.9.1(12)\x03") && wire.len() == 12);
    assert_eq!(decode(&framing, &sum, &wire), [frame("0.9.1(12)")]);
    assert_eq!(decode(&framing, &(), &wire), [frame("0.9.1(12)")]);
    assert!(matches!(
        encode(&framing, &(), b"0"),
        Err(EncodeError::Unknown(_))
    ));
}

/// Victron VE.Direct: a block of lines is ended by its checksum's line, whose last byte makes the sum of all
/// zero. The test's sum is not that one, but stands where it stands.
#[test]
fn a_block_of_lines_that_ends_with_its_check() {
    let framing = text(
        "\"\\r\\nPID\\t\"",
        "\"\\r\\nChecksum\\t\"",
        "tail = 1, strip = false",
    );
    let sum = Sum { from: 0, width: 1 };
    let wire = encode(&framing, &sum, b"\r\nPID\t0xA389\r\nV\t12868").unwrap();
    assert_eq!(
        decode(&framing, &sum, &wire),
        [frame("\r\nPID\t0xA389\r\nV\t12868")]
    );
}

/// Futaba SBUS, frame-1: 0x0F and 0x00 occur inside, so only the length tells the end.
#[test]
fn markers_and_a_given_length() {
    let framing = text("[0x0f]", "[0]", "length = 25");
    let good = hex("0fe0031f58c00716b080052c60010bf8c00700000000000300");
    let wrong = hex("0fe0031f58c00716b080052c60010bf8c00700000000000301");
    let wire = [wrong.as_slice(), &[7], &good, &good].concat();
    let bad = [wrong.as_slice(), &[7]].concat();
    assert_eq!(
        decode(&framing, &(), &wire),
        [
            damaged(Damage::End, bad),
            frame(&good[1..24]),
            frame(&good[1..24])
        ]
    );
    assert_eq!(encode(&framing, &(), &good[1..24]), Ok(good));
}

/// Kamstrup KMP, register example and serial number (github.com/gertvdijk/PyKMP, tests/test_codec.py).
#[test]
fn an_escape_that_inverts() {
    let escape = "escape = { xor = { mark = 0x1b, mask = 0xff, also = [0x06, 0x80] } }, ignore = [6]";
    let framing = text("[0x40]", "[0x0d]", escape);
    let wire = hex("06403f10001b7f160411012af02463030d");
    let data = hex("3f100080160411012af0246303");
    assert_eq!(decode(&framing, &(), &wire), [frame(&data)]);
    assert_eq!(encode(&framing, &(), &data), Ok(wire[1..].to_vec()));
    // A start byte inside is another frame, and an escape before an end byte is none.
    let got = decode(&framing, &(), b"\x40a\x40b\x1b\x0d\x40c\x0d");
    assert_eq!(
        got,
        [damaged(Damage::Unfinished, b"\x40a\x40b\x1b\x0d"), frame("c")]
    );
}

/// Hayward AquaLogic, pool display and keep-alive (github.com/swilson/aqualogic, tests/data/idle.bin).
#[test]
fn stuffing_behind_dle() {
    let framing = text(
        "[0x10, 2]",
        "[0x10, 3]",
        "strip = false, escape = { stuff = { mark = [0x10], with = [0] } }",
    );
    let sum = Sum { from: 0, width: 2 };
    let wire = hex("10020103506f6f6c2054656d7020202030df4320202020202020202020202020202020200007381003");
    let data = &wire[..wire.len() - 4];
    assert_eq!(decode(&framing, &sum, &wire), [frame(data)]);
    assert_eq!(encode(&framing, &sum, data), Ok(wire));
    assert_eq!(
        encode(&framing, &(), b"\x10\x02a\x10\x03"),
        Ok(b"\x10\x02a\x10\x00\x03\x10\x03".to_vec())
    );
    let got = decode(&framing, &(), b"\x10\x02a\x10\x02b\x10\x03");
    assert_eq!(
        got,
        [damaged(Damage::Unfinished, b"\x10\x02a"), frame(b"\x10\x02b")]
    );
    let got = decode(&framing, &(), b"\x10\x02a\x10\x09\x10\x02b\x10\x03");
    assert_eq!(
        got,
        [damaged(Damage::Escape, b"\x10\x02a\x10\x09"), frame(b"\x10\x02b")]
    );
}

const SML: &str = "escape = { stuff = { mark = [0x1b, 0x1b, 0x1b, 0x1b], wire-check = true } }, tail = 3";

/// SML 1.04: the message's last byte may be 1B, too, and look like the end one byte early.
#[test]
fn stuffing_of_a_run() {
    let framing = text(
        "[0x1b, 0x1b, 0x1b, 0x1b, 1, 1, 1, 1]",
        "[0x1b, 0x1b, 0x1b, 0x1b, 0x1a]",
        SML,
    );
    for (inside, data) in [
        ("7605f2", "7605f2"),
        ("761b", "761b"),
        ("761b1b1b", "761b1b1b"),
        ("761b1b1b1b1b1b1b1b05", "761b1b1b1b05"),
        ("1b1b1b1b1b1b1b1b1b1b1b", "1b1b1b1b1b1b1b"),
    ] {
        let wire = hex(&format!("1b1b1b1b01010101{inside}1b1b1b1b1a00abcd"));
        assert_eq!(decode(&framing, &(), &wire), [frame(hex(data))], "{inside}");
        let sum = Sum { from: 0, width: 3 };
        let wire = sent_is_received(&framing, &sum, &hex(data)).unwrap();
        assert_eq!(&wire[8..wire.len() - 8], hex(inside));
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let fault = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::new(
            Marker::new(*b"\x10\x02").unwrap(),
            Marker::new(*b"\x10\x03").unwrap(),
        );
        change(&mut config);
        Frame::StartEnd(config)
            .build(CHAR)
            .map(|_| ())
            .map_err(|fault| fault.to_string())
    };
    let stuff = |mark: &[u8], with: Option<&[u8]>, wire_check| {
        let (mark, with) = (
            Marker::new(mark).unwrap(),
            with.map(|with| Marker::new(with).unwrap()),
        );
        Some(Escape::Stuff(Stuff {
            mark,
            with,
            wire_check,
        }))
    };
    let xor = |mark, mask| {
        Some(Escape::Xor(Xor {
            mark,
            mask,
            also: Octets::default(),
        }))
    };
    assert_eq!(fault(&|_| ()), Ok(()));
    assert_eq!(fault(&|c| c.escape = stuff(b"\x10", None, false)), Ok(()));
    assert!(
        fault(&|c| c.escape = stuff(b"\x11", None, false))
            .unwrap_err()
            .contains("must begin with the mark")
    );
    assert!(
        fault(&|c| c.escape = stuff(b"\x10\x03", None, false))
            .unwrap_err()
            .contains("and have more")
    );
    assert!(
        fault(&|c| c.escape = stuff(b"\x10", Some(b"\x03a"), false))
            .unwrap_err()
            .contains("cannot be told")
    );
    assert!(
        fault(&|c| c.escape = stuff(b"\x10", None, true))
            .unwrap_err()
            .contains("`tail` is missing")
    );
    assert!(
        fault(&|c| c.escape = xor(0x10, 0))
            .unwrap_err()
            .contains("that is `stuff`")
    );
    assert!(
        fault(&|c| c.escape = xor(0x11, 0x01))
            .unwrap_err()
            .contains("another mask")
    );
    assert!(
        fault(&|c| c.length = Size::new(3))
            .unwrap_err()
            .contains("less than")
    );
    assert!(
        fault(&|c| (c.length, c.restart) = (Size::new(9), true))
            .unwrap_err()
            .contains("neither")
    );
    assert!(fault(&|c| c.tail = 65).unwrap_err().contains("at most 64"));
}

fn any_config() -> impl Strategy<Value = Config> {
    let few = |n: std::ops::Range<usize>| {
        proptest::collection::vec(proptest::sample::select(&b"abc"[..]), n)
            .prop_map(|bytes| Marker::new(bytes).unwrap())
    };
    let escape = prop_oneof![
        2 => Just(None),
        1 => (proptest::sample::select(&b"abcd"[..]), proptest::sample::select(&[0, 1, 0xff][..]), any::<bool>()).prop_map(
            |(mark, mask, also)| {
                let also = if also { b"d".to_vec() } else { Vec::new() }.into();
                Some(Escape::Xor(Xor { mark, mask, also }))
            }
        ),
        2 => (few(1..5), proptest::option::of(few(1..3)), any::<bool>())
            .prop_map(|(mark, with, wire_check)| Some(Escape::Stuff(Stuff { mark, with, wire_check }))),
    ];
    let flags = any::<[bool; 3]>();
    (
        few(1..4),
        few(1..4),
        escape,
        flags,
        0..2usize,
        14..40usize,
        12..60usize,
    )
        .prop_filter_map(
            "settings that go together",
            |(start, end, escape, [length, restart, strip], tail, total, max)| {
                let (mut start, mut end) = (start, end);
                if let Some(Escape::Stuff(stuff)) = &escape {
                    start = Marker::new([&stuff.mark, &start[..]].concat())?;
                    end = Marker::new([&stuff.mark, &end[..]].concat())?;
                }
                let config = Config {
                    tail: 4 * tail,
                    length: Size::new(total).filter(|_| length),
                    escape: escape.filter(|_| !length),
                    restart: restart && !length,
                    strip,
                    max: Size::new(max)?,
                    ..Config::new(start, end)
                };
                Frame::StartEnd(config.clone()).build(CHAR).ok().map(|_| config)
            },
        )
}

/// Makes data of it that the method can carry, mostly.
fn fit(config: &Config, data: &[u8]) -> Vec<u8> {
    let start = if config.strip { 0 } else { config.start.len() };
    let mut data = [&config.start[..start], data].concat();
    if let Some(length) = config.length {
        let markers = config.start.len() - start + config.end.len() + Hash.len();
        data.resize(length.get().saturating_sub(markers), b'a');
    }
    data
}

proptest! {
    #[test]
    fn cutting(config in any_config(), bytes in bytes(b"abcd", 200), cuts in cuts()) {
        let framing = Frame::StartEnd(config).build(CHAR).unwrap();
        cuts_do_not_matter(&framing, &(), &bytes, &cuts, 60);
        cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, 60);
    }

    #[test]
    fn identity(config in any_config(), data in bytes(b"abcd", 20)) {
        let framing = Frame::StartEnd(config.clone()).build(CHAR).unwrap();
        sent_is_received(&framing, &(), &fit(&config, &data));
        sent_is_received(&framing, &Hash, &fit(&config, &data));
    }

    #[test]
    fn garbage(config in any_config(), mut stream in stream(b"abcd")) {
        for (_, data) in &mut stream {
            *data = fit(&config, data);
        }
        garbage_costs_no_frame(&Frame::StartEnd(config).build(CHAR).unwrap(), &stream);
    }
}
