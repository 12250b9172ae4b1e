//! The field language: whatever a profile says and whatever bytes come, no panic, no end that does not come.
//!
//! The input is a profile's text, a zero byte, and bytes from the line. They go through framing, checks and fields,
//! and past the framing into each kind's fields, too; commands get the bytes as their payload.
#![no_main]

use mqttyd::config::device;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(cut) = input.iter().position(|byte| *byte == 0) else { return };
    let Ok(text) = std::str::from_utf8(&input[..cut]) else { return };
    let bytes = &input[cut + 1..];
    let Ok(device) = device::parse(text, "fuzz.toml") else { return };
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
