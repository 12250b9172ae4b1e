//! COBS, consistent overhead byte stuffing (Cheshire and Baker, 1999).

use super::cut::{Cut, cut, find_byte};
use super::decoder::{Scene, Step};
use super::marker::Size;
use super::{Damage, EncodeError, Seal, open, within};
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// COBS: a frame is encoded so that one byte does not occur in it, and ends with that byte.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "CobsFrame")]
pub struct Config {
    /// The byte that ends a frame. Default 0. With another one every encoded byte is XORed with it.
    pub delimiter: u8,
    /// The longest frame, in bytes, decoded and with its check. Default 4096.
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"0s"`: never.
    #[schemars(extend("default" = "0s"))]
    pub stale: Span,
}

impl Config {
    pub(super) fn build(&self) -> Method {
        Method {
            delimiter: self.delimiter,
            max: self.max,
        }
    }
}

#[derive(Debug)]
pub(super) struct Method {
    delimiter: u8,
    max: Size,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        // Some encoders end a full last block with one more, empty one.
        let limit = ::cobs::max_encoding_length(self.max.get()) + 1;
        let bytes = scene.bytes;
        let (len, used) = match cut(bytes, limit, scene.progress, find_byte(self.delimiter)) {
            Cut::Piece { len, used } => (len, used),
            Cut::Step(step) => return step,
        };
        if len == 0 {
            return Step::Pass(used);
        }
        scene.scratch.resize(len, 0);
        let Ok(report) = ::cobs::decode_with_sentinel(&bytes[..used], scene.scratch, self.delimiter) else {
            return Step::Damaged {
                used,
                why: Damage::Escape,
            };
        };
        let content = &scene.scratch[..report];
        if content.len() > self.max.get() {
            return Step::Damaged {
                used,
                why: Damage::TooLong,
            };
        }
        match open(scene.seal, content) {
            Ok(data) => Step::Frame {
                used,
                data,
                scratch: true,
            },
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
        within(content.len(), self.max)?;
        out.extend(::cobs::encode_vec_with_sentinel(&content, self.delimiter));
        out.push(self.delimiter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    const SPECIAL: &[u8] = &[0, 1, 2, 3, 4, 0xff];

    /// github.com/cmcqueen/cobs-python, src/cobs/cobs/test.py (predefined_encodings).
    #[test]
    fn known_encodings() {
        let framing = build("'cobs'");
        for (data, wire) in [
            ("", "0100"),
            ("31", "023100"),
            ("3132333435", "06313233343500"),
            ("31323334350036373839", "063132333435053637383900"),
            ("0031323334350036373839", "01063132333435053637383900"),
            ("3132333435003637383900", "06313233343505363738390100"),
        ] {
            assert_eq!(decode(&framing, &(), &hex(wire)), [frame(hex(data))]);
            assert_eq!(encode(&framing, &(), &hex(data)), Ok(hex(wire)));
        }
    }

    #[test]
    fn long_blocks_without_a_zero() {
        for n in [253, 254, 255, 508, 509, 1024] {
            let framing = build(&format!("{{ cobs = {{ max = {n} }} }}"));
            assert!(sent_is_received(&framing, &(), &vec![1; n]).is_some());
            let mut wire = ::cobs::encode_vec(&vec![1; n]);
            if n % 254 == 0 {
                wire.push(1);
                wire.push(0);
                assert_eq!(decode(&framing, &(), &wire).len(), 1, "{n}");
            }
            assert!(encode(&framing, &(), &vec![1; n + 1]).is_err());
        }
    }

    #[test]
    fn a_block_that_is_cut_costs_only_its_frame() {
        let got = decode(&build("'cobs'"), &(), b"\x05ab\x00\x00\x02c\x00");
        assert_eq!(got, [damaged(Damage::Escape, b"\x05ab\x00"), frame("c")]);
    }

    proptest! {
        #[test]
        fn cutting(max in 1..20usize, delimiter in 0..2u8, bytes in bytes(SPECIAL, 200), cuts in cuts()) {
            let framing = build(&format!("{{ cobs = {{ max = {max}, delimiter = {delimiter}, stale = '1s' }} }}"));
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, max);
        }

        #[test]
        fn identity(delimiter: u8, data in bytes(SPECIAL, 600)) {
            let framing = build(&format!("{{ cobs = {{ delimiter = {delimiter} }} }}"));
            prop_assert!(sent_is_received(&framing, &Hash, &data).is_some());
            prop_assert!(sent_is_received(&framing, &(), &data).is_some());
        }

        #[test]
        fn garbage(stream in stream(SPECIAL)) {
            // Without a zero the garbage and the frame behind it are one.
            let stream: Vec<_> = stream.into_iter().map(|(mut g, d)| { g.push(0); (g, d) }).collect();
            garbage_costs_no_frame(&build("'cobs'"), &stream);
        }
    }
}
