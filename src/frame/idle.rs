//! Frames that end with silence, as in Modbus RTU.

use super::decoder::{Scene, Step};
use super::marker::Size;
use super::{Damage, EncodeError, Error, Seal, open, within};
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Modbus over serial line V1.02, section 2.5.1.1: frames "are separated by a silent interval of at least 3.5
/// character times".
const CHARACTERS: f64 = 3.5;

/// The same section: "for baud rates greater than 19200 Bps, fixed values for the 2 timers should be used:
/// ... 1.750ms for inter-frame delay".
const FLOOR: Duration = Duration::from_micros(1750);

/// Frames that end with silence (Modbus RTU). A computer sees silence only as well as its serial adapter
/// lets it: many USB adapters hold bytes back for up to 16 ms, so a longer gap may be needed there.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "IdleFrame")]
pub struct Config {
    /// The silence that ends a frame, as a time. Default: as `characters` says. Set it where the adapter or
    /// the device makes pauses within a frame.
    pub gap: Option<Span>,
    /// The silence that ends a frame, in characters, but never less than 1.75 ms. Default 3.5, as Modbus has
    /// it.
    #[schemars(range(min = 0.0), extend("default" = CHARACTERS))]
    pub characters: Option<f64>,
    /// The longest frame, in bytes, with its check. Default 4096; Modbus RTU has 256.
    pub max: Size,
}

impl Config {
    pub(super) fn build(&self) -> Method {
        Method { max: self.max }
    }

    /// How long the silence must be.
    pub(super) fn quiet(&self, char_time: Duration) -> Result<Duration, Error> {
        match (self.gap, self.characters) {
            (Some(_), Some(_)) => Err(Error::new(
                "gap and characters both say how long the silence is: one of them is enough",
            )),
            (Some(gap), None) if gap.0.is_zero() => Err(Error::new("the gap must be longer than nothing")),
            (Some(gap), None) => Ok(gap.0),
            (None, characters) => {
                let seconds = char_time.as_secs_f64() * characters.unwrap_or(CHARACTERS);
                match Duration::try_from_secs_f64(seconds) {
                    Ok(gap) => Ok(gap.max(FLOOR)),
                    Err(_) => Err(Error::new("characters must be a number that is not negative")),
                }
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Method {
    max: Size,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let (len, max) = (scene.bytes.len(), self.max.get());
        if len > max || scene.progress.over && scene.silent {
            let why = if scene.progress.over {
                Damage::Noise
            } else {
                Damage::TooLong
            };
            scene.progress.over = true;
            return Step::Damaged {
                used: len.min(max),
                why,
            };
        }
        if !scene.silent {
            return Step::More;
        }
        match open(scene.seal, scene.bytes) {
            Ok(data) => Step::Frame {
                used: len,
                data,
                scratch: false,
            },
            Err(why) => Step::Damaged { used: len, why },
        }
    }

    pub(super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(data);
        seal.close(out, start);
        match out.len() - start {
            0 => Err(EncodeError::Empty),
            len => within(len, self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config as Frame;
    use super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    fn quiet(text: &str, char_time: Duration) -> Result<Duration, String> {
        let config: Config = toml::from_str(text).map_err(|fault| fault.to_string())?;
        config.quiet(char_time).map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_gap_is_the_standards_or_the_users() {
        assert_eq!(quiet("", CHAR), Ok(Duration::from_micros(3647)));
        assert_eq!(quiet("", Duration::from_micros(87)), Ok(FLOOR));
        assert_eq!(quiet("characters = 10", CHAR), Ok(Duration::from_micros(10_420)));
        assert_eq!(quiet("gap = '20ms'", CHAR), Ok(Duration::from_millis(20)));
        assert!(
            quiet("gap = '20ms'\ncharacters = 4", CHAR)
                .unwrap_err()
                .contains("one of them")
        );
        assert!(
            quiet("gap = '0s'", CHAR)
                .unwrap_err()
                .contains("longer than nothing")
        );
        for wrong in ["-1.0", "nan", "inf", "1e300"] {
            assert!(
                quiet(&format!("characters = {wrong}"), CHAR)
                    .unwrap_err()
                    .contains("characters must"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_frame_is_what_stands_between_silences() {
        let framing = Frame::Idle(Config::default()).build(CHAR).unwrap();
        let mut line = Line::new(&framing, &());
        line.read(b"ab").wait(Duration::from_millis(4)).read(b"cd");
        assert_eq!(
            line.take(),
            [],
            "two more bytes may have taken two of these milliseconds"
        );
        assert_eq!(line.silence().take(), [frame("abcd")]);
        line.read(b"ab").wait(Duration::from_millis(7)).read(b"cd");
        assert_eq!(
            line.take(),
            [frame("ab")],
            "the timer was late, but the silence shows"
        );
        line.wait(Duration::from_millis(2));
        let early = line.decoder().deadline().unwrap() - Duration::from_millis(1);
        line.decoder().expire(early);
        assert_eq!(line.drain().take(), []);
        assert_eq!(line.silence().take(), [frame("cd")]);
        assert_eq!(line.decoder().deadline(), None);
    }

    #[test]
    fn several_silences_before_the_frames_are_asked_for() {
        let framing = build("{ idle = { gap = '5ms' } }");
        let mut line = Line::new(&framing, &());
        let start = std::time::Instant::now();
        for n in 0..4u32 {
            line.decoder()
                .extend(&[b'0' + n as u8], start + n * Duration::from_secs(1));
        }
        assert_eq!(line.drain().take(), [frame("0"), frame("1"), frame("2")]);
        assert_eq!(line.decoder().reset(), 1);
        assert_eq!(line.decoder().deadline(), None);
        assert_eq!(line.silence().take(), []);
    }

    #[test]
    fn too_long_a_burst_is_dropped_up_to_the_silence() {
        let framing = build("{ idle = { max = 4 } }");
        let mut line = Line::new(&framing, &());
        line.read(b"abcdef").silence().read(b"ok").silence();
        assert_eq!(
            line.take(),
            [
                damaged(Damage::TooLong, "abcd"),
                damaged(Damage::Noise, "ef"),
                frame("ok")
            ]
        );
    }

    proptest! {
        #[test]
        fn identity(data in bytes(b"ab", 40)) {
            let framing = build("'idle'");
            prop_assert!(sent_is_received(&framing, &Hash, &data).is_some());
            prop_assert_eq!(sent_is_received(&framing, &(), &data).is_some(), !data.is_empty());
        }

        #[test]
        fn cutting(bytes in bytes(b"ab", 100), max in 1..30usize, cuts in cuts()) {
            let framing = build(&format!("{{ idle = {{ max = {max} }} }}"));
            if bytes.len() <= max {
                cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
            }
        }
    }
}
