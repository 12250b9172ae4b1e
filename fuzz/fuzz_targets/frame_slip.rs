//! SLIP.
#![no_main]

use mqttyd_fuzz::frame::{Config, slip};
use mqttyd_fuzz::{Method, Promise, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = slip::Config {
            lead: u.arbitrary()?,
            max: size(u)?,
            stale: span(u)?,
        };
        let promise = if config.lead {
            Promise::Finds
        } else {
            Promise::Cuts
        };
        Ok(Method {
            config: Config::Slip(config),
            promise,
            special: vec![0xc0, 0xdb, 0xdc, 0xdd, 0],
        })
    })
});
