//! Properties that every check keeps, and the mistakes that a configuration can hold.

use super::*;
use crate::octets::Octets;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize, Debug)]
struct Held {
    check: Config,
}

pub(super) fn read(check: &str) -> Config {
    toml::from_str::<Held>(&format!("check = {check}")).unwrap().check
}

fn build(check: &str) -> Check {
    read(check).build().unwrap()
}

/// No single bit of what is covered, or of the check itself, can change unseen; except where the algorithm
/// does not look at it, and the case of hexadecimal digits.
pub(super) fn flips(check: &Check, frame: &[u8], name: &str) {
    let at = check.place(frame).unwrap();
    let block = at..at + check.len();
    let from = offset(check.config.covers.from, frame.len()).unwrap();
    let to = check
        .config
        .covers
        .to
        .map_or(frame.len(), |to| offset(to, frame.len()).unwrap());
    let seen = match check.config.algorithm.name() {
        "teleinfo" => 0x3f,
        name if name.starts_with("sum7") => 0x7f,
        _ => 0xff,
    };
    let mut damaged = frame.to_vec();
    for byte in 0..frame.len() {
        let inside = block.contains(&byte);
        for bit in (0..8).filter(|bit| inside || (from..to).contains(&byte) && seen >> bit & 1 == 1) {
            damaged[byte] ^= 1 << bit;
            let digit = matches!(check.config.encoding, Encoding::Hex | Encoding::HexLower) && inside
                || check.config.covers.hex && !inside;
            let same = digit && damaged[byte].eq_ignore_ascii_case(&frame[byte]);
            assert!(
                same || check.open(&damaged).is_none(),
                "{name}: byte {byte} bit {bit}"
            );
            damaged[byte] = frame[byte];
        }
    }
}

#[test]
fn nmea_lines_may_come_without_a_check() {
    let line = b"$IIMWV,271.0,R,000.2,N,A";
    let check = build(
        r#"{ algorithm = "xor8", encoding = "hex", prefix = "*", covers = { from = 1 }, optional = true }"#,
    );
    assert_eq!(check.open(line), Some(0..line.len()));
    assert_eq!(check.open(b"$"), Some(0..1));
    let mut whole = line.to_vec();
    check.close(&mut whole, 0);
    assert_eq!(whole, b"$IIMWV,271.0,R,000.2,N,A*3B");
    assert_eq!(check.open(b"$IIMWV,271.0,R,000.2,N,A*3b"), Some(0..line.len()));
    assert_eq!(check.open(b"$IIMWV,271.0,R,000.2,N,A*3C"), None);
}

#[test]
fn the_order_is_the_algorithms_custom_and_digits_are_a_number() {
    let close = |check: &str| {
        let mut content = b"123456789".to_vec();
        build(check).close(&mut content, 0);
        content.split_off(9)
    };
    assert_eq!(close("\"CRC-16/MODBUS\""), [0x37, 0x4b]);
    assert_eq!(close("\"CRC-16/XMODEM\""), [0x31, 0xc3]);
    assert_eq!(
        close(r#"{ algorithm = "CRC-16/MODBUS", order = "big" }"#),
        [0x4b, 0x37]
    );
    assert_eq!(
        close(r#"{ algorithm = "CRC-16/MODBUS", encoding = "hex" }"#),
        b"4B37"
    );
    assert_eq!(
        close(r#"{ algorithm = "CRC-16/MODBUS", encoding = "hex-lower", order = "little" }"#),
        b"374b"
    );
    assert_eq!(close("\"CRC-24/OPENPGP\""), [0x21, 0xcf, 0x02]);
    assert_eq!(close("\"CRC-12/UMTS\""), [0x0d, 0xaf]);
    assert_eq!(
        close(r#"{ algorithm = "CRC-82/DARC", encoding = "hex" }"#),
        b"009EA83F625023801FD612"
    );
}

#[test]
fn digits_may_lack_their_zeros_before_the_lines_end() {
    let check = build(r#"{ algorithm = "sum16", encoding = "hex" }"#);
    assert_eq!(check.open(b"A0041"), Some(0..1));
    assert_eq!(check.open(b"A41\r\n"), Some(0..1));
    assert_eq!(check.open(b"A04\r\n"), None);
    assert_eq!(check.open(b"A1041\r"), None);
    assert_eq!(check.open(b"\0\r\n\r\n"), None);
}

#[test]
fn a_check_may_stand_first_or_inside() {
    let first = build(r#"{ algorithm = "sum8", at = 0, prefix = "<", suffix = ">" }"#);
    let mut content = b"head".to_vec();
    content.extend_from_slice(&[1, 2, 3]);
    first.close(&mut content, 4);
    assert_eq!(content, b"head<\x06>\x01\x02\x03");
    assert_eq!(first.open(&content[4..]), Some(3..6));

    let inside = build(r#"{ algorithm = "sum8", at = 2 }"#);
    let mut content = vec![0x55, 3, 10, 20, 30];
    inside.close(&mut content, 0);
    assert_eq!(content, [0x55, 3, 0x94, 10, 20, 30]);
    assert_eq!(inside.open(&content), Some(3..6));

    let kept = build(r#"{ algorithm = "sum8", at = -2, keep = true, covers = { from = 1, to = -2 } }"#);
    let mut content = vec![0x55, 3, 4, 0x0d];
    kept.close(&mut content, 0);
    assert_eq!(content, [0x55, 3, 4, 7, 0x0d]);
    assert_eq!(kept.open(&content), Some(0..5));
}

#[test]
fn what_it_covers_may_count_from_either_end() {
    let check = build(r#"{ algorithm = "sum8", covers = { from = -3, to = -1 } }"#);
    assert_eq!(check.open(&[9, 9, 1, 2, 3]), Some(0..4));
    assert_eq!(check.open(&[2, 2]), None, "shorter than what it covers");
    let check = build(r#"{ algorithm = "sum8", covers = { from = 1, to = 3 } }"#);
    assert_eq!(check.open(&[9, 1, 2, 9, 3]), Some(0..4));
    assert_eq!(check.open(&[9, 1]), None, "shorter than what it covers");
}

#[test]
fn a_mistake_says_what_and_where() {
    for (check, at, says) in [
        (
            "\"CRC-16/MODBUSS\"",
            "\"CRC-16/MODBUSS\"",
            "near it: CRC-16/MODBUS",
        ),
        ("{ algorithm = \"xor9\" }", "\"xor9\"", "near it: xor8"),
        (
            "{ algorithm = \"sum8\", ordre = \"big\" }",
            "ordre",
            "unknown field `ordre`",
        ),
        (
            "{ algorithm = \"sum8\", order = \"bag\" }",
            "\"bag\"",
            "unknown variant `bag`",
        ),
        (
            "{ algorithm = \"sum8\", covers = { form = 1 } }",
            "form",
            "unknown field `form`",
        ),
        (
            "{ order = \"big\" }",
            "{ order = \"big\" }",
            "missing field `algorithm`",
        ),
        ("7", "7", "expected the name of a checksum algorithm"),
    ] {
        let text = format!("check = {check}");
        let fault = toml::from_str::<Held>(&text).unwrap_err();
        assert!(fault.message().contains(says), "{fault}");
        assert_eq!(&text[fault.span().unwrap()], at, "{fault}");
    }
    for (check, says) in [
        (
            r#"{ algorithm = "sum8", encoding = "sdi-12" }"#,
            "is for checks of 16 bits, and sum8 has 8",
        ),
        (
            r#"{ algorithm = "sum16", at = -1 }"#,
            "the check takes 2 bytes and does not fit",
        ),
        (
            r#"{ algorithm = "sum16", at = -3 }"#,
            "1 more bytes follow the check",
        ),
        (r#"{ algorithm = "sum8", optional = true }"#, "needs a `prefix`"),
        (
            r#"{ algorithm = "sum8", covers = { from = -1, to = -4 } }"#,
            "holds nothing",
        ),
    ] {
        let fault = read(check).build().unwrap_err().to_string();
        assert!(fault.contains(says), "{fault}");
    }
}

#[test]
fn the_schema_takes_a_name_or_a_table() {
    let schema = schemars::schema_for!(Config).to_value();
    let kinds = schema["anyOf"].as_array().unwrap();
    assert!(kinds[0].to_string().contains("CRC-16/MODBUS"));
    assert!(kinds[1]["properties"]["covers"].is_object(), "{schema}");
}

fn any_config() -> impl Strategy<Value = Config> {
    let names: Vec<_> = Algorithm::all().collect();
    let encodings = [
        Encoding::Binary,
        Encoding::Hex,
        Encoding::HexLower,
        Encoding::Sdi12,
        Encoding::Pi30,
    ];
    let orders = prop_oneof![Just(None), Just(Some(Order::Big)), Just(Some(Order::Little))];
    let octets = || prop::collection::vec(any::<u8>(), 0..3).prop_map(Octets::from);
    let end = prop_oneof![Just(None), (-6i32..12).prop_map(Some)];
    (
        prop::sample::select(names),
        orders,
        prop::sample::select(encodings.to_vec()),
        (octets(), octets()),
        prop_oneof![Just(None), (-8i32..8).prop_map(Some)],
        (-4i32..4, end, any::<bool>()),
        any::<(bool, bool)>(),
    )
        .prop_map(
            |(algorithm, order, encoding, (prefix, suffix), at, (from, to, hex), (keep, optional))| {
                let covers = Covers { from, to, hex };
                Config {
                    algorithm,
                    order,
                    encoding,
                    prefix,
                    suffix,
                    at,
                    covers,
                    keep,
                    optional,
                    each: None,
                }
            },
        )
}

/// The check alone at the end or the start, over everything: for every algorithm, order and encoding.
fn plain_config() -> impl Strategy<Value = Config> {
    (any_config(), any::<bool>()).prop_map(|(config, first)| Config {
        encoding: if config.algorithm.bits() == 16 || config.encoding != Encoding::Sdi12 {
            config.encoding
        } else {
            Encoding::Binary
        },
        at: first.then_some(0),
        covers: Covers::default(),
        keep: false,
        optional: false,
        each: None,
        ..config
    })
}

proptest! {
    #[test]
    fn close_then_open_is_identity(
        config in plain_config(), data in prop::collection::vec(any::<u8>(), 0..40), start in 0usize..4,
    ) {
        let check = config.build().unwrap();
        let mut content = vec![0xee; start];
        content.extend_from_slice(&data);
        check.close(&mut content, start);
        prop_assert_eq!(content.len(), start + data.len() + check.len());
        prop_assert_eq!(&content[..start], &vec![0xee; start][..]);
        let range = check.open(&content[start..]);
        prop_assert!(range.is_some());
        prop_assert_eq!(&content[start..][range.unwrap()], &data[..]);
    }

    #[test]
    fn a_flipped_bit_is_found(config in plain_config(), data in prop::collection::vec(any::<u8>(), 0..24)) {
        let check = config.build().unwrap();
        let mut content = data;
        check.close(&mut content, 0);
        // Pi30 writes two values alike: nothing can tell them apart.
        if config.encoding != Encoding::Pi30 {
            flips(&check, &content, config.algorithm.name());
        }
    }

    #[test]
    fn nothing_panics_and_the_length_is_kept(
        config in any_config(), content in prop::collection::vec(any::<u8>(), 0..24), start in 0usize..30,
    ) {
        if let Ok(check) = config.build() {
            if let Some(data) = check.open(&content) {
                prop_assert!(content.get(data).is_some());
            }
            let mut out = content.clone();
            check.close(&mut out, start);
            prop_assert_eq!(out.len(), content.len() + check.len());
            let _ = check.open(&out);
        }
    }
}
