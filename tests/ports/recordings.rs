//! What real devices said, end to end. `tests/corpus` holds the bytes and what others say that they mean.

use crate::support::{Client, Daemon, Device};
use std::path::Path;
use std::time::Duration;

/// A recording and its facts.
struct Recording {
    bytes: Vec<u8>,
    facts: toml::Table,
}

impl Recording {
    fn read(name: &str) -> Recording {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let read =
            |file: &str| std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let text = String::from_utf8(read(&format!("{name}.toml"))).expect("facts in UTF-8");
        Recording {
            bytes: read(&format!("{name}.bin")),
            facts: text.parse().expect("facts in TOML"),
        }
    }

    /// A number that was counted by hand.
    fn counted(&self, what: &str) -> usize {
        self.facts["counted"][what].as_integer().expect("a number") as usize
    }

    /// Values that the source of the recording gives.
    fn stated(&self, what: &str) -> Vec<f64> {
        let values = self.facts["stated"][what].as_array().expect("a list");
        values
            .iter()
            .map(|value| value.as_float().expect("a number"))
            .collect()
    }
}

/// A gateway on a device that speaks as `how` says.
fn gateway(device: &Device, how: &str) -> (Daemon, Client) {
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'device'\npath = {:?}\n{how}\n[[port.publish]]\ntopic = 'device/raw'\nqos = 1",
        device.path(),
    ));
    let mut client = daemon.client("reader");
    client.subscribe("device/raw", 1);
    (daemon, client)
}

/// Plays the recording in pieces that end anywhere, and gives the frames that are published of it.
fn replay(recording: &Recording, how: &str, frames: usize) -> Vec<Vec<u8>> {
    let device = Device::new();
    let (_daemon, mut client) = gateway(&device, how);
    for (n, piece) in recording.bytes.chunks(61).enumerate() {
        let (first, second) = piece.split_at(n % piece.len());
        device.send(first);
        device.send(second);
    }
    let published = (0..frames).map(|_| client.next().payload).collect();
    device.send(b"\r\n");
    assert_eq!(
        client.next_within(Duration::from_millis(50)),
        None,
        "more than what is good"
    );
    published
}

/// A header, a length that counts what follows it, and a sum over all.
const PMS5003: &str = r#"
    frame = { length = { start = [0x42, 0x4d], width = 2, max = 32 } }
    check = "sum16"
"#;

#[test]
fn a_dust_sensor_with_a_header_and_a_sum() {
    let recording = Recording::read("plantower-pms5003-capture");
    let frames = replay(&recording, PMS5003, recording.counted("good"));
    let word = |at: usize| -> Vec<f64> {
        let word = |frame: &Vec<u8>| f64::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        frames.iter().map(word).collect()
    };
    assert_eq!(word(12), recording.stated("pm25"));
    assert_eq!(word(14), recording.stated("pm10"));
}

#[test]
fn a_dust_sensor_with_byte_stuffing() {
    let recording = Recording::read("sensirion-sps30-capture");
    let how = "frame = 'hdlc'\ncheck = 'sum8-complemented'";
    let frames = replay(&recording, how, recording.counted("good"));
    // Address, command, state and length stand before ten big-endian floats: PM 1, PM 2.5 ...
    let pm25 = |frame: &Vec<u8>| {
        let bytes = frame[8..12].try_into().expect("four bytes");
        (f64::from(f32::from_be_bytes(bytes)) * 10.0).round() / 10.0
    };
    assert_eq!(
        frames.iter().map(pm25).collect::<Vec<_>>(),
        recording.stated("pm25")
    );
}

#[test]
fn a_pool_controller_with_dle_and_a_bus_full_of_others() {
    let recording = Recording::read("aqualogic-idle");
    let how = r#"
        frame = { start-end = { start = [0x10, 2], end = [0x10, 3], strip = false, escape = { stuff = { mark = [0x10], with = [0] } } } }
        check = "sum16"
    "#;
    let frames = replay(&recording, how, recording.counted("good_frames"));
    let shows = |frame: &Vec<u8>| frame[2..].starts_with(&[1, 3]) && frame[4..].starts_with(b"Air Temp");
    assert!(frames.iter().any(shows), "no display of the air's temperature");
}

/// Two protocols on one line: each is read by a gateway of its own, and is noise to the other.
#[test]
fn a_gnss_receiver_that_speaks_binary_and_text() {
    let recording = Recording::read("gnss-mixed-nmea-ubx-long");
    let ubx = r#"
        frame = { length = { start = [0xb5, 0x62], offset = 4, width = 2, order = "little", counts = "data", header = 6 } }
        check = { algorithm = "fletcher8", covers = { from = 2 } }
    "#;
    replay(&recording, ubx, recording.counted("ubx"));
    let nmea = r#"
        frame = { start-end = { start = "$", end = "\r\n", max = 100 } }
        check = { algorithm = "xor8", encoding = "hex", prefix = "*", covers = { from = 1 } }
    "#;
    let sentences = replay(&recording, nmea, recording.counted("nmea"));
    assert!(
        sentences.iter().all(|sentence| sentence.starts_with(b"G")),
        "{sentences:?}"
    );
}

#[test]
fn a_dust_sensor_whose_frames_are_damaged_and_come_byte_by_byte() {
    let recording = Recording::read("plantower-pms5003-capture");
    let device = Device::new();
    let (daemon, mut client) = gateway(&device, PMS5003);
    let mut frames: Vec<Vec<u8>> = recording.bytes.chunks(32).map(<[u8]>::to_vec).collect();
    // The middle of a frame first, one that is flipped, one that is cut.
    let mut wire = frames[9][20..].to_vec();
    frames[1][12] ^= 0x10;
    frames[3].truncate(11);
    wire.extend(frames.concat());
    device.dribble(&wire, Duration::from_micros(500));
    for n in [0, 2, 4, 5, 6, 7, 8, 9] {
        let frame = client.next().payload;
        assert!(
            recording.bytes[n * 32..].starts_with(&frame),
            "frame {n} is {frame:02x?}"
        );
    }
    let warned = daemon.log().count(&["warn", "damaged"]);
    assert_eq!(warned, 3, "once for each run of damage:\n{}", daemon.log().text());
}
