//! One bit of a good frame is turned on the line: what a check covers never gives another value.

use super::corpus::{bytes, cases, names};
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

fn flips(profile: &Profile, name: &str, uncovered: &Uncovered, failures: &mut String) -> usize {
    let mut count = 0;
    for case in cases(name) {
        if case["outcome"].as_str() != Some("accept") {
            continue;
        }
        let Some(mut wire) = bytes(case.get("wire_hex")) else {
            continue;
        };
        let request = bytes(case.get("request_hex"));
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
                let id = case["id"].as_str().unwrap_or_default();
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
    for (name, path) in names() {
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
        count += flips(&read.profile, &name, &uncovered, &mut failures);
    }
    assert!(count > 0);
    assert!(failures.is_empty(), "of {count} turned bits:\n{failures}");
}
