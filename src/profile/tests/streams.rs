//! Recorded streams of real devices through the profiles: in one piece, cut anywhere, and with noise in front.
//!
//! `tests/corpus-devices/streams/NAME.toml` says what the source states and what was counted in the bytes. A list
//! of values has one for each frame; other figures are about frames and bytes.

use super::super::config::Wanted;
use super::super::{Outcome, Reader};
use super::corpus::{map, root, table, wanted};
use crate::config::device;
use crate::field::record::Record;
use crate::frame::{Damage, Decoder, Item};
use crate::profile::Profile;
use proptest::prelude::*;
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// The streams whose device has a profile here.
fn streams() -> Vec<(Table, Vec<u8>, Profile)> {
    let folder = root().join("tests/corpus-devices/streams");
    let mut streams = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let stated = table(&path);
        let bytes = std::fs::read(path.with_file_name(stated["file"].as_str().unwrap())).unwrap();
        let mut configs = Vec::new();
        let names = stated["device"]
            .as_str()
            .unwrap()
            .trim_end_matches(" on one port");
        for name in names.split(", ") {
            let path = root().join(format!("config/devices/{name}.toml"));
            configs.extend(device::read(&path).ok().map(|read| read.config));
        }
        if configs.len() == names.split(", ").count() {
            let configs: Vec<_> = configs.iter().collect();
            let profile = Profile::several(&configs, Duration::from_micros(1042)).unwrap();
            streams.push((stated, bytes, profile));
        }
    }
    streams
}

/// What came of a stream.
#[derive(Debug, Default)]
struct Reading {
    records: Vec<Record>,
    frames: Vec<Frame>,
    /// The last bytes, which are no frame, and none yet that is damaged.
    held: usize,
    /// Bytes that came behind the last frame.
    since: usize,
    /// How many frames had a wrong check.
    bad: usize,
}

/// A good frame.
#[derive(Debug)]
struct Frame {
    branch: usize,
    len: usize,
    /// How many bytes before it, behind the frame before, belong to no frame.
    before: usize,
}

impl Reading {
    /// Of bytes that come in these pieces.
    fn new(profile: &Profile, pieces: &[&[u8]]) -> Reading {
        let mut reading = Reading::default();
        let mut reader = Reader::new(profile.clone());
        let mut decoder = profile.framing().decoder();
        let now = Instant::now();
        for piece in pieces {
            decoder.extend(piece, now);
            reading.drain(&mut decoder, &mut reader);
        }
        // What noise has made to wait for more bytes comes with the silence behind the stream.
        if let Some(deadline) = decoder.deadline() {
            decoder.expire(deadline);
            reading.drain(&mut decoder, &mut reader);
        }
        reading.held = decoder.reset();
        reading
    }

    fn drain(&mut self, decoder: &mut Decoder, reader: &mut Reader) {
        let guard = reader.profile().guard().clone();
        while let Some((branch, item)) = decoder.next_of(&guard) {
            match item {
                Item::Frame(data) => {
                    self.frames.push(Frame {
                        branch,
                        len: data.len(),
                        before: std::mem::take(&mut self.since),
                    });
                    if let Outcome::Values(record) = reader.read(branch, data, None) {
                        self.records.push(record);
                    }
                }
                Item::Damaged { why, bytes } => {
                    self.since += bytes.len();
                    self.bad += usize::from(why == Damage::Check);
                }
            }
        }
    }

    /// The runs of bytes that belong to no frame, when so much noise was put in front.
    fn runs(&self, noise: usize) -> Vec<usize> {
        let mut runs: Vec<usize> = self.frames.iter().map(|frame| frame.before).collect();
        runs.push(self.since + self.held);
        runs[0] -= noise;
        runs.retain(|run| *run > 0);
        runs
    }

    /// The figure of this name, as its source counts it.
    fn count(&self, key: &str, bytes: &[u8], noise: usize) -> Value {
        let first = self.frames.first().map_or(0, |frame| frame.before - noise);
        let of = |branch| self.frames.iter().filter(|frame| frame.branch == branch).count();
        // What stands before a block belongs to it where blocks are told apart by their ends.
        let blocks = self.frames.iter().map(|frame| frame.before == 0);
        let list = |counts: Vec<usize>| counts.into_iter().map(|n| Value::Integer(n as i64)).collect();
        let number = match key {
            // A frame of an unknown kind is a good frame, too, but gives no record.
            "frames" | "good" | "good_frames" | "good_telegrams" | "checksum_lines" => self.frames.len(),
            "bad_check" | "nmea_bad" | "ubx_bad" | "rtcm_bad" => self.bad,
            "bytes_outside_frames" => self.runs(noise).iter().sum(),
            "bad_or_cut" => self.runs(noise).len(),
            "discarded_runs" => return Value::Array(list(self.runs(noise))),
            "bytes_before_first_start" => first,
            "cut_telegrams" => usize::from(first > 0),
            "bytes_after_last" => self.since + self.held,
            "nmea" => of(0),
            "ubx" => of(1),
            // No profile for it is on the line, and no byte is outside of the others' frames.
            "rtcm" => self.runs(noise).iter().sum(),
            "blocks_good" => blocks.filter(|good| *good).count(),
            "per_block" => return Value::Array(blocks.map(Value::Boolean).collect()),
            "bytes_total" => bytes.len(),
            "sync_bytes" => bytes.iter().filter(|byte| **byte == 0xaa).count(),
            "frame_lengths" => {
                return Value::Array(list(self.frames.iter().map(|frame| frame.len).collect()));
            }
            other => panic!("nothing tells what `{other}` is"),
        };
        Value::Integer(number as i64)
    }
}

/// Every figure of the source is met, and every value that it states is there, in its order.
fn compare(stated: &Table, bytes: &[u8], noise: usize, reading: &Reading) {
    let name = stated["name"].as_str().unwrap();
    let device = stated["device"].as_str().unwrap();
    let own = root().join(format!("tests/corpus-devices/{device}.names.toml"));
    let names = map(&if own.exists() { table(&own) } else { Table::new() }, "names");
    let mut figures = 0;
    for (key, wanted) in ["stated", "counted"]
        .iter()
        .filter_map(|part| stated[*part].as_table())
        .flatten()
    {
        figures += 1;
        // `{ value = 1, unit = "degC" }`, and names with their unit.
        let one = wanted.as_table().map(|table| &table["value"]);
        let key = key.split(' ').next().unwrap_or(key);
        let path = names.get(key).map_or(key, String::as_str);
        let known = reading.records.iter().any(|record| record.find(path).is_some());
        match (one.unwrap_or(wanted), known) {
            (Value::Array(values), true) => lists(name, path, values, &reading.records),
            (value, true) => {
                let last = reading.records.iter().rev().find_map(|record| record.find(path));
                let wanted: Wanted = self::wanted(value);
                assert_eq!(
                    wanted.differs(last.unwrap(), 1e-9),
                    None,
                    "{name}: the last {key}"
                );
            }
            // The order in which the telegrams were put together.
            (Value::Array(order), false) if key == "order" => {
                assert_eq!(reading.records.len(), order.len(), "{name}: {key}");
            }
            (Value::Array(first), false) if key == "frame_lengths" => {
                // The source states those of the first packets.
                let Value::Array(all) = reading.count(key, bytes, noise) else {
                    panic!()
                };
                assert_eq!(all[..first.len()], *first, "{name}: {key}");
            }
            (value, false) => assert_eq!(reading.count(key, bytes, noise), *value, "{name}: {key}"),
        }
    }
    assert!(figures > 0, "{name}");
}

/// A list has one value for each frame, or for each frame that has such a value.
fn lists(name: &str, path: &str, values: &[Value], records: &[Record]) {
    let mut found: Vec<_> = records.iter().map(|record| record.find(path)).collect();
    if found.len() != values.len() {
        found.retain(Option::is_some);
    }
    assert_eq!(found.len(), values.len(), "{name}: {path}");
    for (n, (entry, value)) in found.into_iter().zip(values).enumerate() {
        match entry {
            None => assert_eq!(value.as_str(), Some("absent"), "{name}: {path} of frame {n}"),
            Some(entry) => {
                let wanted: Wanted = wanted(value);
                assert_eq!(wanted.differs(entry, 0.051), None, "{name}: {path} of frame {n}");
            }
        }
    }
}

#[test]
fn a_stream_gives_what_its_source_states() {
    let streams = streams();
    assert_eq!(streams.len(), 9);
    for (stated, bytes, profile) in streams {
        compare(&stated, &bytes, 0, &Reading::new(&profile, &[&bytes]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn cut_anywhere_and_behind_noise_it_gives_the_same(
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        noise in prop::collection::vec(prop::sample::select(&[0x11u8, 0x77, 0x99, 0xee][..]), 0..40),
    ) {
        for (stated, bytes, profile) in streams() {
            let whole = [noise.as_slice(), &bytes].concat();
            let mut places: Vec<usize> = cuts.iter_mut().map(|cut| cut.index(whole.len())).collect();
            places.extend([0, whole.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            compare(&stated, &bytes, noise.len(), &Reading::new(&profile, &pieces));
        }
    }

    #[test]
    fn any_noise_in_front_costs_no_frame(mut noise in prop::collection::vec(any::<u8>(), 0..60)) {
        // What begins as a block of VE.Direct's text does is no noise but one that is damaged: with "\r\n" in front of each of
        // its lines nothing tells where another block begins.
        noise.retain(|byte| *byte != b'\r');
        for (stated, bytes, profile) in streams() {
            let whole = [noise.as_slice(), &bytes].concat();
            let found = Reading::new(&profile, &[&whole]).records;
            let wanted = Reading::new(&profile, &[&bytes]).records;
            prop_assert_eq!(json(&found), json(&wanted), "{}", stated["name"]);
        }
    }
}

fn json(records: &[Record]) -> Vec<String> {
    let one = |record: &Record| {
        let mut text = String::new();
        record.write_json(&mut text);
        text
    };
    records.iter().map(one).collect()
}
