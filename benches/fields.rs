//! What describing a device costs: a frame of 32 bytes into 12 values and their messages, by a profile and by
//! Rust written for that very frame.
//!
//! `cargo bench --bench fields`. The profile is to take at most three times as long, and no longer with a hundred
//! profiles loaded than with one.

use criterion::{Criterion, criterion_group, criterion_main};
use mqttyd::broker::Message;
use mqttyd::config::{Config, device};
use mqttyd::field::record::Record;
use mqttyd::port::replay::Replay;
use mqttyd::profile::{Outcome, Profile};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::SystemTime;

const WIRE: [u8; 32] = [
    0x42, 0x4d, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x08, 0x00, 0x08, 0x00, 0x00, 0x00, 0x08, 0x00, 0x08, 0x00,
    0xd2, 0x00, 0x46, 0x00, 0x2d, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x97, 0x00, 0x02, 0xc5,
];

const NAMES: [&str; 12] = [
    "raw01", "raw25", "raw10", "pm01", "pm25", "pm10", "n0_3", "n0_5", "n1_0", "n2_5", "n5_0", "n10_0",
];

fn profile() -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/devices/plantower-pms5003.toml");
    device::read(&path).expect("the profile is good").profile
}

/// Topic and payload of each value that is not hidden.
fn messages(record: &Record) -> Vec<(String, String)> {
    let mut messages = Vec::with_capacity(12);
    for entry in record
        .iter()
        .filter(|entry| !entry.info.hidden && entry.good().is_some())
    {
        let mut topic = String::with_capacity(24);
        topic.push_str("home/air/");
        topic.push_str(&entry.info.name);
        let mut payload = String::with_capacity(8);
        entry.write(&mut payload);
        messages.push((topic, payload));
    }
    messages
}

fn by_profile(profile: &Profile, data: &[u8]) -> Vec<(String, String)> {
    match profile.read(0, data, None) {
        Outcome::Values(record) => messages(&record),
        other => panic!("{other:?}"),
    }
}

/// A port with one entry, `home/{{ port }}/{{ field }}`.
fn port() -> Replay {
    let text = "[[port]]\nname = 'air'\npath = '/dev/null'\ndevice = 'plantower-pms5003'\n\
        [[port.publish]]\ntopic = 'home/{{ port }}/{{ field }}'\n";
    let name = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bench.toml");
    let read = Config::parse(text, &name.display().to_string()).expect("the configuration is good");
    Replay::new(&read.config.port[0], SystemTime::UNIX_EPOCH).expect("the port is good")
}

/// The messages as the gateway makes them.
fn by_port(profile: &Profile, port: &mut Replay, data: &[u8]) -> Vec<Message> {
    let mut messages = Vec::with_capacity(12);
    if let Outcome::Values(record) = profile.read(0, data, None) {
        port.values(SystemTime::UNIX_EPOCH, data, &record, &mut |message| {
            messages.push(message)
        });
    }
    messages
}

/// The same, written for this frame alone.
fn by_hand(data: &[u8]) -> Option<Vec<(String, String)>> {
    let word = |at: usize| Some(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?]));
    if word(2)? != 28 {
        return None;
    }
    let mut messages = Vec::with_capacity(12);
    for (n, name) in NAMES.into_iter().enumerate() {
        let value = word(4 + 2 * n)?;
        let mut topic = String::with_capacity(24);
        topic.push_str("home/air/");
        topic.push_str(name);
        let mut payload = String::with_capacity(8);
        match n {
            0..6 => write!(payload, "{value}"),
            _ => write!(payload, "{:.2}", f64::from(value) / 100.0),
        }
        .ok()?;
        messages.push((topic, payload));
    }
    Some(messages)
}

fn decode(criterion: &mut Criterion) {
    let one = profile();
    let data = &WIRE[..30];
    assert_eq!(Some(by_profile(&one, data)), by_hand(data));
    let sent = by_port(&one, &mut port(), data);
    let sent = sent.iter().map(|message| {
        (
            message.topic.to_string(),
            String::from_utf8_lossy(&message.payload).into_owned(),
        )
    });
    assert_eq!(Some(sent.collect::<Vec<_>>()), by_hand(data));
    let mut group = criterion.benchmark_group("32 bytes into 12 messages");
    group.bench_function("by hand", |bencher| bencher.iter(|| by_hand(black_box(data))));
    group.bench_function("by a profile", |bencher| {
        bencher.iter(|| by_profile(&one, black_box(data)))
    });
    let many: Vec<Profile> = (0..100).map(|_| profile()).collect();
    group.bench_function("by one of 100 profiles", |bencher| {
        bencher.iter(|| by_profile(&many[50], black_box(data)));
    });
    let mut port = port();
    group.bench_function("by a port's entry", |bencher| {
        bencher.iter(|| by_port(&one, &mut port, black_box(data)));
    });
    group.bench_function("values only", |bencher| {
        bencher.iter(|| one.read(0, black_box(data), None))
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
