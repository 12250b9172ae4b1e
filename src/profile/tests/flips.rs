//! One bit of a good frame is turned on the line: what a check covers never gives another value. The frames are those
//! of the cases, and the examples of every profile.

use super::super::config::{Config, Gives};
use super::corpus::{bytes, cases, root};
use crate::config::device;
use crate::profile::{Profile, Tried};
use std::fmt::Write as _;

fn shown(tried: &Tried) -> Vec<String> {
    let show = |record: &crate::field::record::Record| {
        let mut json = record.kind().to_owned();
        record.write_json(&mut json);
        json
    };
    tried.records().map(show).collect()
}

/// What a check does not cover.
struct Uncovered {
    /// Where a check may be missing, its mark says whether it is there.
    mark: Option<u8>,
    /// Bytes before the covered ones.
    before: usize,
    /// How many bits of each byte there are, or are covered.
    bits: usize,
}

/// A good frame, and the request to which it is the reply.
struct Good {
    id: String,
    wire: Vec<u8>,
    request: Option<Vec<u8>>,
}

/// The good frames that are known of a device.
fn frames(name: &str, config: &Config) -> Vec<Good> {
    let mut frames = Vec::new();
    if root().join(format!("tests/corpus-devices/{name}.toml")).exists() {
        for case in cases(name) {
            let wire = bytes(case.get("wire_hex")).filter(|_| case["outcome"].as_str() == Some("accept"));
            frames.extend(wire.map(|wire| Good {
                id: case["id"].to_string(),
                wire,
                request: bytes(case.get("request_hex")),
            }));
        }
    }
    let good = config
        .example
        .iter()
        .filter(|example| example.gives == Gives::Values && example.command.is_none());
    frames.extend(good.map(|example| {
        Good {
            id: example.name.clone(),
            wire: super::super::example::wire(example).unwrap(),
            request: example
                .request
                .as_ref()
                .map(|text| super::super::example::bytes(text).unwrap()),
        }
    }));
    frames
}

fn flips(
    profile: &Profile,
    name: &str,
    frames: Vec<Good>,
    uncovered: &Uncovered,
    failures: &mut String,
) -> usize {
    let mut count = 0;
    for Good {
        id,
        mut wire,
        request,
    } in frames
    {
        let good = shown(&profile.try_bytes(&wire, request.as_deref()));
        for bit in 0..8 * wire.len() {
            let open = uncovered.mark == Some(wire[bit / 8])
                || bit / 8 < uncovered.before
                || bit % 8 >= uncovered.bits;
            if open {
                continue;
            }
            wire[bit / 8] ^= 1 << (bit % 8);
            let got = shown(&profile.try_bytes(&wire, request.as_deref()));
            wire[bit / 8] ^= 1 << (bit % 8);
            count += 1;
            if let Some(wrong) = got.iter().find(|record| !good.contains(record)) {
                let _ = writeln!(
                    failures,
                    "{name}: {id}: bit {} of byte {}: {wrong}",
                    bit % 8,
                    bit / 8
                );
            }
        }
    }
    count
}

#[test]
fn a_turned_bit_gives_no_other_value() {
    let only = std::env::var("DEVICE").ok();
    let (mut failures, mut count) = (String::new(), 0);
    for entry in std::fs::read_dir(root().join("config/devices")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let Ok(read) = device::read(&path) else { continue };
        let config = &read.config;
        // Without a check there is nothing that could notice.
        let whole = !config.check.0.is_empty() || !config.data_check.0.is_empty();
        if !whole
            || config
                .kind
                .iter()
                .any(|kind| kind.frame.is_some() && kind.check.0.is_empty())
        {
            continue;
        }
        let optional = config.check.0.iter().find(|check| check.optional);
        let from = config
            .check
            .0
            .iter()
            .map(|check| usize::try_from(check.covers.from).unwrap_or(0));
        let six = config
            .check
            .0
            .iter()
            .any(|check| check.algorithm.name() == "teleinfo");
        let seven = config.serial.data_bits.is_some_and(|bits| bits.count() == 7);
        let uncovered = Uncovered {
            mark: optional.and_then(|check| check.prefix.first().copied()),
            before: from.min().unwrap_or(0),
            bits: if six {
                6
            } else if seven {
                7
            } else {
                8
            },
        };
        let frames = frames(&name, config);
        assert!(!frames.is_empty(), "{name} has no good frame");
        count += flips(&read.profile, &name, frames, &uncovered, &mut failures);
    }
    assert!(count > 0);
    assert!(failures.is_empty(), "of {count} turned bits:\n{failures}");
}
