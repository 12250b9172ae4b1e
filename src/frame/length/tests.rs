//! Frames that say how long they are: what they promise.

use super::super::tests::*;
use super::super::{Config as Frame, Framing};
use super::*;
use proptest::prelude::*;

fn length(settings: &str) -> Framing {
    build(&format!("{{ length = {{ {settings} }} }}"))
}

/// MIDI 1.0: the status byte says what follows it; what runs on without one is passed over.
#[test]
fn the_length_by_a_type() {
    let framing = length("lengths = { '0x80..0xbf' = 3, '0xc0..0xdf' = 2, 0xf1 = 2 }");
    assert_eq!(
        decode(&framing, &(), &hex("903c40c005807c3cb00740")),
        [
            frame(hex("903c40")),
            frame(hex("c005")),
            frame(hex("807c3c")),
            frame(hex("b00740"))
        ]
    );
    assert_eq!(
        decode(&framing, &(), &hex("3c40c005")),
        [damaged(Damage::Noise, hex("3c40")), frame(hex("c005"))]
    );
    assert_eq!(
        decode(&framing, &(), &hex("903c")),
        [damaged(Damage::Stale, hex("903c"))]
    );
    assert_eq!(encode(&framing, &(), &hex("c005")), Ok(hex("c005")));
    assert_eq!(
        encode(&framing, &(), &hex("c00540")),
        Err(EncodeError::Field { given: 2, right: 3 })
    );
    assert_eq!(encode(&framing, &(), &hex("2005")), Err(EncodeError::NoField));
}

/// Elk M1 (RS-232 ASCII protocol, revision 1.84): two hexadecimal digits count what follows them, CR LF excepted.
#[test]
fn a_length_in_digits() {
    let framing = length("width = 2, digits = 'hex', end = \"\\r\\n\", adjust = 2, ignore = ''");
    let wire = b"16XK2636115020605110006F\r\n";
    assert_eq!(decode(&framing, &(), wire), [frame(&wire[..24])]);
    assert_eq!(decode(&framing, &(), b"zz1"), [damaged(Damage::Stale, b"zz1")]);
    let framing = length("start = 'L', width = 3, digits = 'decimal', strip = true");
    assert_eq!(encode(&framing, &(), b"hello"), Ok(b"L005hello".to_vec()));
    assert_eq!(decode(&framing, &(), b"L005hello"), [frame("hello")]);
    let refused = |text: &str| toml::from_str::<Config>(text).unwrap().build().is_err();
    assert!(refused("digits = 'hex'\nmask = 0xff"));
    assert!(refused("lengths = { 1 = 2 }\nplus = { offset = 3 }"));
    assert!(toml::from_str::<Config>("lengths = { one = 2 }").is_err());
    for twice in ["16 = 2, 0x10 = 3", "'1..9' = 2, 9 = 3", "'9..1' = 2"] {
        assert!(toml::from_str::<Config>(&format!("lengths = {{ {twice} }}")).is_err());
    }
}

/// Each as its device says it, with frames that are in public test data; the check is a stand-in of the
/// right width where it is no plain sum, as what counts here is the length.
#[test]
fn devices() {
    struct Any(usize);
    impl Seal for Any {
        fn open(&self, content: &[u8]) -> Option<std::ops::Range<usize>> {
            Some(0..content.len().checked_sub(self.0)?)
        }
        fn len(&self) -> usize {
            self.0
        }
        fn close(&self, content: &mut Vec<u8>, _: usize) {
            content.resize(content.len() + self.0, 0);
        }
    }
    for (settings, check, wire) in [
        // Plantower PMS5003 (github.com/avaldebe/PyPMS, tests/captured_data/data.csv, capture 0).
        (
            "start = [0x42, 0x4d], width = 2",
            2,
            "424d001c00000008000800000008000800d20046002d001e00000000970002c5",
        ),
        // u-blox UBX NAV-STATUS (github.com/semuconsulting/pyubx2, tests/pygpsdata-NAV.log).
        (
            "start = [0xb5, 0x62], offset = 4, width = 2, order = 'little', counts = 'data'",
            2,
            "b5620103100008b5622103df0008385b00002bba9e0054e5",
        ),
        // JBD BMS, 4s (github.com/patman15/aiobmsble, tests/bms/test_jbd_bms.py).
        (
            "start = [0xdd], offset = 3, counts = 'data', end = [0x77]",
            2,
            "dd03001d0618fee101f201f4002a2c7c00000000000080640304030b8b0b8a0b84f88477",
        ),
        // M-Bus, Elvaco CMa11 (github.com/rscada/libmbus, test/test-frames/elv_temp_humid.hex).
        (
            "start = [0x68], offset = 1, counts = 'data', header = 4, end = [0x16]",
            1,
            "685353680805723408005496153200f200000001fd1b0002fc0348522574d41122fc0348522574c81112fc034852\
             2574b4160265d00822657008126523090172184265e408820165dd080c783408005403fd0f0000041f5d16",
        ),
        // EnOcean ESP3, temperature (github.com/kipe/enocean, enocean/protocol/tests/test_eep.py).
        (
            "start = [0x55], width = 2, counts = 'data', header = 6, plus = { offset = 3 }",
            1,
            "55000a0701eba5000055080181b7440001ffffffff2d0075",
        ),
        // RFXCOM: the first byte says how many follow.
        ("", 0, "0a520211700200a72d0089"),
        // Somfy SDN: the five low bits of the second byte, all inverted.
        (
            "offset = 1, mask = 0x1f, invert = true, counts = 'all'",
            2,
            "fcf4aaaaaabbbbbbcccc00",
        ),
        // RESOL VBus: so many pieces of six bytes behind ten.
        (
            "start = [0xaa], offset = 8, unit = 6, adjust = 1",
            0,
            "aa1000117e100001011b0f2701000137",
        ),
    ] {
        let wire = hex(wire);
        let framing = length(settings);
        let got = decode(&framing, &Any(check), &[wire.as_slice(), &wire].concat());
        let content = match wire.last() {
            Some(0x77 | 0x16) if settings.contains("end") => &wire[..wire.len() - 1],
            _ => &wire,
        };
        let data = frame(&content[..content.len() - check]);
        assert_eq!(got, [data.clone(), data], "{settings}");
    }
}

/// JK-BMS (NW protocol): the length counts all but the marker.
#[test]
fn a_false_start_swallows_nothing() {
    let framing = length("start = [0x4e, 0x57], width = 2, counts = 'all', adjust = 2, max = 300");
    let sum = Sum { from: 0, width: 2 };
    let good = encode(&framing, &sum, b"NW\x00\x0agood!!").unwrap();
    for (garbage, why) in [
        (&b"NW\xff\xff"[..], Damage::TooLong),
        (b"NW\x00\x01", Damage::TooShort),
        (b"NW\x00\x09", Damage::Check),
        (b"xNW\x00\x09", Damage::Check),
        (b"NNW\x00\x50", Damage::Stale),
        (b"\x00\x01N", Damage::Noise),
    ] {
        let wire = [garbage, &good].concat();
        assert_eq!(
            decode(&framing, &sum, &wire),
            [damaged(why, garbage), frame(&good[..10])]
        );
    }
}

#[test]
fn without_a_hold_a_half_frame_is_dropped_as_a_whole() {
    let framing = length("");
    assert_eq!(
        decode(&framing, &(), b"\x09\x01a\x01b"),
        [damaged(Damage::Stale, b"\x09\x01a\x01b")]
    );
}

#[test]
fn the_header_is_built_or_checked() {
    let built = length("start = '#', width = 2, strip = true");
    assert_eq!(
        encode(&built, &Sum { from: 0, width: 1 }, b"ab"),
        Ok(b"#\x00\x03ab\xe9".to_vec())
    );
    let given = length("start = '#', width = 2, max = 20");
    assert_eq!(encode(&given, &(), b"#\x00\x02ab"), Ok(b"#\x00\x02ab".to_vec()));
    assert_eq!(
        encode(&given, &(), b"#\x00\x03ab"),
        Err(EncodeError::Field { given: 3, right: 2 })
    );
    assert_eq!(encode(&given, &(), b"\x00\x02ab"), Err(EncodeError::Unstarted));
    assert_eq!(encode(&given, &(), b"#"), Err(EncodeError::NoField));
    assert_eq!(
        encode(&given, &(), &[b'#'; 21]),
        Err(EncodeError::TooLong { len: 21, max: 20 })
    );
    let unknown = length("start = '#', offset = 3, strip = true");
    assert!(matches!(
        encode(&unknown, &(), b"ab"),
        Err(EncodeError::Unknown(_))
    ));
    let pairs = length("unit = 2, mask = 0x0f, strip = true");
    assert_eq!(encode(&pairs, &(), b"abcd"), Ok(b"\x02abcd".to_vec()));
    assert_eq!(encode(&pairs, &(), b"abc"), Err(EncodeError::NoField));
    assert_eq!(encode(&pairs, &(), &[0; 32]), Err(EncodeError::NoField));
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let fault = |settings: &str| {
        let config: Config = toml::from_str(settings).map_err(|fault| fault.to_string())?;
        Frame::Length(config)
            .build(CHAR)
            .map(|_| ())
            .map_err(|fault| fault.to_string())
    };
    assert_eq!(fault("start = 'ab'\noffset = 2"), Ok(()));
    for (settings, text) in [
        ("start = 'ab'\noffset = 1", "within the start marker"),
        ("offset = 256", "at most 255"),
        ("mask = 0x100", "leaves no bit"),
        ("width = 2\nheader = 1", "at least 2 bytes"),
        ("header = 10000000", "longer than any frame"),
        ("unit = 0", "at least one byte"),
        ("width = 5", "a width of 1 to 4 bytes"),
        ("ignore = [1]", "only where a start marker"),
    ] {
        let fault = fault(settings).unwrap_err();
        assert!(fault.contains(text), "{fault}");
    }
}

/// A unit of 4 GiB times a length of 4 GiB does not fit into 64 bits.
#[test]
fn a_length_beyond_all_bounds_is_too_long() {
    let framing = length("width = 4, unit = 4294967295, plus = { offset = 4, width = 4 }");
    assert_eq!(
        decode(&framing, &(), &[0xff; 8]),
        [damaged(Damage::TooLong, [0xff; 8])]
    );
}

fn any_config() -> impl Strategy<Value = Config> {
    let few = || {
        proptest::collection::vec(proptest::sample::select(&[0, 1, 2, b'a'][..]), 1..4)
            .prop_map(|bytes| Marker::new(bytes).unwrap())
    };
    let counts = prop_oneof![Just(Counts::All), Just(Counts::After), Just(Counts::Data)];
    let order = prop_oneof![Just(Order::Big), Just(Order::Little)];
    let mask = proptest::option::of(prop_oneof![Just(0x0f), Just(0xf0), Just(0x0fff), any::<u32>()]);
    let options = (
        proptest::option::of(few()),
        proptest::option::of(few()),
        mask,
        any::<[bool; 3]>(),
    );
    (
        options,
        0..3usize,
        1..5u8,
        counts,
        order,
        1..4u32,
        -4..4i32,
        8..40usize,
    )
        .prop_filter_map(
            "settings that go together",
            |((start, end, mask, [invert, strip, plus]), gap, width, counts, order, unit, adjust, max)| {
                let first = start.as_deref().map_or(0, <[u8]>::len);
                let config = Config {
                    offset: Some(first + gap),
                    width: Width::new(width)?,
                    plus: (plus && gap > 0).then_some(Plus {
                        offset: first,
                        width: Width::default(),
                    }),
                    unit: Some(unit),
                    max: Size::new(max)?,
                    start,
                    end,
                    order,
                    mask,
                    invert,
                    counts,
                    adjust,
                    strip,
                    ..Config::default()
                };
                Frame::Length(config.clone()).build(CHAR).ok().map(|_| config)
            },
        )
}

/// Makes data of it that the method can carry, mostly: the header is put right.
fn fit(config: &Config, seal: usize, data: &[u8]) -> Vec<u8> {
    let method = config.build().unwrap();
    if config.strip {
        return data.to_vec();
    }
    let mut out = config.start.as_deref().unwrap_or_default().to_vec();
    out.resize(method.header, 0);
    out.extend_from_slice(data);
    let len = (out.len() + seal + method.end.len()) as i64 - method.base(seal);
    let mut field = Vec::new();
    let zero = method
        .config
        .plus
        .as_ref()
        .map_or(Some(0), |plus| method.read(&out, plus.offset, plus.width))
        .unwrap();
    if len >= 0
        && method
            .write(len / i64::from(method.unit()) - zero, &mut field)
            .is_ok()
    {
        out[method.offset..method.offset + field.len()].copy_from_slice(&field);
    }
    out
}

proptest! {
    #[test]
    fn cutting(config in any_config(), bytes in bytes(&[0, 1, 2, 5, b'a'], 200), cuts in cuts()) {
        let framing = Frame::Length(config).build(CHAR).unwrap();
        cuts_do_not_matter(&framing, &(), &bytes, &cuts, 40);
        cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, 40);
    }

    #[test]
    fn identity(config in any_config(), data in bytes(&[0, 1, 2, b'a'], 20)) {
        let framing = Frame::Length(config.clone()).build(CHAR).unwrap();
        sent_is_received(&framing, &(), &fit(&config, 0, &data));
        sent_is_received(&framing, &Hash, &fit(&config, 4, &data));
    }

    #[test]
    fn most_data_can_be_sent(data in bytes(&[0, 1, 2, b'a'], 20), strip: bool, width in 1..5u8) {
        let config = Config { strip, width: Width::new(width).unwrap(), start: Marker::new(*b"ab"), ..Config::default() };
        let framing = Frame::Length(config.clone()).build(CHAR).unwrap();
        prop_assert!(sent_is_received(&framing, &Hash, &fit(&config, 4, &data)).is_some());
    }

    #[test]
    fn garbage(config in any_config(), mut stream in stream(&[0, 1, 2, b'a'])) {
        for (_, data) in &mut stream {
            *data = fit(&config, 4, data);
        }
        garbage_costs_no_frame(&Frame::Length(config).build(CHAR).unwrap(), &stream);
    }
}
