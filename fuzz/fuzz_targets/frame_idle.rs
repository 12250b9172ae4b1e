//! Frames that end with silence.
#![no_main]

use mqttyd_fuzz::frame::{Config, idle};
use mqttyd_fuzz::{Method, Promise, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = idle::Config {
            gap: if u.arbitrary()? { Some(span(u)?) } else { None },
            characters: u.arbitrary()?,
            max: size(u)?,
        };
        Ok(Method {
            config: Config::Idle(config),
            promise: Promise::None,
            special: Vec::new(),
        })
    })
});
