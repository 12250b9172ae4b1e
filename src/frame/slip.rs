//! SLIP, "a nonstandard for transmission of IP datagrams over serial lines" (RFC 1055).

use super::cut::{Cut, cut, find_byte};
use super::decoder::{Scene, Step};
use super::marker::Size;
use super::{Damage, EncodeError, Seal, open, within};
use crate::span::Span;
use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;

/// RFC 1055, page 6: "indicates end of packet".
const END: u8 = 0o300;
/// RFC 1055, page 6: "indicates byte stuffing".
const ESC: u8 = 0o333;
/// RFC 1055, page 6: "ESC ESC_END means END data byte".
const ESC_END: u8 = 0o334;
/// RFC 1055, page 6: "ESC ESC_ESC means ESC data byte".
const ESC_ESC: u8 = 0o335;

/// SLIP (RFC 1055): frames end with the byte 0xC0; inside, 0xDB 0xDC stands for 0xC0 and 0xDB 0xDD for 0xDB.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "SlipFrame")]
pub struct Config {
    /// Whether a frame that is sent begins with 0xC0, too, so that noise before it does not spoil it.
    /// Default true. Set it to false for a device that takes the empty frame amiss.
    pub lead: bool,
    /// The longest frame, in bytes, unescaped and with its check. Default 4096.
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"0s"`: never.
    #[schemars(extend("default" = "0s"))]
    pub stale: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            lead: true,
            max: Size::DEFAULT,
            stale: Span::default(),
        }
    }
}

impl Config {
    pub(super) fn build(&self) -> Method {
        Method {
            lead: self.lead,
            max: self.max,
        }
    }
}

#[derive(Debug)]
pub(super) struct Method {
    lead: bool,
    max: Size,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let bytes = scene.bytes;
        let max = self.max.get();
        let (len, used) = match cut(bytes, 2 * max, scene.progress, find_byte(END)) {
            Cut::Piece { len, used } => (len, used),
            Cut::Step(step) => return step,
        };
        if len == 0 {
            return Step::Pass(used);
        }
        let mut content = &bytes[..len];
        let scratch = memchr(ESC, content).is_some();
        if scratch {
            if !unescape(content, scene.scratch) {
                return Step::Damaged {
                    used,
                    why: Damage::Escape,
                };
            }
            content = scene.scratch;
        }
        if content.len() > max {
            return Step::Damaged {
                used,
                why: Damage::TooLong,
            };
        }
        match open(scene.seal, content) {
            Ok(data) => Step::Frame { used, data, scratch },
            Err(why) => Step::Damaged { used, why },
        }
    }

    pub(super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut content = data.to_vec();
        seal.close(&mut content, 0);
        if content.is_empty() {
            return Err(EncodeError::Empty);
        }
        within(content.len(), self.max)?;
        if self.lead {
            out.push(END);
        }
        for &byte in &content {
            match byte {
                END => out.extend_from_slice(&[ESC, ESC_END]),
                ESC => out.extend_from_slice(&[ESC, ESC_ESC]),
                _ => out.push(byte),
            }
        }
        out.push(END);
        Ok(())
    }
}

/// Puts the content without its escapes into `out`; false when one of them is none.
fn unescape(mut content: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    while let Some(plain) = memchr(ESC, content) {
        out.extend_from_slice(&content[..plain]);
        out.push(match content.get(plain + 1) {
            Some(&ESC_END) => END,
            Some(&ESC_ESC) => ESC,
            _ => return false,
        });
        content = &content[plain + 2..];
    }
    out.extend_from_slice(content);
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    const SPECIAL: &[u8] = &[END, ESC, ESC_END, ESC_ESC, b'a'];

    #[test]
    fn the_examples_of_the_rfc() {
        let framing = build("'slip'");
        let wire = [END, b'a', ESC, ESC_END, b'b', ESC, ESC_ESC, b'c', END];
        assert_eq!(
            encode(&framing, &(), &[b'a', END, b'b', ESC, b'c']),
            Ok(wire.to_vec())
        );
        assert_eq!(
            decode(&framing, &(), &wire),
            [frame([b'a', END, b'b', ESC, b'c'])]
        );
        let plain = build("{ slip = { lead = false } }");
        assert_eq!(encode(&plain, &(), b"a"), Ok(vec![b'a', END]));
        assert_eq!(encode(&plain, &(), b""), Err(EncodeError::Empty));
    }

    #[test]
    fn an_escape_that_is_none_costs_only_its_frame() {
        let framing = build("'slip'");
        let bad = |bytes: &[u8]| damaged(Damage::Escape, bytes);
        let got = decode(&framing, &(), b"a\xdbx\xc0b\xdb\xc0c\xc0");
        assert_eq!(got, [bad(b"a\xdbx\xc0"), bad(b"b\xdb\xc0"), frame("c")]);
    }

    #[test]
    fn max_counts_what_is_escaped_once() {
        let framing = build("{ slip = { max = 3 } }");
        assert!(sent_is_received(&framing, &(), &[END, END, END]).is_some());
        assert_eq!(
            encode(&framing, &(), b"four"),
            Err(EncodeError::TooLong { len: 4, max: 3 })
        );
        assert_eq!(
            decode(&framing, &(), b"four\xc0"),
            [damaged(Damage::TooLong, b"four\xc0")]
        );
    }

    proptest! {
        #[test]
        fn cutting(max in 1..20usize, bytes in bytes(SPECIAL, 200), cuts in cuts()) {
            let framing = build(&format!("{{ slip = {{ max = {max}, stale = '1s' }} }}"));
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, max);
        }

        #[test]
        fn identity_and_garbage(stream in stream(SPECIAL)) {
            let framing = build("'slip'");
            for (_, data) in &stream {
                prop_assert!(sent_is_received(&framing, &Hash, data).is_some());
                prop_assert_eq!(sent_is_received(&framing, &(), data).is_some(), !data.is_empty());
            }
            garbage_costs_no_frame(&framing, &stream);
        }
    }
}
