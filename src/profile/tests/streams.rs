//! Recorded streams of real devices through the profiles: in one piece, cut anywhere, and with noise in front.
//!
//! `tests/corpus-devices/streams/NAME.toml` says what the source states and what was counted in the bytes. A list
//! under `[stated]` has one value for each frame.

use super::super::config::Wanted;
use super::super::{Outcome, Reader};
use super::corpus::{map, root, table, wanted};
use crate::config::device;
use crate::field::record::Record;
use crate::frame::Item;
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

/// The records of bytes that come in these pieces.
fn records(profile: &Profile, pieces: &[&[u8]]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut reader = Reader::new(profile.clone());
    let mut decoder = profile.framing().decoder();
    let now = Instant::now();
    let guard = profile.guard().clone();
    for piece in pieces {
        decoder.extend(piece, now);
        while let Some((branch, item)) = decoder.next_of(&guard) {
            if let Item::Frame(data) = item
                && let Outcome::Values(record) = reader.read(branch, data, None)
            {
                records.push(record);
            }
        }
    }
    records
}

/// Every value that a list states is there, in its order.
fn compare(stated: &Table, records: &[Record]) {
    let name = stated["name"].as_str().unwrap();
    let device = stated["device"].as_str().unwrap();
    let own = root().join(format!("tests/corpus-devices/{device}.names.toml"));
    let names = map(&if own.exists() { table(&own) } else { Table::new() }, "names");
    for (key, value) in stated["stated"].as_table().into_iter().flatten() {
        let Value::Array(values) = value else { continue };
        let path = names.get(key).unwrap_or(key);
        let found: Vec<_> = records.iter().filter_map(|record| record.find(path)).collect();
        if found.is_empty() && !records.is_empty() && key.ends_with('s') {
            // Figures about the bytes, not about values.
            continue;
        }
        assert_eq!(found.len(), values.len(), "{name}: {key}");
        for (n, (entry, value)) in found.iter().zip(values).enumerate() {
            let wanted: Wanted = wanted(value);
            assert_eq!(wanted.differs(*entry, 0.051), None, "{name}: {key} of frame {n}");
        }
    }
    let counted = stated["counted"].as_table().unwrap();
    if let Some(count) = counted.get("blocks_good").and_then(Value::as_integer) {
        // The count adds the end of a cut line to the block behind it, which is whole and good without it.
        assert!(records.len() as i64 >= count, "{name}: blocks_good");
    }
    for key in ["good", "good_frames", "good_telegrams"] {
        // What a device says without values is a good frame, too, but no record.
        if let Some(count) = counted.get(key).and_then(Value::as_integer)
            && name != "aqualogic-idle"
        {
            assert_eq!(records.len() as i64, count, "{name}: {key}");
        }
    }
}

#[test]
fn a_stream_gives_what_its_source_states() {
    let streams = streams();
    assert!(streams.len() >= 2);
    for (stated, bytes, profile) in streams {
        compare(&stated, &records(&profile, &[&bytes]));
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
            compare(&stated, &records(&profile, &pieces));
        }
    }
}
