//! The field language: whatever a profile says and whatever bytes come, no panic, no end that does not come, and no
//! memory without bounds.
//!
//! The input is a profile's text, a zero byte, and bytes from the line. They go through framing, checks and fields,
//! and past the framing into each kind's fields, too; commands get the bytes as their payload. Seeds:
//! `cargo run --example seeds`.
#![no_main]

use libfuzzer_sys::fuzzer_mutate;
use mqttyd::config::device;
use mqttyd_fuzz::mutate::{self, Random};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(cut) = input.iter().position(|byte| *byte == 0) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(&input[..cut]) else {
        return;
    };
    let bytes = &input[cut + 1..];
    let Ok(device) = device::parse(text, "fuzz.toml") else {
        return;
    };
    let tried = device.profile.try_bytes(bytes, None);
    for record in tried.records() {
        let mut out = String::new();
        record.write_json(&mut out);
        record.leaves("/", &mut |_, _| ());
    }
    for branch in 0..3 {
        let _ = device.profile.trace(branch, bytes, Some(bytes));
    }
    let _ = device.profile.explain(bytes, None);
    for command in device.profile.commands() {
        let _ = command.frame(bytes);
    }
});

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed);
    let cut = data[..size].iter().position(|byte| *byte == 0);
    let table = cut.and_then(|cut| {
        std::str::from_utf8(&data[..cut])
            .ok()?
            .parse()
            .ok()
            .map(|table| (cut, table))
    });
    let Some((cut, mut table)) = table.filter(|_| random.below(16) > 0) else {
        return fuzzer_mutate(data, size, max_size);
    };
    let mut bytes = data[cut + 1..size].to_vec();
    if random.below(3) == 0 {
        let (len, room) = (
            bytes.len(),
            max_size.saturating_sub(cut + 1).clamp(1, 2048).max(bytes.len()),
        );
        bytes.resize(room, 0);
        let len = fuzzer_mutate(&mut bytes, len, room);
        bytes.truncate(len);
    } else {
        for _ in 0..=random.below(3) {
            mutate::profile(&mut table, &mut random);
        }
    }
    let Ok(text) = toml::to_string(&table) else {
        return size;
    };
    let whole = [text.as_bytes(), &[0], &bytes].concat();
    if whole.len() > max_size || text.contains('\0') {
        return size;
    }
    data[..whole.len()].copy_from_slice(&whole);
    whole.len()
});
