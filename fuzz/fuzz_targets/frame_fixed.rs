//! Frames of one length.
#![no_main]

use mqttyd_fuzz::frame::{Config, fixed};
use mqttyd_fuzz::{Method, Promise, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = fixed::Config {
            length: size(u)?,
            stale: span(u)?,
        };
        // Where silence means nothing, the last frames may still be hoped for.
        let promise = if config.stale.0.is_zero() {
            Promise::Cuts
        } else {
            Promise::Finds
        };
        Ok(Method {
            config: Config::Fixed(config),
            promise,
            special: Vec::new(),
        })
    })
});
