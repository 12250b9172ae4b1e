//! Frames between markers.
#![no_main]

use mqttyd_fuzz::frame::start_end::{self, Escape, Stuff, Xor};
use mqttyd_fuzz::frame::{Config, Marker};
use mqttyd_fuzz::{Method, Promise, marker, octets, option_marker, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let (mut start, mut end) = (marker(u)?, marker(u)?);
        let escape = match u.int_in_range(0..=2)? {
            0 => None,
            1 => Some(Escape::Xor(Xor {
                mark: u.arbitrary()?,
                mask: u.arbitrary()?,
                also: octets(u)?,
            })),
            _ => {
                let stuff = Stuff {
                    mark: marker(u)?,
                    with: option_marker(u)?,
                    wire_check: u.arbitrary()?,
                };
                let join = |marker: &Marker| {
                    Marker::new([&stuff.mark, &marker[..]].concat()).ok_or(arbitrary::Error::IncorrectFormat)
                };
                end = join(&end)?;
                if u.arbitrary()? {
                    start = join(&start)?;
                }
                Some(Escape::Stuff(stuff))
            }
        };
        let config = start_end::Config {
            tail: *u.choose(&[0, 1, 4, 64])?,
            length: if u.ratio(1, 4)? { Some(size(u)?) } else { None },
            escape,
            restart: u.arbitrary()?,
            strip: u.arbitrary()?,
            ignore: octets(u)?,
            max: size(u)?,
            stale: span(u)?,
            ..start_end::Config::new(start, end)
        };
        // With `restart` a start marker in the garbage's end and the frame's own may be one.
        let finds = !config.stale.0.is_zero() && !config.restart;
        let promise = if finds { Promise::Finds } else { Promise::Cuts };
        let mut special = [&config.start[..], &config.end, b"a"].concat();
        match &config.escape {
            Some(Escape::Xor(xor)) => special.extend([xor.mark, xor.mark ^ xor.mask]),
            Some(Escape::Stuff(stuff)) => {
                special.extend_from_slice(stuff.with.as_deref().unwrap_or_default())
            }
            None => {}
        }
        Ok(Method {
            config: Config::StartEnd(config),
            promise,
            special,
        })
    })
});
