//! Frames that say how long they are.
#![no_main]

use mqttyd_fuzz::frame::Config;
use mqttyd_fuzz::frame::length::{self, Counts, Digits, Lengths, Order, Plus, Width};
use mqttyd_fuzz::{Method, Promise, octets, option_marker, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let width = |n: u8| Width::new(n).ok_or(arbitrary::Error::IncorrectFormat);
        let offset = |n: u8| usize::from(n % 12);
        let config = length::Config {
            start: option_marker(u)?,
            offset: u.arbitrary::<Option<u8>>()?.map(offset),
            width: width(u.int_in_range(1..=4)?)?,
            digits: match u.ratio(1, 6)? {
                true => Some(*u.choose(&[Digits::Decimal, Digits::Hex])?),
                false => None,
            },
            lengths: match u.ratio(1, 6)? {
                true => {
                    let middle = u.int_in_range(1..=254)?;
                    Lengths::new(vec![(0, middle, size(u)?), (middle + 1, 255, size(u)?)])
                }
                false => Lengths::default(),
            },
            order: *u.choose(&[Order::Big, Order::Little])?,
            mask: u.arbitrary()?,
            invert: u.arbitrary()?,
            counts: *u.choose(&[Counts::All, Counts::After, Counts::Data])?,
            unit: if u.ratio(1, 4)? { u.arbitrary()? } else { None },
            adjust: match u.int_in_range(0..=3)? {
                0 => u.arbitrary()?,
                1 => u.int_in_range(-9..=9)?,
                _ => 0,
            },
            header: u.arbitrary::<Option<u8>>()?.map(usize::from),
            plus: match u.ratio(1, 4)? {
                true => Some(Plus {
                    offset: offset(u.arbitrary()?),
                    width: width(u.int_in_range(1..=4)?)?,
                }),
                false => None,
            },
            end: option_marker(u)?,
            strip: u.arbitrary()?,
            ignore: octets(u)?,
            max: size(u)?,
            stale: span(u)?,
        };
        let promise = if config.stale.0.is_zero() {
            Promise::Cuts
        } else {
            Promise::Finds
        };
        let markers = [config.start.as_deref(), config.end.as_deref()];
        let special = [&markers.map(Option::unwrap_or_default).concat()[..], &[0, 1, 9]].concat();
        Ok(Method {
            config: Config::Length(config),
            promise,
            special,
        })
    })
});
