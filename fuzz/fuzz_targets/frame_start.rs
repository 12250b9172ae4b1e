//! Frames that begin with a marker.
#![no_main]

use mqttyd_fuzz::frame::Config;
use mqttyd_fuzz::frame::start::{self, Until};
use mqttyd_fuzz::{Method, Promise, marker, octets, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let until = match u.int_in_range(0..=2)? {
            0 => Until::Marker,
            1 => Until::Silence(span(u)?),
            _ => Until::Length(size(u)?),
        };
        let marker = marker(u)?;
        let mask = match u.arbitrary()? {
            true => mqttyd_fuzz::frame::Marker::new(u.bytes(marker.len())?),
            false => None,
        };
        // Where silence means nothing, the last frame before it waits for the next marker for ever.
        let stale = match span(u)? {
            never if never.0.is_zero() && until == Until::Marker => mqttyd_fuzz::span::Span::millis(20),
            span => span,
        };
        let doubled = marker.len() == 1 && mask.is_none() && until == Until::Marker && u.arbitrary()?;
        let config = start::Config {
            marker,
            mask,
            until,
            doubled,
            strip: u.arbitrary()?,
            ignore: octets(u)?,
            max: size(u)?,
            stale,
        };
        let finds = matches!(config.until, Until::Length(_)) && !config.stale.0.is_zero();
        let promise = if finds { Promise::Finds } else { Promise::Cuts };
        let special = [&config.marker[..], b"a"].concat();
        Ok(Method {
            config: Config::Start(config),
            promise,
            special,
        })
    })
});
