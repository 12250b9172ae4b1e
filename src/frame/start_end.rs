//! Frames between a start and an end marker.

use super::decoder::{Scene, Step};
pub use super::escape::{Escape, Stuff, Xor};
use super::escape::{Escaping, Met};
use super::marker::{Found, Marker, Size, compare, find};
use super::seek::Lead;
use super::{Damage, EncodeError, Error, Seal, check, readable, within};
use crate::octets::Octets;
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::Range;

/// The longest tail, in bytes.
const TAIL_MAX: usize = 64;

/// Frames between a start and an end marker.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "StartEndFrame")]
pub struct Config {
    /// What a frame begins with, 1 to 16 bytes.
    pub start: Marker,
    /// What a frame ends with, 1 to 16 bytes. A check stands before it, or behind it as the `tail`.
    pub end: Marker,
    /// How many bytes follow the end marker and belong to the frame: mostly the check, as in ETX BCC. Default
    /// 0, at most 64.
    #[serde(default)]
    #[schemars(range(max = TAIL_MAX))]
    pub tail: usize,
    /// How many bytes the whole frame has, both markers and the tail included, where that is always the
    /// same; then the markers may occur inside. Default: it ends with the first end marker.
    #[serde(default)]
    pub length: Option<Size>,
    /// How markers are kept out of the frame's inside. Default: not at all.
    #[serde(default)]
    pub escape: Option<Escape>,
    /// Whether a start marker inside a frame means that the frame was cut off and another begins. Default
    /// false: it is data, unless the frame's check fails. Set it to true where the start marker never is data
    /// and there is no check. With `escape` it always means that.
    #[serde(default)]
    pub restart: bool,
    /// Whether a frame whose check fails is dropped as a whole, instead of being searched for another start. For
    /// start markers that stand in every frame many times, such as `"\r\n"`: the rest of a damaged frame must not
    /// pass for a frame because its short check happens to hold. Default false.
    #[serde(default)]
    pub whole: bool,
    /// Whether the start marker is taken off the data, after the check. Default true. The end marker and the
    /// tail never are data.
    #[serde(default = "strip")]
    pub strip: bool,
    /// Bytes that may stand between frames and are no noise, such as `"\r\n"`. Default none.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub ignore: Octets,
    /// The longest frame, in bytes as on the wire: with markers, escapes and tail. Default 4096.
    #[serde(default)]
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"1s"`; `"0s"` means never.
    #[serde(default = "stale")]
    #[schemars(extend("default" = "1s"))]
    pub stale: Span,
}

fn strip() -> bool {
    true
}

fn stale() -> Span {
    Span::millis(1000)
}

impl Config {
    /// Frames between two markers, all else being the default.
    pub fn new(start: Marker, end: Marker) -> Config {
        Config {
            start,
            end,
            tail: 0,
            length: None,
            escape: None,
            restart: false,
            whole: false,
            strip: strip(),
            ignore: Octets::default(),
            max: Size::DEFAULT,
            stale: stale(),
        }
    }

    pub(super) fn build(&self) -> Result<Method, Error> {
        if self.tail > TAIL_MAX {
            return Err(Error::new(format!(
                "a tail has at most {TAIL_MAX} bytes, not {}",
                self.tail
            )));
        }
        let inside = match (self.length, &self.escape) {
            (Some(_), _) if self.escape.is_some() || self.restart => {
                return Err(Error::new(
                    "a frame of given length needs neither escape nor restart",
                ));
            }
            (Some(length), _) if length.get() < self.start.len() + self.end.len() + self.tail => {
                return Err(Error::new(
                    "the length is less than the markers and the tail have",
                ));
            }
            (Some(length), _) => Inside::Length(length.get()),
            (None, Some(escape)) => Inside::Escaped(Escaping::new(escape, &self.start, &self.end)?),
            (None, None) => Inside::Plain,
        };
        let wire_check = matches!(&self.escape, Some(Escape::Stuff(stuff)) if stuff.wire_check);
        if wire_check && self.tail == 0 {
            return Err(Error::new(
                "a check over the escapes must stand behind the end marker: `tail` is missing",
            ));
        }
        Ok(Method {
            lead: Lead::new(&self.start, b"", &self.ignore)?,
            inside,
            wire_check,
            config: self.clone(),
        })
    }
}

#[derive(Debug)]
pub(super) struct Method {
    config: Config,
    lead: Lead,
    inside: Inside,
    wire_check: bool,
}

/// How the inside of a frame ends.
#[derive(Debug)]
enum Inside {
    /// With the first end marker.
    Plain,
    /// After so many bytes, markers and tail included.
    Length(usize),
    /// With the first end marker that is not escaped.
    Escaped(Escaping),
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        if let Some(step) = self.lead.seek(scene.bytes, scene.silent) {
            return step;
        }
        let step = self.frame(scene);
        let leaves = matches!(step, Step::Skip(..) | Step::Frame { .. } | Step::Damaged { .. });
        if leaves && matches!(self.inside, Inside::Escaped(_)) {
            // Where escapes are depends on where the frame began; what was met says something all the same.
            let progress = &mut *scene.progress;
            progress.inner = progress.inner.max(std::mem::take(&mut progress.seen));
            progress.escaped = false;
        }
        step
    }

    /// The frame that begins with the first byte.
    fn frame<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let Scene {
            bytes, silent, seal, ..
        } = *scene;
        let behind = self.config.end.len() + self.config.tail;
        let short = |used: usize| match used > self.max() {
            true => Step::Skip(1, Damage::TooLong),
            false if silent => Step::Skip(1, Damage::Stale),
            false => Step::More,
        };
        let end = match self.end(scene) {
            Ok(Met::End(end)) if end + behind > self.max().min(bytes.len()) => return short(end + behind),
            Ok(Met::End(end)) => end,
            Ok(Met::Nothing(place)) => return short(place + behind),
            // What is met behind the longest frame is not looked at, wherever the reads were cut.
            Ok(Met::Start(place) | Met::Wrong(place)) if place + behind > self.max() => {
                return short(place + behind);
            }
            Ok(Met::Start(place)) => {
                // One that overlaps it may be the true one.
                let past = (place + 1).saturating_sub(self.config.start.len());
                return Step::Skip(past.max(1), Damage::Unfinished);
            }
            Ok(Met::Wrong(_)) => return Step::Skip(1, Damage::Escape),
            Err(step) => return step,
        };
        let used = end + behind;
        let opened = self.open(scene, seal, end, used).and_then(|(data, scratch)| {
            let content = if scratch { &scene.scratch[..] } else { bytes };
            readable(seal, &content[data.clone()]).map(|()| (data, scratch))
        });
        match opened {
            Ok((data, scratch)) => Step::Frame { used, data, scratch },
            Err(why) if self.config.whole => Step::Damaged { used, why },
            Err(why) => Step::Skip(1, why),
        }
    }

    fn max(&self) -> usize {
        match self.inside {
            Inside::Length(length) => length,
            Inside::Plain | Inside::Escaped(_) => self.config.max.get(),
        }
    }

    /// Where the end marker stands.
    fn end<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Result<Met, Step> {
        let Config {
            start,
            end,
            tail,
            restart,
            ..
        } = &self.config;
        let (bytes, progress) = (scene.bytes, &mut *scene.progress);
        let from = progress.seen.max(start.len());
        match &self.inside {
            Inside::Length(length) => {
                let place = length - tail - end.len();
                match bytes.get(place..*length) {
                    None => Ok(Met::Nothing(place)),
                    Some(rest) if rest.starts_with(end) => Ok(Met::End(place)),
                    Some(_) => Err(Step::Skip(1, Damage::End)),
                }
            }
            Inside::Escaped(escaping) => {
                let met = escaping.scan(bytes, from, progress.inner, &mut progress.escaped);
                let (Met::End(place) | Met::Start(place) | Met::Wrong(place) | Met::Nothing(place)) = met;
                progress.seen = place;
                Ok(met)
            }
            Inside::Plain => {
                let found = find(end, bytes, from);
                let (Found::At(place) | Found::NotBefore(place)) = found;
                progress.seen = place;
                if *restart {
                    // Another start counts when it is whole before the end marker and within the longest frame.
                    let limit = place.min(self.max().saturating_sub(end.len() + tail));
                    let inner = find(start, &bytes[..limit], progress.inner.max(1));
                    let (Found::At(other) | Found::NotBefore(other)) = inner;
                    progress.inner = other;
                    if inner == Found::At(other) {
                        return Ok(Met::Start(other));
                    }
                }
                Ok(match found {
                    Found::At(place) => Met::End(place),
                    Found::NotBefore(place) => Met::Nothing(place),
                })
            }
        }
    }

    /// Checks the frame whose end marker stands at `end`: where its data is, and whether in the scratch.
    fn open<S: Seal + ?Sized>(
        &self,
        scene: &mut Scene<'_, S>,
        seal: &S,
        end: usize,
        used: usize,
    ) -> Result<(Range<usize>, bool), Damage> {
        let (bytes, start, tail) = (scene.bytes, self.config.start.len(), self.config.tail);
        let first = if self.config.strip { start } else { 0 };
        let inside = |data: Range<usize>, end: usize| {
            let end = data.end.min(end);
            data.start.max(first).min(end)..end
        };
        let behind = if tail > 0 { end..used } else { end..end };
        let Inside::Escaped(escaping) = &self.inside else {
            return self
                .check(seal, &bytes[..behind.end], start)
                .map(|data| (inside(data, end), false));
        };
        if !scene.progress.escaped {
            return self
                .check(seal, &bytes[..behind.end], start)
                .map(|data| (inside(data, end), false));
        }
        let scratch = &mut *scene.scratch;
        scratch.clear();
        if self.wire_check {
            let data = inside(self.check(seal, &bytes[..used], start)?, end);
            let escaped = data.start.max(start).min(data.end)..data.end;
            scratch.extend_from_slice(&bytes[data.start..escaped.start]);
            return match escaping.unescape(&bytes[escaped], scratch) {
                true => Ok((0..scratch.len(), true)),
                false => Err(Damage::Escape),
            };
        }
        scratch.extend_from_slice(&bytes[..start]);
        if !escaping.unescape(&bytes[start..end], scratch) {
            return Err(Damage::Escape);
        }
        let end = scratch.len();
        scratch.extend_from_slice(&bytes[behind]);
        let data = self.check(seal, scratch, start)?;
        Ok((inside(data, end), true))
    }

    fn check<S: Seal + ?Sized>(
        &self,
        seal: &S,
        content: &[u8],
        start: usize,
    ) -> Result<Range<usize>, Damage> {
        if content.len() < start + seal.len() {
            return Err(Damage::TooShort);
        }
        check(seal, content)
    }

    pub(super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Config {
            start,
            end,
            tail,
            strip,
            ..
        } = &self.config;
        if *tail > 0 && *tail != seal.len() {
            return Err(EncodeError::Unknown(
                "only the device knows what stands behind the end marker",
            ));
        }
        let mut content = if *strip { start.to_vec() } else { Vec::new() };
        content.extend_from_slice(data);
        if compare(start, &content) != Some(true) {
            return Err(EncodeError::Unstarted);
        }
        if *tail == 0 {
            seal.close(&mut content, 0);
        }
        let inside = &content[start.len()..];
        let mut wire = start.to_vec();
        match &self.inside {
            Inside::Escaped(escaping) => escaping.escape(inside, &mut wire),
            Inside::Plain | Inside::Length(_) => wire.extend_from_slice(inside),
        }
        let place = wire.len();
        wire.extend_from_slice(end);
        if self.wire_check {
            seal.close(&mut wire, 0);
        } else if *tail > 0 {
            content.extend_from_slice(end);
            let closed = content.len();
            seal.close(&mut content, 0);
            wire.extend_from_slice(&content[closed..]);
        }
        let bare = self.bare(&wire, place);
        out.extend_from_slice(&wire);
        match self.inside {
            Inside::Length(length) if wire.len() != length => Err(EncodeError::Length {
                len: wire.len(),
                length,
            }),
            Inside::Length(_) => Ok(()),
            Inside::Plain | Inside::Escaped(_) if !bare => Err(EncodeError::Marker),
            Inside::Plain | Inside::Escaped(_) => within(wire.len(), self.config.max),
        }
    }

    /// Whether the frame's inside has no marker that would be taken for one: the end is met at `place`.
    fn bare(&self, wire: &[u8], place: usize) -> bool {
        let Config {
            start, end, restart, ..
        } = &self.config;
        match &self.inside {
            Inside::Length(_) => true,
            Inside::Escaped(escaping) => escaping.scan(wire, start.len(), 0, &mut false) == Met::End(place),
            Inside::Plain => {
                find(end, wire, start.len()) == Found::At(place)
                    && !(*restart && matches!(find(start, &wire[..place], 1), Found::At(_)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
