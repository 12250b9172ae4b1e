//! Modbus RTU: a frame is whole as soon as the length that its function gives it and its check are there.
//!
//! Silence ends only what has no known length, and the hope for a rest that does not come. So a reply is given
//! on at its last byte, and an adapter that makes pauses within a frame does no harm.

use super::super::decoder::{Scene, Step};
use super::super::idle;
use super::super::marker::Size;
use super::super::{Damage, EncodeError, Error, Seal, open, within};
use super::crc::Crc;
use super::length::lengths;
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Modbus over serial line V1.02, section 2.5.1.1: "The maximum size of a MODBUS RTU frame is 256 bytes."
const MAX: Size = Size::new(256).expect("a size");

/// The pause that most USB adapters make before they hand on what they have.
const LATENCY: Span = Span::millis(16);

/// Modbus RTU: frames whose length is known by their function, requests and replies alike. A frame is whole
/// as soon as its length and its check are there. Only a function that the specification does not have is ended
/// by silence. The CRC is part of the method: `check` is needed only where a device has another one.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ModbusRtuFrame")]
pub struct Config {
    /// The silence that ends a frame of unknown length, and the wait for a rest, as a time. Default: as
    /// `characters` and `latency` say.
    pub gap: Option<Span>,
    /// The same silence in characters, but never less than 1.75 ms; `latency` is added. Default 3.5.
    #[schemars(range(min = 0.0), extend("default" = 3.5))]
    pub characters: Option<f64>,
    /// How long the adapter may hold bytes back. Default `"16ms"`, as many USB adapters do; `"0s"` for a
    /// computer's own serial port.
    #[schemars(extend("default" = "16ms"))]
    pub latency: Span,
    /// The longest frame, in bytes, with its check. Default 256, as the specification says.
    #[schemars(extend("default" = 256))]
    pub max: Size,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            gap: None,
            characters: None,
            latency: LATENCY,
            max: MAX,
        }
    }
}

impl Config {
    pub(in super::super) fn build(&self) -> Method {
        Method { max: self.max }
    }

    /// How long the silence must be.
    pub(in super::super) fn quiet(&self, char_time: Duration) -> Result<Duration, Error> {
        let silence = idle::Config {
            gap: self.gap,
            characters: self.characters,
            max: self.max,
        };
        let quiet = silence.quiet(char_time)?;
        Ok(match self.gap {
            Some(_) => quiet,
            None => quiet.saturating_add(self.latency.0),
        })
    }
}

#[derive(Debug)]
pub(in super::super) struct Method {
    max: Size,
}

impl Method {
    pub(in super::super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        self.hear(scene.bytes, scene.silent, scene.seal)
    }

    /// The method's own check counts where none is named.
    fn hear<S: Seal + ?Sized>(&self, bytes: &[u8], silent: bool, seal: &S) -> Step {
        match seal.is_empty() {
            true => self.cut(bytes, silent, &Crc),
            false => self.cut(bytes, silent, seal),
        }
    }

    fn cut<S: Seal + ?Sized>(&self, bytes: &[u8], silent: bool, seal: &S) -> Step {
        let lengths = lengths(bytes);
        let (mut more, mut why) = (lengths.more, Damage::Noise);
        for body in lengths.known.into_iter().flatten() {
            let used = body + seal.len();
            if used > self.max.get() {
                why = Damage::TooLong;
                continue;
            }
            let Some(content) = bytes.get(..used) else {
                more = true;
                continue;
            };
            match whole(content, seal) {
                Ok(frame) => return frame,
                Err(damage) => why = damage,
            }
        }
        match silent {
            // Its end is told by silence, or by nothing.
            _ if lengths.any && bytes.len() > self.max.get() => Step::Skip(1, Damage::TooLong),
            true if lengths.any => whole(bytes, seal).unwrap_or_else(|why| Step::Skip(1, why)),
            false if more || lengths.any => Step::More,
            // Shorter than its function says; but where the check is right, that is what was sent.
            true if more => whole(bytes, seal).unwrap_or(Step::Skip(1, Damage::Stale)),
            _ => Step::Skip(1, why),
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
        out.extend_from_slice(data);
        match seal.is_empty() {
            true => Crc.close(out, start),
            false => seal.close(out, start),
        }
        within(out.len() - start, self.max)?;
        // Who hears it goes by what it says of itself.
        let check = out.len() - start - data.len();
        let lengths = lengths(&out[start..]);
        let said = lengths.known.into_iter().flatten().map(|body| body + check).min();
        if let Some(said) = said.filter(|_| !lengths.any && !lengths.more) {
            within(said, self.max)?;
        }
        match self.hear(&out[start..], true, seal) {
            Step::Frame { used, .. } if used == out.len() - start => Ok(()),
            _ => Err(EncodeError::Unknown(
                "frames of this function have another length: nobody would take it for one",
            )),
        }
    }
}

/// The frame that these bytes are.
fn whole<S: Seal + ?Sized>(content: &[u8], seal: &S) -> Result<Step, Damage> {
    let data = open(seal, content)?;
    Ok(Step::Frame {
        used: content.len(),
        data,
        scratch: false,
    })
}

#[cfg(test)]
mod tests;
