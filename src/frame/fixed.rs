//! Frames of one length.

use super::decoder::{Scene, Step};
use super::marker::Size;
use super::{Damage, EncodeError, Seal, open};
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// Frames of one length, without a mark of their beginning. Where one begins is learnt from silence before
/// it, and from the check: a frame whose check fails is tried again one byte later.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "FixedFrame")]
pub struct Config {
    /// How many bytes each frame has, its check included.
    pub length: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"1s"`; `"0s"` means never.
    /// Without a check this is what finds the beginning again after a lost byte: make it shorter than the
    /// pause between frames.
    #[serde(default = "stale")]
    #[schemars(extend("default" = "1s"))]
    pub stale: Span,
}

fn stale() -> Span {
    Span::millis(1000)
}

impl Config {
    pub(super) fn build(&self) -> Method {
        Method {
            length: self.length.get(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Method {
    length: usize,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let Some(content) = scene.bytes.get(..self.length) else {
            return Step::More;
        };
        match open(scene.seal, content) {
            Ok(data) => Step::Frame {
                used: self.length,
                data,
                scratch: false,
            },
            Err(Damage::TooShort) => Step::Damaged {
                used: self.length,
                why: Damage::TooShort,
            },
            Err(why) => Step::Skip(1, why),
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
        let len = out.len() - start;
        if len != self.length {
            return Err(EncodeError::Length {
                len,
                length: self.length,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn silence_finds_the_beginning_again() {
        let framing = build("{ fixed = { length = 4 } }");
        let mut line = Line::new(&framing, &());
        line.read(b"lost").read(b"byte by").silence().read(b"good");
        let stale = damaged(Damage::Stale, " by");
        assert_eq!(line.take(), [frame("lost"), frame("byte"), stale, frame("good")]);
    }

    #[test]
    fn late_silence_is_noticed_by_the_next_read() {
        let framing = build("{ fixed = { length = 4 } }");
        let mut line = Line::new(&framing, &());
        line.read(b"ab")
            .wait(std::time::Duration::from_secs(2))
            .read(b"good");
        assert_eq!(line.take(), [damaged(Damage::Stale, "ab"), frame("good")]);
    }

    /// MH-Z19B CO2 sensor, captures 0 and 8 (github.com/avaldebe/PyPMS, tests/captured_data/data.csv). Its
    /// check is the negated sum of all but the first byte.
    #[test]
    fn the_check_finds_the_beginning_again() {
        struct Negated;
        impl Seal for Negated {
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
        let framing = build("{ fixed = { length = 9 } }");
        let (one, two) = (hex("ff86027c42000000ba"), hex("ff86027b42000000bb"));
        let mut wire = b"\x00\xff\x86".to_vec();
        wire.extend_from_slice(&one);
        wire.extend_from_slice(&two);
        let got = decode(&framing, &Negated, &wire);
        assert_eq!(
            got,
            [
                damaged(Damage::Check, b"\x00\xff\x86"),
                frame(&one[..8]),
                frame(&two[..8])
            ]
        );
        assert_eq!(encode(&framing, &Negated, &one[..8]), Ok(one));
    }

    #[test]
    fn another_length_cannot_be_sent() {
        let framing = build("{ fixed = { length = 9 } }");
        assert_eq!(
            encode(&framing, &(), b"short"),
            Err(EncodeError::Length { len: 5, length: 9 })
        );
        assert!(encode(&framing, &Hash, b"right").is_ok());
    }

    proptest! {
        #[test]
        fn cutting(length in 1..40usize, bytes in bytes(b"ab", 300), cuts in cuts()) {
            let framing = build(&format!("{{ fixed = {{ length = {length} }} }}"));
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, length);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, length);
        }

        #[test]
        fn garbage_and_identity(stream in proptest::collection::vec((bytes(b"ab", 20), any::<[u8; 7]>()), 1..6)) {
            let framing = build("{ fixed = { length = 11 } }");
            for (_, data) in &stream {
                assert!(sent_is_received(&framing, &Hash, data).is_some());
            }
            let stream: Vec<_> = stream.into_iter().map(|(g, d)| (g, d.to_vec())).collect();
            garbage_costs_no_frame(&framing, &stream);
        }
    }
}
