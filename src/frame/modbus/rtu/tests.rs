use super::super::super::Config as Frame;
use super::super::super::tests::*;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn framing() -> super::super::super::Framing {
    build("'modbus-rtu'")
}

/// Requests and replies of the specification's own examples (V1.1b3, section 6), behind an address.
const EXAMPLES: &[&str] = &[
    "11010013 0013",
    "110103cd6b05",
    "110200c40016",
    "110203acdb35",
    "1103006b0003",
    "110306022b00000064",
    "110400080001",
    "1104 02000a",
    "110500acff00",
    "110600010003",
    "1107",
    "11076d",
    "11080000a537",
    "110b",
    "110bffff0108",
    "110c",
    "110c08000001080121 2000",
    "110f0013000a02cd01",
    "110f0013000a",
    "11100001000204000a0102",
    "111000010002",
    "1111",
    "111103aa01ff",
    "11140e06000400010002060003000900 02",
    "11140c05060dfe0020050633cd0040",
    "11150d0600040007000306af04be100d",
    "11160004 00f20025",
    "11170003000600 0e00030600ff00ff00ff",
    "11170c00fe0acd00010003000d00ff",
    "111804de",
    "1118000600020 1b81284",
    "112b0e0100",
    "112b0e01010000030016436f6d70616e79206964656e74696669636174696f6e010c50726f6475637420636f64650204322e3131",
    "118102",
    "1196 04",
];

fn example(text: &str) -> Vec<u8> {
    hex(&text.replace(' ', ""))
}

#[test]
fn a_frame_is_whole_at_its_last_byte() {
    let framing = framing();
    for text in EXAMPLES {
        let data = example(text);
        let wire = encode(&framing, &(), &data).unwrap();
        let mut line = Line::new(&framing, &());
        for byte in &wire {
            assert_eq!(line.take(), [], "{text}: before its end");
            line.read(&[*byte]);
        }
        assert_eq!(line.take(), [frame(&data)], "{text}");
        assert_eq!(line.decoder().deadline(), None);
    }
}

#[test]
fn all_of_them_in_one_read() {
    let framing = framing();
    let all: Vec<Vec<u8>> = EXAMPLES.iter().map(|text| example(text)).collect();
    let wire: Vec<u8> = all
        .iter()
        .flat_map(|data| encode(&framing, &(), data).unwrap())
        .collect();
    let mut line = Line::new(&framing, &());
    assert_eq!(line.read(&wire).take(), all.iter().map(frame).collect::<Vec<_>>());
}

/// An Eastron SDM120's reply and an exception, behind noise, with a byte lost, and with a byte turned.
#[test]
fn what_is_damaged_costs_no_other_frame() {
    let framing = framing();
    let (good, refusal) = (hex("010404436633341b38"), hex("018402c2c1"));
    let mut turned = good.clone();
    turned[4] ^= 1;
    let wire = [&b"\xff"[..], &good, &good[..8], &good, &turned, &refusal].concat();
    let got = decode(&framing, &(), &wire);
    let frames: Vec<&Got> = got.iter().filter(|got| matches!(got, Got::Frame(_))).collect();
    assert_eq!(
        frames,
        [&frame(&good[..7]), &frame(&good[..7]), &frame(&refusal[..3])],
        "{got:02x?}"
    );
    assert_eq!(
        decode(&framing, &(), &good[..8]),
        [damaged(Damage::Stale, &good[..8])]
    );
}

/// Found by the fuzz target `frame_modbus_rtu`: what can be sent is heard as it was sent, though it be no request.
#[test]
fn silence_ends_what_is_shorter_than_its_function_says_if_its_check_is_right() {
    let framing = framing();
    for data in [&b"\xff"[..], b"\x01\x03", b"\x01\x10\x00"] {
        let mut wire = Vec::new();
        framing.encode(data, &(), &mut wire).unwrap();
        assert_eq!(decode(&framing, &(), &wire), [frame(data)], "{wire:02x?}");
        wire[0] ^= 1;
        assert_eq!(decode(&framing, &(), &wire), [damaged(Damage::Stale, &wire)]);
    }
}

/// Peacefair's own functions 0x41 and 0x42, and diagnostics with more data than usual.
#[test]
fn silence_ends_what_has_no_known_length() {
    let framing = framing();
    for text in ["0142", "f841", "010800001234567890"] {
        let data = hex(text);
        let wire = encode(&framing, &(), &data).unwrap();
        let mut line = Line::new(&framing, &());
        assert_eq!(line.read(&wire).take(), [], "{text}");
        assert_eq!(line.silence().take(), [frame(&data)], "{text}");
    }
    let mut line = Line::new(&framing, &());
    line.read(&vec![0x42; 300]).silence();
    assert!(matches!(line.take()[0], Got::Damaged(Damage::TooLong, _)));
}

#[test]
fn the_adapters_pauses_are_waited_for() {
    let quiet = |text: &str| {
        let config: Config = toml::from_str(text).unwrap();
        config.quiet(CHAR).map_err(|fault| fault.to_string())
    };
    assert_eq!(quiet(""), Ok(Duration::from_micros(19_647)));
    assert_eq!(quiet("latency = '0s'"), Ok(Duration::from_micros(3647)));
    assert_eq!(quiet("gap = '5ms'"), Ok(Duration::from_millis(5)));
    assert!(quiet("gap = '5ms'\ncharacters = 3.5").is_err());
    let framing = framing();
    let good = hex("010404436633341b38");
    let mut line = Line::new(&framing, &());
    line.read(&good[..4])
        .wait(Duration::from_millis(17))
        .read(&good[4..]);
    assert_eq!(line.take(), [frame(&good[..7])]);
}

#[test]
fn a_device_with_another_check_names_it() {
    let framing = framing();
    let wire = encode(&framing, &Hash, &hex("110306022b00000064")).unwrap();
    assert_eq!(wire.len(), 13);
    assert_eq!(decode(&framing, &Hash, &wire), [frame(hex("110306022b00000064"))]);
    assert_eq!(encode(&framing, &(), b""), Err(EncodeError::Empty));
    assert!(matches!(
        encode(&framing, &(), &[1; 255]),
        Err(EncodeError::TooLong { .. })
    ));
}

/// Any request or reply whose length its function tells.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let counted = |functions: &'static [u8]| {
        (proptest::sample::select(functions), vec(any::<[u8; 2]>(), 1..60)).prop_map(|(function, list)| {
            let list = list.concat();
            [&[function, list.len() as u8][..], &list].concat()
        })
    };
    let written = (
        proptest::sample::select(&[0x0f, 0x10][..]),
        any::<[u8; 4]>(),
        vec(any::<[u8; 2]>(), 1..60),
    )
        .prop_map(|(function, head, list)| {
            let list = list.concat();
            [&[function][..], &head, &[list.len() as u8], &list].concat()
        });
    let asked = (1..5u8, any::<u16>(), 1..126u16)
        .prop_map(|(function, at, n)| [&[function][..], &at.to_be_bytes(), &n.to_be_bytes()].concat());
    let one = (
        proptest::sample::select(&[5, 6, 0x0f, 0x10][..]),
        any::<[u8; 4]>(),
    )
        .prop_map(|(function, rest)| [&[function][..], &rest].concat());
    let mask = any::<[u8; 6]>().prop_map(|rest| [&[0x16][..], &rest].concat());
    let refused = (0x81..=0xffu8, any::<u8>()).prop_map(|(function, why)| vec![function, why]);
    let pdu = prop_oneof![counted(&[1, 2, 3, 4, 0x17]), written, asked, one, mask, refused];
    (any::<u8>(), pdu).prop_map(|(address, pdu)| [&[address][..], &pdu].concat())
}

/// Found by fuzzing: what was sent could not have been heard.
#[test]
fn what_says_that_it_is_longer_than_any_is_not_sent() {
    let config = Config {
        max: Size::new(20).unwrap(),
        ..Config::default()
    };
    let framing = Frame::ModbusRtu(config).build(CHAR).unwrap();
    let data = [1, 0x14, 0xf0, 6, 0];
    assert_eq!(
        encode(&framing, &(), &data),
        Err(EncodeError::TooLong { len: 245, max: 20 })
    );
    assert!(encode(&framing, &(), &[1, 0x14, 2, 6, 0]).is_ok());
    // More than a server's own word can have; and so it was damaged at its fourth byte.
    assert!(matches!(
        encode(&framing, &(), &[1, 0x11, 0xff]),
        Err(EncodeError::Unknown(_))
    ));
}

/// A request whose number is still to come is too long for `max`, or no request at all.
#[test]
fn what_is_too_long_is_said_when_it_is_sure() {
    let config = Config {
        max: Size::new(6).unwrap(),
        ..Config::default()
    };
    let framing = Frame::ModbusRtu(config).build(CHAR).unwrap();
    for text in ["010300010001", "010301010101"] {
        cuts_do_not_matter(&framing, &(), &hex(text), &[1], 6);
    }
}

proptest! {
    #[test]
    fn cutting(bytes in bytes(b"\x01\x03\x04\x10\x17\x2b", 400), cuts in cuts()) {
        cuts_do_not_matter(&framing(), &(), &bytes, &cuts, 256);
        cuts_do_not_matter(&framing(), &Hash, &bytes, &cuts, 256);
    }

    #[test]
    fn cutting_frames(frames in vec(any_frame(), 1..8), cuts in cuts(), lost in any::<proptest::sample::Index>()) {
        let mut wire: Vec<u8> = frames.iter().flat_map(|data| encode(&framing(), &(), data).unwrap()).collect();
        cuts_do_not_matter(&framing(), &(), &wire, &cuts, 256);
        wire.remove(lost.index(wire.len()));
        cuts_do_not_matter(&framing(), &(), &wire, &cuts, 256);
    }

    #[test]
    fn identity(data in any_frame()) {
        prop_assert!(sent_is_received(&framing(), &Hash, &data).is_some());
    }

    #[test]
    fn garbage(stream in vec((bytes(b"\x01\x03\x04\x10\x83", 20), any_frame()), 1..6)) {
        garbage_costs_no_frame(&framing(), &stream);
    }

    /// Silence before and behind makes a frame of anything that holds, whatever its function.
    #[test]
    fn own_functions(function in 0x41..0x49u8, rest in vec(any::<u8>(), 0..60)) {
        let data = [&[1, function][..], &rest].concat();
        prop_assert!(sent_is_received(&framing(), &Hash, &data).is_some());
    }

    #[test]
    fn small_max(bytes in bytes(b"\x01\x03\x04\x10", 100), max in 4..30usize, cuts in cuts()) {
        let config = Config { max: Size::new(max).unwrap(), ..Config::default() };
        let framing = Frame::ModbusRtu(config).build(CHAR).unwrap();
        cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
    }
}
