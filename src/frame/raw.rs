//! Bytes as they come: each read is a frame.

use super::decoder::{Scene, Step};
use super::marker::Size;
use super::{EncodeError, Seal, open, within};
use schemars::JsonSchema;
use serde::Deserialize;

/// Bytes as they come: whatever one read gives is a frame. Where the reads are cut is chance, so this is for
/// looking on, and for tunnels.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "RawFrame")]
pub struct Config {
    /// The longest frame, in bytes; a longer read gives several. Default 4096.
    pub max: Size,
}

impl Config {
    pub(super) fn build(&self) -> Method {
        Method { max: self.max }
    }
}

#[derive(Debug)]
pub(super) struct Method {
    max: Size,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let used = scene.bytes.len().min(self.max.get());
        match open(scene.seal, &scene.bytes[..used]) {
            Ok(data) => Step::Frame {
                used,
                data,
                scratch: false,
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
    use super::super::tests::*;
    use super::super::{Damage, EncodeError};

    #[test]
    fn each_read_is_a_frame() {
        let framing = build("{ raw = { max = 4 } }");
        let mut line = Line::new(&framing, &());
        assert_eq!(line.read(b"abc").read(b"d").take(), [frame("abc"), frame("d")]);
        assert_eq!(line.read(b"abcdef").take(), [frame("abcd"), frame("ef")]);
        assert_eq!(line.decoder().deadline(), None);
        assert_eq!(decode(&framing, &Hash, b"wx"), [damaged(Damage::TooShort, "wx")]);
        assert_eq!(encode(&framing, &(), b""), Err(EncodeError::Empty));
        assert_eq!(
            encode(&framing, &(), b"abcde"),
            Err(EncodeError::TooLong { len: 5, max: 4 })
        );
        assert!(sent_is_received(&framing, &(), b"abcd").is_some());
    }
}
