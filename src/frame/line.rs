//! Lines: frames that end with a delimiter.

use super::cut::{Cut, cut};
use super::decoder::{Scene, Step};
use super::marker::{Found, Marker, Size, compare};
use super::{EncodeError, Error, Seal, open, within};
use crate::span::Span;
use memchr::{memchr, memchr2, memchr3};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;

/// Frames that end with a delimiter.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "LineFrame")]
pub struct Config {
    /// What ends a line, 1 to 16 bytes; or a list of up to three such ends, of which the first is sent.
    /// Default `"\n"`. `["\r", "\n"]` takes every convention there is.
    #[schemars(extend("default" = "\n"))]
    pub end: Ends,
    /// Whether a CR right before the end belongs to the end. Default true, so that LF and CR LF are both
    /// taken; an end that holds a CR itself is not touched. Set it to false for a binary check before an LF.
    pub trim_cr: bool,
    /// Whether the end stays on the frame. Default false. Where a check is stripped, so is the end.
    pub keep: bool,
    /// Whether an empty line is a frame, too. Default false: empty lines are passed over.
    pub empty: bool,
    /// The longest line, in bytes, without its end. Default 4096.
    pub max: Size,
    /// A line whose rest has not come after this silence is dropped. Default `"0s"`: never.
    #[schemars(extend("default" = "0s"))]
    pub stale: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            end: Ends(vec![Marker::byte(b'\n')]),
            trim_cr: true,
            keep: false,
            empty: false,
            max: Size::DEFAULT,
            stale: Span::default(),
        }
    }
}

/// One to three ends of lines.
#[derive(Clone, PartialEq, Debug)]
pub struct Ends(Vec<Marker>);

impl Ends {
    /// Takes one to three ends, none of which begins another.
    pub fn new(ends: impl IntoIterator<Item = Marker>) -> Result<Ends, Error> {
        let ends: Vec<Marker> = ends.into_iter().collect();
        if !(1..=3).contains(&ends.len()) {
            return Err(Error::new(format!(
                "a line has one to three ends, not {}",
                ends.len()
            )));
        }
        for (i, long) in ends.iter().enumerate() {
            for (j, short) in ends.iter().enumerate() {
                if i != j && long.starts_with(short) {
                    return Err(Error::new(format!(
                        "\"{}\" would never be seen whole, because \"{}\" ends the line before",
                        long.escape_ascii(),
                        short.escape_ascii(),
                    )));
                }
            }
        }
        Ok(Ends(ends))
    }
}

impl From<Marker> for Ends {
    fn from(end: Marker) -> Ends {
        Ends(vec![end])
    }
}

impl<'de> Deserialize<'de> for Ends {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A byte of the only end, or one of several.
        enum Part {
            Byte(u8),
            End(Marker),
        }
        impl<'de> Deserialize<'de> for Part {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(PartVisitor)
            }
        }
        struct PartVisitor;
        impl<'de> de::Visitor<'de> for PartVisitor {
            type Value = Part;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte, or an end such as \"\\r\\n\"")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Part, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Signed(n), &self);
                n.try_into().map(Part::Byte).map_err(wrong)
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Part, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(n), &self);
                n.try_into().map(Part::Byte).map_err(wrong)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Part, E> {
                Marker::deserialize(de::value::StrDeserializer::new(text)).map(Part::End)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Part, A::Error> {
                Marker::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Part::End)
            }
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Ends;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an end such as \"\\r\\n\", or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ends, E> {
                Marker::deserialize(de::value::StrDeserializer::new(text)).map(Ends::from)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Ends, A::Error> {
                let (mut bytes, mut ends) = (Vec::new(), Vec::new());
                while let Some(part) = seq.next_element()? {
                    match part {
                        Part::Byte(byte) => bytes.push(byte),
                        Part::End(end) => ends.push(end),
                    }
                }
                match (bytes.is_empty(), ends.is_empty()) {
                    (false, false) => Err(de::Error::custom("numbers and ends cannot be mixed in one list")),
                    (_, false) => Ends::new(ends).map_err(de::Error::custom),
                    (_, true) => Marker::deserialize(de::value::SeqDeserializer::new(bytes.into_iter()))
                        .map(Ends::from),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Ends {
    fn schema_name() -> Cow<'static, str> {
        "Ends".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let marker = generator.subschema_for::<Marker>();
        json_schema!({
            "description": "What ends a line, or up to three such ends.",
            "anyOf": [marker, { "type": "array", "items": marker, "minItems": 1, "maxItems": 3 }],
        })
    }
}

impl Config {
    pub(super) fn build(&self) -> Result<Method, Error> {
        let mut first: Vec<u8> = self.end.0.iter().map(|end| end[0]).collect();
        first.sort_unstable();
        first.dedup();
        Ok(Method {
            config: self.clone(),
            first,
        })
    }
}

#[derive(Debug)]
pub(super) struct Method {
    config: Config,
    /// The bytes that the ends begin with, each once.
    first: Vec<u8>,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let Config { max, keep, empty, .. } = self.config;
        let bytes = scene.bytes;
        match cut(bytes, max.get(), scene.progress, |bytes, from| {
            self.find(bytes, from)
        }) {
            Cut::Step(step) => step,
            Cut::Piece { len, used } => {
                let content = self.trim(&bytes[..len], &bytes[len..used]);
                if content.is_empty() && !empty {
                    return Step::Pass(used);
                }
                match open(scene.seal, content) {
                    Ok(mut data) => {
                        if keep && data.end == content.len() {
                            data.end = used;
                        }
                        Step::Frame {
                            used,
                            data,
                            scratch: false,
                        }
                    }
                    Err(why) => Step::Damaged { used, why },
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
        out.extend_from_slice(data);
        let mut closed = None;
        if !self.config.keep || !seal.is_empty() {
            seal.close(out, start);
            closed = Some(out.len() - start);
            out.extend_from_slice(&self.config.end.0[0]);
        }
        // The frame is what the first end in it makes of it: there must be one, and nothing behind.
        let wire = &out[start..];
        let (Found::At(len), end) = self.find(wire, 0) else {
            return Err(EncodeError::Undelimited);
        };
        if len + end != wire.len() {
            return Err(EncodeError::Marker);
        }
        let content = self.trim(&wire[..len], &wire[len..]);
        if closed.is_some_and(|closed| content.len() != closed) {
            return Err(EncodeError::Marker);
        }
        if content.is_empty() && !self.config.empty {
            return Err(EncodeError::Empty);
        }
        within(len, self.config.max)
    }

    /// The line without the CR that belongs to its end.
    fn trim<'a>(&self, line: &'a [u8], end: &[u8]) -> &'a [u8] {
        match line {
            [content @ .., b'\r'] if self.config.trim_cr && !end.contains(&b'\r') => content,
            _ => line,
        }
    }

    /// The first end at `from` or behind, and its length.
    fn find(&self, bytes: &[u8], from: usize) -> (Found, usize) {
        let mut at = from.min(bytes.len());
        loop {
            let rest = &bytes[at..];
            let hop = match *self.first.as_slice() {
                [a] => memchr(a, rest),
                [a, b] => memchr2(a, b, rest),
                [a, b, c, ..] => memchr3(a, b, c, rest),
                [] => None,
            };
            let Some(hop) = hop else {
                return (Found::NotBefore(bytes.len()), 0);
            };
            at += hop;
            let mut maybe = false;
            for end in &self.config.end.0 {
                match compare(end, &bytes[at..]) {
                    Some(true) => return (Found::At(at), end.len()),
                    Some(false) => {}
                    None => maybe = true,
                }
            }
            if maybe {
                return (Found::NotBefore(at), 0);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::super::{Config as Frame, Damage, EncodeError};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lf_and_crlf_both_end_a_line_and_empty_ones_are_passed_over() {
        let lines = build("'line'");
        let got = decode(&lines, &(), b"one\r\n\r\ntwo\n\nthr\ree\n");
        assert_eq!(got, [frame("one"), frame("two"), frame("thr\ree")]);
    }

    #[test]
    fn every_convention_at_once() {
        let lines = build("{ line = { end = ['\\r', '\\n'] } }".replace('\'', "\"").as_str());
        assert_eq!(
            decode(&lines, &(), b"a\rb\nc\r\nd\r\r\n"),
            [frame("a"), frame("b"), frame("c"), frame("d")]
        );
        assert_eq!(encode(&lines, &(), b"x"), Ok(b"x\r".to_vec()));
    }

    #[test]
    fn the_end_may_be_kept_and_empty_lines_too() {
        let lines = build("{ line = { keep = true, empty = true } }");
        assert_eq!(
            decode(&lines, &(), b"a\r\n\nb\n"),
            [frame("a\r\n"), frame("\n"), frame("b\n")]
        );
        assert_eq!(encode(&lines, &(), b"a\r\n"), Ok(b"a\r\n".to_vec()));
        assert_eq!(encode(&lines, &(), b"a"), Err(EncodeError::Undelimited));
        assert_eq!(encode(&lines, &(), b"a\nb\n"), Err(EncodeError::Marker));
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let lines = build("{ line = { max = 4 } }");
        let got = decode(&lines, &(), b"abcd\nabcdefghij\nok\n");
        let long = |bytes: &str| damaged(Damage::TooLong, bytes);
        let rest = |bytes: &str| damaged(Damage::Noise, bytes);
        assert_eq!(
            got,
            [
                frame("abcd"),
                long("abcd"),
                rest("efgh"),
                rest("ij\n"),
                frame("ok")
            ]
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let lines = build("{ line = { max = 4 } }");
        assert_eq!(encode(&lines, &(), b"a\nb"), Err(EncodeError::Marker));
        assert_eq!(encode(&lines, &(), b"a\r"), Err(EncodeError::Marker));
        assert_eq!(encode(&lines, &(), b""), Err(EncodeError::Empty));
        assert_eq!(
            encode(&lines, &(), b"abcde"),
            Err(EncodeError::TooLong { len: 5, max: 4 })
        );
        // A check byte may be a delimiter, too: here the sum of the data is LF.
        assert_eq!(
            encode(&lines, &Sum { from: 0, width: 1 }, &[4, 6]),
            Err(EncodeError::Marker)
        );
    }

    /// The data's last byte and the end together were another end, and the last byte was lost.
    #[test]
    fn regression_data_that_makes_a_longer_end_is_refused() {
        let lines = build("{ line = { end = ['ba', 'bba'] } }");
        assert_eq!(encode(&lines, &(), b"ab"), Err(EncodeError::Marker));
        let lines = build("{ line = { keep = true } }");
        assert_eq!(
            encode(&lines, &Sum { from: 0, width: 1 }, b"\r"),
            Err(EncodeError::Marker)
        );
    }

    #[test]
    fn a_half_line_goes_stale_only_where_asked() {
        let mut line = build("'line'");
        assert_eq!(decode(&line, &(), b"half"), []);
        line = build("{ line = { stale = '2s' } }");
        assert_eq!(decode(&line, &(), b"half"), [damaged(Damage::Stale, "half")]);
    }

    #[test]
    fn ends_are_read_as_one_or_several() {
        let read = |text: &str| {
            #[derive(Deserialize)]
            struct Held {
                end: Ends,
            }
            toml::from_str::<Held>(text).map(|held| held.end.0.iter().map(|e| e.to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(read("end = \";\"").unwrap(), [b";"]);
        assert_eq!(read("end = [13, 10]").unwrap(), [b"\r\n"]);
        assert_eq!(read("end = [\"\\r\", [10]]").unwrap(), [b"\r", b"\n"]);
        for (text, fault) in [
            ("end = \"\"", "1 to 16 bytes"),
            ("end = []", "1 to 16 bytes"),
            ("end = [300]", "a byte, or an end"),
            ("end = [1, \"a\"]", "cannot be mixed"),
            ("end = [\"\\r\", \"\\r\\n\"]", "would never be seen whole"),
            ("end = [\"1\", \"2\", \"3\", \"4\"]", "one to three ends"),
        ] {
            let text = read(text).unwrap_err().to_string();
            assert!(text.contains(fault), "{text}");
        }
    }

    fn any_config() -> impl Strategy<Value = Config> {
        let byte = || proptest::sample::select(&b"\r\nab"[..]);
        let ends = proptest::collection::vec(proptest::collection::vec(byte(), 1..4), 1..4)
            .prop_filter_map("ends that go together", |ends| {
                Ends::new(ends.into_iter().filter_map(Marker::new)).ok()
            });
        (ends, any::<[bool; 3]>(), 1..30usize).prop_map(|(end, [trim_cr, keep, empty], max)| Config {
            end,
            trim_cr,
            keep,
            empty,
            max: Size::new(max).unwrap(),
            stale: Span::millis(500),
        })
    }

    proptest! {
        #[test]
        fn cutting(config in any_config(), bytes in bytes(b"\r\nab", 200), cuts in cuts()) {
            let (max, framing) = (config.max.get(), Frame::Line(config).build(CHAR).unwrap());
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, max);
        }

        #[test]
        fn identity(config in any_config(), data in bytes(b"\r\nab", 12)) {
            let framing = Frame::Line(config).build(CHAR).unwrap();
            sent_is_received(&framing, &(), &data);
            sent_is_received(&framing, &Hash, &data);
        }

        #[test]
        fn text_can_be_sent(data in "[ -~]{1,80}") {
            prop_assert!(sent_is_received(&build("'line'"), &(), data.as_bytes()).is_some());
        }

        #[test]
        fn garbage(stream in stream(b"\r\nab")) {
            // A delimiter is all that tells lines apart: garbage that has none belongs to the line behind it.
            let stream: Vec<_> = stream.into_iter().map(|(mut g, d)| { g.push(b'\n'); (g, d) }).collect();
            garbage_costs_no_frame(&build("'line'"), &stream);
        }
    }
}
