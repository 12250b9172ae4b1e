//! HDLC.
#![no_main]

use mqttyd_fuzz::frame::{Config, hdlc};
use mqttyd_fuzz::{Method, Promise, octets, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = match u.arbitrary()? {
            true => hdlc::Config::default(),
            false => hdlc::Config {
                flag: u.arbitrary()?,
                escape: u.arbitrary()?,
                xor: u.arbitrary()?,
                also: octets(u)?,
                ..hdlc::Config::default()
            },
        };
        let hdlc::Config {
            flag, escape, xor, ..
        } = config;
        Ok(Method {
            config: Config::Hdlc(hdlc::Config {
                max: size(u)?,
                stale: span(u)?,
                ..config
            }),
            promise: Promise::Finds,
            special: vec![flag, escape, flag ^ xor, escape ^ xor, 0],
        })
    })
});
