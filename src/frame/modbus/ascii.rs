//! Modbus ASCII: a colon, the bytes as hexadecimal digits, CR LF.

use super::super::decoder::{Scene, Step};
use super::super::marker::Size;
use super::super::{Damage, EncodeError, Seal, open, within};
use super::crc::Lrc;
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;

const START: u8 = b':';
const END: &[u8; 2] = b"\r\n";

/// Modbus over serial line V1.02, section 2.5.2.1: "The maximum size of a MODBUS ASCII frame is 513 characters."
const MAX: Size = Size::new(513).expect("a size");

/// Modbus ASCII: a colon, the bytes as hexadecimal digits, CR LF. What comes out is as with `modbus-rtu`: the
/// address, the function and its data. The LRC is part of the method.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ModbusAsciiFrame")]
pub struct Config {
    /// The longest frame, in characters, all included. Default 513, as the specification says.
    #[schemars(extend("default" = 513))]
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"1s"`; `"0s"` means never.
    #[schemars(extend("default" = "1s"))]
    pub stale: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max: MAX,
            stale: Span::millis(1000),
        }
    }
}

impl Config {
    pub(in super::super) fn build(&self) -> Method {
        Method { max: self.max }
    }
}

#[derive(Debug)]
pub(in super::super) struct Method {
    max: Size,
}

impl Method {
    pub(in super::super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let bytes = scene.bytes;
        match memchr::memchr(START, bytes) {
            Some(0) => {}
            _ if bytes.is_empty() => return Step::More,
            noise => return Step::Skip(noise.unwrap_or(bytes.len()), Damage::Noise),
        }
        let from = scene.progress.seen.max(1);
        let Some(end) = memchr::memchr2(START, END[1], &bytes[from..]).map(|hop| from + hop) else {
            scene.progress.seen = bytes.len();
            return match (bytes.len() > self.max.get(), scene.silent) {
                (true, _) => Step::Skip(1, Damage::TooLong),
                (false, true) => Step::Skip(1, Damage::Stale),
                (false, false) => Step::More,
            };
        };
        scene.progress.seen = end;
        let used = end + 1;
        // What began too long ago is too long, whatever follows.
        if end > self.max.get() {
            return Step::Skip(1, Damage::TooLong);
        }
        if bytes[end] == START {
            return Step::Skip(end, Damage::Unfinished);
        }
        if used > self.max.get() {
            return Step::Skip(1, Damage::TooLong);
        }
        let Some(digits) = bytes[1..used].strip_suffix(END) else {
            return Step::Skip(1, Damage::End);
        };
        scene.scratch.clear();
        let Some(bytes) = bytes_of(digits) else {
            return Step::Skip(1, Damage::Escape);
        };
        scene.scratch.extend(bytes);
        let opened = match scene.seal.is_empty() {
            true => open(&Lrc, scene.scratch),
            false => open(scene.seal, scene.scratch),
        };
        match opened {
            Ok(data) => Step::Frame {
                used,
                data,
                scratch: true,
            },
            Err(why) => Step::Skip(1, why),
        }
    }

    pub(in super::super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if data.is_empty() {
            return Err(EncodeError::Empty);
        }
        let start = out.len();
        let mut content = data.to_vec();
        match seal.is_empty() {
            true => Lrc.close(&mut content, 0),
            false => seal.close(&mut content, 0),
        }
        out.push(START);
        for byte in content {
            out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
        }
        out.extend_from_slice(END);
        within(out.len() - start, self.max)
    }
}

/// The bytes of pairs of digits.
fn bytes_of(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some((value(high)? << 4 | value(low)?) as u8),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::Config as Frame;
    use super::super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    fn framing() -> super::super::super::Framing {
        build("'modbus-ascii'")
    }

    /// Modbus over serial line V1.02, section 2.5.2 describes it; the bytes are those of the RTU example.
    #[test]
    fn a_request_as_digits() {
        let framing = framing();
        let data = hex("1103006b0003");
        assert_eq!(encode(&framing, &(), &data), Ok(b":1103006B00037E\r\n".to_vec()));
        assert_eq!(decode(&framing, &(), b":1103006b00037e\r\n"), [frame(&data)]);
    }

    #[test]
    fn what_is_damaged_costs_no_other_frame() {
        let framing = framing();
        let good = ":1103006B00037E\r\n";
        let noise = |text: &str, why| {
            let got = decode(&framing, &(), format!("{text}{good}").as_bytes());
            assert_eq!(got, [damaged(why, text), frame(hex("1103006b0003"))], "{text}");
        };
        noise("xx", Damage::Noise);
        noise(":11030", Damage::Unfinished);
        noise(":1103006B00037F\r\n", Damage::Check);
        noise(":1103006B00037\r\n", Damage::Escape);
        noise(":1103006G00037E\r\n", Damage::Escape);
        noise(":1103006B00037E\n", Damage::End);
        noise(":\r\n", Damage::TooShort);
        assert_eq!(
            decode(&framing, &(), &good.as_bytes()[..9]),
            [damaged(Damage::Stale, &good[..9])]
        );
        let long = format!(":{}\r\n", "0".repeat(600));
        assert_eq!(
            decode(&framing, &(), long.as_bytes()),
            [damaged(Damage::TooLong, long)]
        );
        assert_eq!(encode(&framing, &(), b""), Err(EncodeError::Empty));
        assert!(matches!(
            encode(&framing, &(), &[0; 300]),
            Err(EncodeError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn cutting(bytes in bytes(b":0F\r\n", 200), max in 5..40usize, cuts in cuts()) {
            let config = Config { max: Size::new(max).unwrap(), ..Config::default() };
            let framing = Frame::ModbusAscii(config).build(CHAR).unwrap();
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, max);
        }

        #[test]
        fn identity(data in bytes(b":\r\n", 40)) {
            prop_assert_eq!(sent_is_received(&framing(), &(), &data).is_some(), !data.is_empty());
            sent_is_received(&framing(), &Hash, &data);
        }

        #[test]
        fn garbage(stream in stream(b":0F\r\n")) {
            garbage_costs_no_frame(&framing(), &stream);
        }
    }
}
