//! Registers of a profile against devices that others have made: every table, type, order and function.

use crate::support::{Device, Peer};
use mqttyd::config::device;
use mqttyd::frame::Item;
use mqttyd::profile::{Outcome, Profile};
use std::time::Instant;

/// What the slaves of `tests/peers` hold.
const PROFILE: &str = r#"
fields = [
  { name = "word", input = 0 },
  { name = "signed", input = 1, type = "i16" },
  { name = "long", input = 2, type = "u32" },
  { name = "signed-long", input = 4, type = "i32" },
  { name = "very-long", input = 6, type = "i64" },
  { name = "abcd", input = 10, type = "f32" },
  { name = "cdab", input = 12, type = "f32", order = "word-swapped" },
  { name = "badc", input = 14, type = "f32", order = "byte-swapped" },
  { name = "dcba", input = 16, type = "f32", order = "little" },
  { name = "double", input = 18, type = "f64" },
  { name = "name", register = 30023, type = "text", length = 8 },
  { name = "nibble", input = 26, bits = [4, 7] },
  { name = "top", input = 26, bit = 15 },
  { name = "flags", input = 27, flags = { ready = 0, fault = 9 } },
  { name = "scaled", input = 0, scale = 0.1, unit = "V" },
  { name = "doors", discrete = 0, repeat = 19 },
  { name = "lamp", coil = 3, writable = true },
  { name = "pump", coil = 4, writable = true, function = 15 },
  { name = "level", holding = 5, type = "i16", scale = 0.1, writable = true, range = [-100, 100] },
  { name = "total", holding = 7, type = "u32", order = "word-swapped", writable = true },
  { name = "pi", holding = 9, type = "f32", writable = true, function = 16 },
  { name = "fan", holding = 11, bits = [4, 7], writable = true, function = 22 },
  { name = "one", holding = 12, writable = true, function = 16 },
  { name = "label", holding = 20, type = "text", length = 6, writable = true },
]
"#;

/// A slave at work, and the profile by which it is asked.
struct Line {
    device: Device,
    profile: Profile,
}

impl Line {
    /// What a command is answered with.
    fn ask(&self, command: &str, parameters: &str) -> String {
        let command = self.profile.command(command).expect("a command");
        let payload = format!("{{\"address\": 17, {parameters}}}");
        let request = command.frame(payload.as_bytes()).expect("parameters that fit");
        self.device.send(&request);
        let (mut decoder, guard) = (self.profile.framing().decoder(), self.profile.guard());
        // Byte by byte: the last one must be enough.
        loop {
            decoder.extend(&self.device.receive(1), Instant::now());
            match decoder.next(guard) {
                None => {}
                Some(Item::Frame(data)) => return told(&self.profile.read(0, data, Some(&request))),
                Some(damaged) => panic!("{damaged:02x?}"),
            }
        }
    }

    /// What function and data in hexadecimal digits are answered with.
    fn raw(&self, function: u8, data: &str) -> String {
        self.ask("raw", &format!("\"function\": {function}, \"data\": \"{data}\""))
    }
}

fn told(outcome: &Outcome) -> String {
    let (word, record) = match outcome {
        Outcome::Values(record) => ("", record),
        Outcome::Error(record) => ("error ", record),
        Outcome::Ack(record) => ("ack ", record),
        other => return format!("{other:?}"),
    };
    let mut out = word.to_owned();
    record.write_json(&mut out);
    out
}

/// Runs a test against the slave of `peer`, if there is one here.
fn with(peer: Peer, test: impl FnOnce(&Line)) {
    let framing = match peer {
        Peer::PymodbusAscii => "frame = 'modbus-ascii'",
        Peer::Pymodbus | Peer::Libmodbus => "",
    };
    let text = format!("{framing}\n{PROFILE}");
    let profile = device::parse(&text, "slave").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let line = Line {
        device: Device::new(),
        profile: profile.profile,
    };
    let Some(_slave) = peer.start("slave", line.device.path()) else {
        return;
    };
    test(&line);
}

fn everything(line: &Line) {
    reads(line);
    writes(line);
    refusals(line);
}

fn reads(line: &Line) {
    let all = line.raw(4, "0000001c");
    for value in [
        r#""word":1234"#,
        r#""signed":-1234"#,
        r#""long":305419896"#,
        r#""signed-long":-305419896"#,
        r#""very-long":-81985529216486895"#,
        r#""abcd":3.1415927"#,
        r#""cdab":3.1415927"#,
        r#""badc":3.1415927"#,
        r#""dcba":3.1415927"#,
        r#""double":2.718281828459045"#,
        r#""name":"METER-17""#,
        r#""nibble":5"#,
        r#""top":true"#,
        r#""flags":{"ready":true,"fault":true}"#,
        r#""scaled":123.4"#,
    ] {
        assert!(all.contains(value), "{value} in {all}");
    }
    assert_eq!(line.raw(4, "00040002"), r#"{"signed-long":-305419896}"#);
    let doors = (0..19)
        .map(|n| (n * n / 3 % 2 == 1).to_string())
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(line.raw(2, "00000013"), format!(r#"{{"doors":[{doors}]}}"#));
    assert_eq!(line.raw(1, "00030002"), r#"{"lamp":true,"pump":true}"#);
}

fn writes(line: &Line) {
    let written =
        |function: u8, register: u16| format!(r#"ack {{"function":{function},"register":{register}}}"#);
    assert_eq!(line.ask("lamp", r#""lamp": false"#), written(5, 3));
    assert_eq!(line.ask("pump", r#""pump": false"#), written(15, 4));
    assert_eq!(line.raw(1, "00030002"), r#"{"lamp":false,"pump":false}"#);
    assert_eq!(line.ask("lamp", r#""lamp": true"#), written(5, 3));
    assert_eq!(line.ask("level", r#""level": -12.3"#), written(6, 5));
    assert_eq!(line.ask("total", r#""total": 305419896"#), written(16, 7));
    assert_eq!(line.ask("pi", r#""pi": 3.1415927"#), written(16, 9));
    assert_eq!(line.ask("one", r#""one": 61712"#), written(16, 12));
    assert_eq!(line.ask("label", r#""label": "pump-1""#), written(16, 20));
    assert_eq!(line.raw(6, "000bf00f"), written(6, 11));
    assert_eq!(line.ask("fan", r#""fan": 9"#), written(22, 11));
    assert_eq!(
        line.raw(3, "00050008"),
        r#"{"level":-12.3,"total":305419896,"pi":3.1415927,"fan":9,"one":61712}"#
    );
    assert_eq!(line.raw(3, "00140003"), r#"{"label":"pump-1"}"#);
    // Register 11 as a whole: mask write has left the other bits alone.
    assert_eq!(line.raw(6, "000cf09f"), written(6, 12));
    let both = line.ask(
        "read-write",
        r#""read": 12, "count": 1, "write": 12, "values": [4660]"#,
    );
    assert_eq!(both, r#"{"one":4660}"#);
}

fn refusals(line: &Line) {
    let refused = |function: u8, why: &str| format!(r#"error {{"function":{function},"exception":"{why}"}}"#);
    assert_eq!(line.raw(4, "01000001"), refused(4, "illegal data address"));
    assert_eq!(line.raw(6, "01000001"), refused(6, "illegal data address"));
}

#[test]
fn libmodbus() {
    with(Peer::Libmodbus, |line| {
        everything(line);
        // Its own word: 180, running, its name.
        let word = line.raw(0x11, "");
        assert!(
            word.starts_with(r#"ack {"function":17,"data":"0ab4ff4c4d42"#),
            "{word}"
        );
    });
}

#[test]
fn pymodbus() {
    with(Peer::Pymodbus, |line| {
        everything(line);
        for (function, data, answer) in [
            (0x07, "", "00"),
            (0x08, "0000a537", "0000a537"),
            (0x0b, "", "00000000"),
            (0x11, "", "0950796d6f64627573ff"),
            (0x18, "0005", "000a00040000000100020003"),
            (0x2b, "0e0100", "0e0183000000"),
        ] {
            let answer = format!(r#"ack {{"function":{function},"data":"{answer}"}}"#);
            assert_eq!(line.raw(function, data), answer);
        }
        let log = line.raw(0x0c, "");
        assert!(log.starts_with(r#"ack {"function":12,"data":"06"#), "{log}");
    });
}

#[test]
fn pymodbus_in_ascii() {
    with(Peer::PymodbusAscii, everything);
}
