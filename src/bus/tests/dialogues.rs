//! The devices of the corpus, asked by the polls of their profiles: the frames of their cases, byte for byte.

use super::super::{Bus, Device, Happened, Heard, Next, Own};
use crate::config::device;
use crate::profile::asked::Address;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use toml::{Table, Value};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What `NAME.names.toml` says of how a device is asked, beside the names of its values.
fn beside(name: &str) -> Table {
    let text = std::fs::read_to_string(root().join(format!("tests/corpus-devices/{name}.names.toml")));
    text.unwrap_or_default().parse().unwrap()
}

/// The addresses that the cases of a device are for.
fn addresses(beside: &Table) -> Vec<Option<Address>> {
    let all = beside
        .get("bus")
        .map(|bus| bus["addresses"].as_array().unwrap().as_slice());
    let address = |value: &Value| match value {
        Value::Integer(n) => Some(Address::Number(*n as u64)),
        value => Some(Address::Text(value.as_str().unwrap().to_owned())),
    };
    all.map_or_else(|| vec![None], |all| all.iter().map(address).collect())
}

/// The replies that begin a dialogue and that no case has.
fn opening(beside: &Table) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let all = beside
        .get("opening")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    all.map(|(sent, reply)| (crate::profile::hex(sent).unwrap(), hex(reply).unwrap()))
}

fn hex(value: &Value) -> Option<Vec<u8>> {
    crate::profile::hex(value.as_str()?)
}

/// What came of a dialogue.
#[derive(Default)]
struct Played {
    written: Vec<Vec<u8>>,
    records: Vec<String>,
    faults: Vec<String>,
}

/// Plays one poll of a device against replies by request: the last of them again and again.
fn play(mut device: Device, poll: usize, replies: &mut BTreeMap<Vec<u8>, Vec<Vec<u8>>>) -> Played {
    let char_time = Duration::from_micros(1042);
    for (number, other) in device.polls.iter_mut().enumerate() {
        other.every = Duration::from_secs(if number == poll { 3600 } else { 360_000 });
        if number == poll {
            other.retries = 0;
        }
    }
    let only = device.polls.remove(poll);
    device.polls = vec![only];
    let mut now = Instant::now();
    let end = now + Duration::from_secs(900);
    let mut bus = Bus::new(vec![device], Vec::new(), 9600, char_time, now);
    let mut played = Played::default();
    let mut coming: Vec<(Instant, Vec<u8>)> = Vec::new();
    let mut done = false;
    while now < end && !done {
        match bus.next(now, true) {
            Next::Write(bytes, _) => {
                let bytes = bytes.to_vec();
                bus.wrote(bytes.len(), now);
                let reply = replies.get_mut(&bytes).and_then(|replies| match replies.len() {
                    0 => None,
                    1 => replies.first().cloned(),
                    _ => Some(replies.remove(0)),
                });
                if let Some(reply) = reply.filter(|reply| !reply.is_empty()) {
                    let wire = now + char_time * bytes.len() as u32 + Duration::from_millis(20);
                    coming.push((wire + char_time * reply.len() as u32, reply));
                }
                played.written.push(bytes);
                continue;
            }
            Next::Baud(_) => continue,
            Next::Idle => {}
        }
        while let Some(happened) = bus.happened() {
            match happened {
                Happened::Values { record, .. } => {
                    let mut json = String::new();
                    record.write_json(&mut json);
                    played.records.push(json);
                }
                Happened::Unread { why, .. } => {
                    played.faults.push(why.name().to_owned());
                    done = true;
                }
                Happened::Read { .. } => done = true,
                Happened::Heard {
                    as_: Heard::Damaged(why),
                    ..
                } => played.faults.push(why.to_owned()),
                _ => {}
            }
        }
        let next = bus
            .deadline(now, true)
            .into_iter()
            .chain(coming.first().map(|(at, _)| *at))
            .min();
        now = next.unwrap_or(end).max(now);
        if coming.first().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = coming.remove(0);
            bus.received(&bytes, now);
        }
        bus.time(now);
    }
    played
}

/// The steps of a case: what is sent, and what comes.
fn steps(case: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let steps = case.get("steps").and_then(Value::as_array).into_iter().flatten();
    steps
        .filter_map(|step| Some((hex(step.get("send_hex")?)?, hex(step.get("recv_hex")?)?)))
        .collect()
}

#[test]
fn the_polls_of_the_corpus_run_as_dialogues() {
    let char_time = Duration::from_micros(1042);
    let (mut count, mut devices, mut failures) = (0, 0, String::new());
    let mut silent = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/corpus-devices")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file
            .strip_suffix(".toml")
            .filter(|name| !name.ends_with(".names"))
        else {
            continue;
        };
        let path = root().join(format!("config/devices/{name}.toml"));
        let Ok(read) = device::read(&path) else { continue };
        if read.config.poll.is_empty() {
            continue;
        }
        let text = std::fs::read_to_string(root().join("tests/corpus-devices").join(&file)).unwrap();
        let table: Table = text.parse().unwrap();
        let cases = table["case"].as_array().unwrap();
        // What opens a session is the same for all cases of a device.
        let beside = beside(name);
        let opening: Vec<(Vec<u8>, Vec<u8>)> = cases.iter().flat_map(steps).chain(opening(&beside)).collect();
        devices += 1;
        for case in cases {
            let id = case["id"].as_str().unwrap();
            let (Some(request), Some(wire)) = (
                case.get("request_hex").and_then(hex),
                case.get("wire_hex").and_then(hex),
            ) else {
                continue;
            };
            let own = steps(case);
            let found = addresses(&beside).into_iter().find_map(|address| {
                let own = Own {
                    name: name.into(),
                    address,
                    ..Own::default()
                };
                let made = Device::new(&read.config, read.profile.clone(), own, char_time);
                let made = made.unwrap_or_else(|why| panic!("{name}: {why:?}"));
                let asks =
                    |poll: &super::super::device::Poll| poll.steps.iter().any(|step| *step.send == *request);
                let poll = made.polls.iter().position(asks)?;
                Some((made, poll))
            });
            let Some((made, poll)) = found else {
                silent.push(format!("{name}/{id}"));
                continue;
            };
            let mut replies: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
            if own.is_empty() {
                for (sent, reply) in &opening {
                    replies.entry(sent.clone()).or_insert_with(|| vec![reply.clone()]);
                }
                replies.insert(request.clone(), vec![wire.clone()]);
            } else {
                for (sent, reply) in &own {
                    replies.entry(sent.clone()).or_default().push(reply.clone());
                }
            }
            let played = play(made, poll, &mut replies);
            count += 1;
            let outcome = case["outcome"].as_str().unwrap();
            let good = match outcome {
                "accept" => {
                    // What the polls gave is what the frame says, which another test compares with the source.
                    let tried = read.profile.try_bytes(&wire, Some(&request));
                    let mut wanted = tried.records().map(|record| {
                        let mut json = String::new();
                        record.write_json(&mut json);
                        json
                    });
                    wanted.all(|wanted| played.records.contains(&wanted)) && !played.records.is_empty()
                }
                "device-error" => played.faults.iter().any(|why| why == "refused"),
                "ack" | "no-data" => true,
                _ => played.records.is_empty() && !played.faults.is_empty(),
            };
            let sent = !own.is_empty() && own.iter().map(|(sent, _)| sent).ne(&played.written);
            if !good || sent || played.written.last() != Some(&request) {
                failures.push_str(&format!(
                    "{name}/{id} ({outcome}): {:?} {:?}, sent {:02x?}\n",
                    played.records, played.faults, played.written
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(
        devices >= 26 && count >= 120,
        "{count} cases of {devices} devices; no poll asks for {silent:?}"
    );
}
