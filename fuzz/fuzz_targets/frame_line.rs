//! Lines.
#![no_main]

use mqttyd_fuzz::frame::Config;
use mqttyd_fuzz::frame::line::{self, Ends};
use mqttyd_fuzz::{Method, Promise, marker, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let (mut ends, mut special) = (Vec::new(), vec![b'\r', b'a']);
        for _ in 0..u.int_in_range(1..=3)? {
            let end = marker(u)?;
            special.extend_from_slice(&end);
            ends.push(end);
        }
        let config = line::Config {
            end: Ends::new(ends).map_err(|_| arbitrary::Error::IncorrectFormat)?,
            trim_cr: u.arbitrary()?,
            keep: u.arbitrary()?,
            empty: u.arbitrary()?,
            max: size(u)?,
            stale: span(u)?,
        };
        Ok(Method {
            config: Config::Line(config),
            promise: Promise::Cuts,
            special,
        })
    })
});
