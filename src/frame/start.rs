//! Frames that begin with a marker and have no mark of their end.

use super::decoder::{Scene, Step};
use super::marker::{Found, Marker, Size};
use super::seek::Lead;
use super::{Damage, EncodeError, Error, Seal, open_behind, within};
use crate::octets::Octets;
use crate::span::Span;
use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Frames that begin with a marker and run until the next one, until silence, or for a given length.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "StartFrame")]
pub struct Config {
    /// What a frame begins with, 1 to 16 bytes. It is part of the frame.
    pub marker: Marker,
    /// Which bits of the marker count, as many bytes as the marker has: with `marker = [0xe0]` and
    /// `mask = [0xf0]` a frame begins with 0xE0 to 0xEF. Default: all bits.
    #[serde(default)]
    pub mask: Option<Marker>,
    /// Where a frame ends: `"marker"`, before the next marker; `{ silence = "20ms" }`, when nothing has come
    /// for so long; `{ length = 9 }`, after so many bytes, marker and check included.
    pub until: Until,
    /// Whether a marker that is data is sent twice, as the 0x1A of Mode-S Beast: it is halved again, behind the start
    /// before the check. The marker has one byte then, and frames end with `until = "marker"`. Default false.
    #[serde(default)]
    pub doubled: bool,
    /// Whether the marker is taken off the data, after the check. Default false.
    #[serde(default)]
    pub strip: bool,
    /// Bytes that may stand between frames and are no noise, such as `"\r\n"`. Default none.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub ignore: Octets,
    /// The longest frame, in bytes, marker and check included. Default 4096.
    #[serde(default)]
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"1s"`; `"0s"` means never. With
    /// `until = "marker"` this silence ends the frame, because no other marker may come; with
    /// `until = { silence = ... }` it means nothing.
    #[serde(default = "stale")]
    #[schemars(extend("default" = "1s"))]
    pub stale: Span,
}

/// Where a frame ends that has no mark of its end.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Before the next marker.
    Marker,
    /// When nothing has come for so long.
    Silence(Span),
    /// After so many bytes, marker and check included.
    Length(Size),
}

fn stale() -> Span {
    Span::millis(1000)
}

impl Config {
    pub(super) fn build(&self) -> Result<Method, Error> {
        if self.doubled && (self.marker.len() != 1 || self.mask.is_some() || self.until != Until::Marker) {
            return Err(Error::new(
                "`doubled` is for a marker of one byte, without `mask`, and `until = \"marker\"`",
            ));
        }
        match self.until {
            Until::Silence(span) if span.0.is_zero() => {
                return Err(Error::new(
                    "the silence that ends a frame must be longer than nothing",
                ));
            }
            Until::Length(length) if length.get() < self.marker.len() => {
                return Err(Error::new(
                    "the length counts the marker, so it cannot be less than the marker has",
                ));
            }
            _ => {}
        }
        Ok(Method {
            lead: Lead::new(
                &self.marker,
                self.mask.as_deref().unwrap_or_default(),
                &self.ignore,
            )?,
            config: self.clone(),
        })
    }

    pub(super) fn quiet(&self) -> Option<Duration> {
        match self.until {
            Until::Silence(span) => Some(span.0),
            Until::Marker | Until::Length(_) => Some(self.stale.0).filter(|time| !time.is_zero()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Method {
    config: Config,
    lead: Lead,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let Scene {
            bytes, silent, seal, ..
        } = *scene;
        if let Some(step) = self.lead.seek(bytes, silent) {
            return step;
        }
        if self.config.doubled {
            match bytes.get(1) {
                Some(next) if next == &bytes[0] => return Step::Skip(2, Damage::Noise),
                None if !silent => return Step::More,
                _ => {}
            }
        }
        let (len, max) = match self.length(scene) {
            Ok(len) => len,
            Err(step) => return step,
        };
        if len > max {
            return Step::Skip(1, Damage::TooLong);
        }
        let header = self.lead.len();
        if len < header + seal.len() {
            return Step::Skip(1, Damage::TooShort);
        }
        let header = if self.config.strip { header } else { 0 };
        let scratch = self.config.doubled && memchr(bytes[0], &bytes[1..len]).is_some();
        let content = match scratch {
            true => {
                halve(&bytes[..len], scene.scratch);
                scene.scratch.as_slice()
            }
            false => &bytes[..len],
        };
        match open_behind(seal, content, header) {
            Ok(data) => Step::Frame {
                used: len,
                data,
                scratch,
            },
            Err(why) => Step::Skip(1, why),
        }
    }

    /// How long the frame is that begins with the first byte, and how long it may be.
    fn length<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Result<(usize, usize), Step> {
        let (bytes, max) = (scene.bytes, self.config.max.get());
        match self.config.until {
            Until::Length(length) if bytes.len() >= length.get() => Ok((length.get(), length.get())),
            Until::Length(_) if scene.silent => Err(Step::Skip(1, Damage::Stale)),
            Until::Length(_) => Err(Step::More),
            Until::Silence(_) if scene.silent || bytes.len() > max => Ok((bytes.len(), max)),
            Until::Silence(_) => Err(Step::More),
            Until::Marker => {
                let from = scene.progress.seen.max(self.lead.len());
                let found = match self.config.doubled {
                    true => single(bytes, from, scene.silent),
                    false => self.lead.find(bytes, from),
                };
                let (Found::At(end) | Found::NotBefore(end)) = found;
                scene.progress.seen = end;
                match found {
                    Found::NotBefore(_) if end > max => Ok((end, max)),
                    Found::NotBefore(_) if scene.silent => Ok((bytes.len(), max)),
                    Found::NotBefore(_) => Err(Step::More),
                    Found::At(_) => Ok((end, max)),
                }
            }
        }
    }

    pub(super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        if self.config.strip {
            out.extend_from_slice(&self.config.marker);
        } else if self.lead.compare(data) != Some(true) {
            return Err(EncodeError::Unstarted);
        }
        out.extend_from_slice(data);
        seal.close(out, start);
        if self.config.doubled {
            let body = out.split_off(start + 1);
            if body.first() == self.config.marker.first() {
                // It would be taken for a doubled one, in the midst of a frame.
                return Err(EncodeError::Marker);
            }
            for byte in body {
                out.push(byte);
                if byte == self.config.marker[0] {
                    out.push(byte);
                }
            }
            return within(out.len() - start, self.config.max);
        }
        let wire = &out[start..];
        let len = wire.len();
        match self.config.until {
            Until::Length(length) if length.get() == len => Ok(()),
            Until::Length(length) => Err(EncodeError::Length {
                len,
                length: length.get(),
            }),
            Until::Marker if self.lead.find(wire, self.lead.len()) != Found::NotBefore(len) => {
                Err(EncodeError::Marker)
            }
            Until::Marker | Until::Silence(_) => within(len, self.config.max),
        }
    }
}

/// The first place at `from` or behind where the first byte stands again, and not twice.
fn single(bytes: &[u8], from: usize, silent: bool) -> Found {
    let marker = bytes[0];
    let mut at = from;
    while let Some(n) = bytes.get(at..).and_then(|rest| memchr(marker, rest)) {
        at += n;
        match bytes.get(at + 1) {
            Some(next) if *next == marker => at += 2,
            None if !silent => return Found::NotBefore(at),
            _ => return Found::At(at),
        }
    }
    Found::NotBefore(bytes.len().max(at))
}

/// The frame with each doubled marker once.
fn halve(wire: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = wire.iter().enumerate();
    while let Some((at, byte)) = rest.next() {
        out.push(*byte);
        if at > 0 && *byte == wire[0] {
            rest.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config as Frame;
    use super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn until_the_next_marker_or_silence() {
        let framing = build("{ start = { marker = '$', until = 'marker', max = 6 } }");
        let got = decode(&framing, &(), b"xy$a$bc$toolong$d");
        let long = damaged(Damage::TooLong, "$toolong");
        assert_eq!(
            got,
            [
                damaged(Damage::Noise, "xy"),
                frame("$a"),
                frame("$bc"),
                long,
                frame("$d")
            ]
        );
        assert_eq!(encode(&framing, &(), b"$ok"), Ok(b"$ok".to_vec()));
        assert_eq!(encode(&framing, &(), b"$o$k"), Err(EncodeError::Marker));
        assert_eq!(encode(&framing, &(), b"ok"), Err(EncodeError::Unstarted));
    }

    /// Mode-S Beast: 0x1A begins a message, and is sent twice within it.
    #[test]
    fn a_marker_that_is_data_is_sent_twice() {
        let framing = build("{ start = { marker = [0x1a], until = 'marker', doubled = true, max = 12 } }");
        let wire = b"\x1a1a\x1a\x1ab\x1a2\x1a\x1a\x1a\x1a\x1a3";
        let mut line = Line::new(&framing, &());
        assert_eq!(
            line.read(wire).silence().take(),
            [frame(b"\x1a1a\x1ab"), frame(b"\x1a2\x1a\x1a"), frame(b"\x1a3"),]
        );
        // A line that is met in the middle of a doubled marker finds its way.
        assert_eq!(
            line.read(b"\x1a\x1ab\x1a4").silence().take(),
            [damaged(Damage::Noise, b"\x1a\x1ab"), frame(b"\x1a4")]
        );
        let sent = encode(&framing, &(), b"\x1a2\x1a");
        assert_eq!(sent, Ok(b"\x1a2\x1a\x1a".to_vec()));
        // A line that is met here would not know a beginning.
        assert_eq!(encode(&framing, &(), b"\x1a\x1a2"), Err(EncodeError::Marker));
        for wrong in [
            "marker = 'ab'\nuntil = 'marker'",
            "marker = 'a'\nuntil = { length = 4 }",
        ] {
            let config: Config = toml::from_str(&format!("doubled = true\n{wrong}")).unwrap();
            assert!(config.build().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn doubled_markers_come_back(
            frames in proptest::collection::vec(proptest::collection::vec(0x19u8..0x1c, 1..8), 1..6),
            cut in 1usize..9,
        ) {
            let framing = build("{ start = { marker = [0x1a], until = 'marker', doubled = true } }");
            // What begins with a marker could be taken for a doubled one.
            let frames: Vec<Vec<u8>> = frames.iter().map(|rest| [b"\x1a0", rest.as_slice()].concat()).collect();
            let wire: Vec<u8> = frames.iter().flat_map(|frame| encode(&framing, &(), frame).unwrap()).collect();
            let mut line = Line::new(&framing, &());
            let mut got = Vec::new();
            for part in wire.chunks(cut) {
                got.extend(line.read(part).take());
            }
            got.extend(line.silence().take());
            let wanted: Vec<_> = frames.iter().map(frame).collect();
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn until_silence() {
        let framing = build("{ start = { marker = [0x55], until = { silence = '5ms' }, strip = true } }");
        let mut line = Line::new(&framing, &());
        assert_eq!(line.read(b"\x55one\x55").take(), []);
        assert_eq!(line.silence().take(), [frame("one\x55")]);
        assert_eq!(
            line.read(b"!\x55two").silence().take(),
            [damaged(Damage::Noise, "!"), frame("two")]
        );
        assert_eq!(encode(&framing, &(), b"three"), Ok(b"\x55three".to_vec()));
    }

    /// MH-Z19B CO2 sensor, capture 0 (github.com/avaldebe/PyPMS, tests/captured_data/data.csv), after a
    /// frame that lost its end.
    #[test]
    fn a_given_length_after_a_false_start() {
        let framing = build("{ start = { marker = [0xff, 0x86], until = { length = 9 } } }");
        let good = hex("ff86027c42000000ba");
        let wire = [b"\xff\x86\x02", good.as_slice()].concat();
        let check = Hash9;
        assert_eq!(
            decode(&framing, &check, &wire),
            [damaged(Damage::Check, b"\xff\x86\x02"), frame(&good[..8])]
        );
        assert_eq!(
            decode(&framing, &check, &good[..5]),
            [damaged(Damage::Stale, &good[..5])]
        );
    }

    /// The sensor's check: the negated sum of all but the first byte.
    struct Hash9;
    impl Seal for Hash9 {
        fn open(&self, content: &[u8]) -> Option<std::ops::Range<usize>> {
            let sum = content[1..].iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
            (sum == 0).then_some(0..content.len() - 1)
        }
        fn len(&self) -> usize {
            1
        }
        fn close(&self, content: &mut Vec<u8>, start: usize) {
            let sum = content[start + 1..]
                .iter()
                .fold(0u8, |sum, b| sum.wrapping_sub(*b));
            content.push(sum);
        }
    }

    /// Paradox alarm panels: live events are 37 bytes, the first of which has E as its high half.
    #[test]
    fn a_masked_marker() {
        let framing = build("{ start = { marker = [0xe0], mask = [0xf0], until = { length = 3 } } }");
        assert_eq!(
            decode(&framing, &(), b"\x12\xe2ab\xe0cd"),
            [
                damaged(Damage::Noise, b"\x12"),
                frame(b"\xe2ab"),
                frame(b"\xe0cd")
            ]
        );
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let config = |until| {
            Frame::Start(Config {
                marker: Marker::new(*b"ab").unwrap(),
                mask: None,
                until,
                doubled: false,
                strip: false,
                ignore: Octets::default(),
                max: Size::DEFAULT,
                stale: stale(),
            })
            .build(CHAR)
        };
        assert!(config(Until::Silence(Span::default())).is_err());
        assert!(config(Until::Length(Size::new(1).unwrap())).is_err());
        assert!(config(Until::Marker).is_ok());
    }

    fn any_config() -> impl Strategy<Value = Config> {
        let marker = proptest::collection::vec(proptest::sample::select(&b"ab"[..]), 1..4);
        let until = prop_oneof![
            Just(Until::Marker),
            Just(Until::Silence(Span::millis(5))),
            (8..30usize).prop_map(|n| Until::Length(Size::new(n).unwrap())),
        ];
        (marker, until, any::<bool>(), any::<bool>(), 8..40usize).prop_map(
            |(marker, until, strip, ignore, max)| Config {
                marker: Marker::new(marker).unwrap(),
                mask: None,
                until,
                doubled: false,
                strip,
                ignore: if ignore { b"a\n".to_vec() } else { Vec::new() }.into(),
                max: Size::new(max).unwrap(),
                stale: stale(),
            },
        )
    }

    /// Makes data of it that the method can carry, mostly.
    fn fit(config: &Config, data: &[u8]) -> Vec<u8> {
        let marker = if config.strip { 0 } else { config.marker.len() };
        let mut data = [&config.marker[..marker], data].concat();
        if let Until::Length(length) = config.until {
            data.resize(length.get() - Hash.len() - config.marker.len() + marker, b'a');
        }
        data
    }

    proptest! {
        #[test]
        fn cutting(config in any_config(), bytes in bytes(b"ab\n", 100), cuts in cuts()) {
            let framing = Frame::Start(config).build(CHAR).unwrap();
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, 40);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, 40);
        }

        #[test]
        fn identity(config in any_config(), data in bytes(b"abc", 20)) {
            let framing = Frame::Start(config.clone()).build(CHAR).unwrap();
            sent_is_received(&framing, &(), &data);
            let sent = sent_is_received(&framing, &Hash, &fit(&config, &data));
            prop_assert!(sent.is_some() || !matches!(config.until, Until::Length(_)));
        }

        #[test]
        fn garbage(config in any_config(), mut stream in stream(b"abc")) {
            for (n, (garbage, data)) in stream.iter_mut().enumerate() {
                *data = fit(&config, data);
                // Where nothing but the next marker ends a frame, garbage behind it belongs to it.
                if config.until == Until::Marker && n > 0 {
                    garbage.clear();
                }
            }
            if !matches!(config.until, Until::Silence(_)) {
                garbage_costs_no_frame(&Frame::Start(config).build(CHAR).unwrap(), &stream);
            }
        }
    }
}
