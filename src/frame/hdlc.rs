//! HDLC-like framing with flags and byte stuffing (RFC 1662, section 4).

use super::cut::{Cut, cut, find_byte};
use super::decoder::{Scene, Step};
use super::marker::{Set, Size};
use super::{Damage, EncodeError, Error, Seal, open, within};
use crate::octets::Octets;
use crate::span::Span;
use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;

/// HDLC-like framing (RFC 1662): a flag before and after each frame; inside, an escape byte says that the
/// next byte was XORed.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "HdlcFrame")]
pub struct Config {
    /// The byte between frames. Default 0x7E.
    pub flag: u8,
    /// The byte that announces an escaped one. Default 0x7D.
    pub escape: u8,
    /// What an escaped byte is XORed with. Default 0x20.
    pub xor: u8,
    /// Bytes that are escaped, too, when sent, such as `[0x11, 0x13]` for XON and XOFF. Default none. On
    /// receiving any escaped byte is taken.
    #[schemars(extend("default" = []))]
    pub also: Octets,
    /// The longest frame, in bytes, unescaped and with its check. Default 4096.
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"0s"`: never.
    #[schemars(extend("default" = "0s"))]
    pub stale: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            flag: 0x7e,
            escape: 0x7d,
            xor: 0x20,
            also: Octets::default(),
            max: Size::DEFAULT,
            stale: Span::default(),
        }
    }
}

impl Config {
    pub(super) fn build(&self) -> Result<Method, Error> {
        let Config {
            flag,
            escape,
            xor,
            max,
            ..
        } = *self;
        if flag == escape {
            return Err(Error::new("flag and escape must differ"));
        }
        let escaped = || [flag, escape].into_iter().chain(self.also.iter().copied());
        if let Some(byte) = escaped().find(|byte| byte ^ xor == flag) {
            return Err(Error::new(format!(
                "the byte {byte:#04x} escaped would be the flag {flag:#04x}: another xor is needed"
            )));
        }
        Ok(Method {
            flag,
            escape,
            xor,
            escaped: Set::new(escaped()),
            max,
        })
    }
}

#[derive(Debug)]
pub(super) struct Method {
    flag: u8,
    escape: u8,
    xor: u8,
    escaped: Set,
    max: Size,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let bytes = scene.bytes;
        let max = self.max.get();
        let (len, used) = match cut(bytes, 2 * max, scene.progress, find_byte(self.flag)) {
            Cut::Piece { len, used } => (len, used),
            Cut::Step(Step::Damaged { used, .. }) if !scene.progress.synced => {
                scene.progress.synced = bytes[used - 1] == self.flag;
                return Step::Damaged {
                    used,
                    why: Damage::Noise,
                };
            }
            Cut::Step(step) => return step,
        };
        if !scene.progress.synced && len > 0 {
            // What stands before the first flag is the end of a frame at best.
            scene.progress.synced = true;
            return Step::Damaged {
                used,
                why: Damage::Noise,
            };
        }
        scene.progress.synced = true;
        if len == 0 {
            return Step::Pass(used);
        }
        let mut content = &bytes[..len];
        let scratch = memchr(self.escape, content).is_some();
        if scratch {
            if !self.unescape(content, scene.scratch) {
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
        out.push(self.flag);
        for &byte in &content {
            if self.escaped.has(byte) {
                out.extend_from_slice(&[self.escape, byte ^ self.xor]);
            } else {
                out.push(byte);
            }
        }
        out.push(self.flag);
        Ok(())
    }

    /// Puts the content without its escapes into `out`; false when it ends in the midst of one, which is how
    /// a sender says that it gave the frame up (RFC 1662, section 4.3).
    fn unescape(&self, mut content: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        while let Some(plain) = memchr(self.escape, content) {
            out.extend_from_slice(&content[..plain]);
            let Some(byte) = content.get(plain + 1) else {
                return false;
            };
            out.push(byte ^ self.xor);
            content = &content[plain + 2..];
        }
        out.extend_from_slice(content);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config as Frame;
    use super::super::tests::*;
    use super::*;
    use proptest::prelude::*;

    const SPECIAL: &[u8] = &[0x7e, 0x7d, 0x5e, 0x5d, 0x11, b'a'];

    /// Sensirion SPS30, datasheet 1.0 D1, section 4.2: MISO start measurement, and the stuffing table.
    #[test]
    fn flags_are_shared_or_doubled_and_what_comes_before_the_first_is_noise() {
        let framing = build("'hdlc'");
        let got = decode(
            &framing,
            &(),
            b"end\x7e\x00\x03\x00\x00\xfc\x7e\x7e\x00\x7d\x5e\x7d\x5d\x7d\x31\x7d\x33\x7e",
        );
        assert_eq!(
            got,
            [
                damaged(Damage::Noise, b"end\x7e"),
                frame(b"\x00\x03\x00\x00\xfc"),
                frame(b"\x00\x7e\x7d\x11\x13"),
            ]
        );
        let sensirion = build("{ hdlc = { also = [0x11, 0x13] } }");
        let wire = b"\x7e\x00\x7d\x5e\x7d\x5d\x7d\x31\x7d\x33\x7e";
        assert_eq!(
            encode(&sensirion, &(), b"\x00\x7e\x7d\x11\x13"),
            Ok(wire.to_vec())
        );
    }

    #[test]
    fn a_frame_given_up_costs_only_itself() {
        let got = decode(&build("'hdlc'"), &(), b"\x7eab\x7d\x7ecd\x7e");
        assert_eq!(got, [damaged(Damage::Escape, b"ab\x7d\x7e"), frame("cd")]);
    }

    #[test]
    fn settings_that_would_make_a_flag_of_an_escape_are_refused() {
        let config = |flag, escape, xor| {
            Frame::Hdlc(Config {
                flag,
                escape,
                xor,
                ..Config::default()
            })
        };
        assert!(
            config(0x7e, 0x7d, 0x03)
                .build(CHAR)
                .unwrap_err()
                .to_string()
                .contains("0x7d escaped")
        );
        assert!(config(0x7e, 0x7d, 0).build(CHAR).is_err());
        assert!(config(0x7e, 0x7e, 0x20).build(CHAR).is_err());
    }

    proptest! {
        #[test]
        fn cutting(max in 1..20usize, bytes in bytes(SPECIAL, 200), cuts in cuts()) {
            let framing = build(&format!("{{ hdlc = {{ max = {max}, stale = '1s' }} }}"));
            cuts_do_not_matter(&framing, &(), &bytes, &cuts, max);
            cuts_do_not_matter(&framing, &Hash, &bytes, &cuts, max);
        }

        #[test]
        fn identity_and_garbage(stream in stream(SPECIAL)) {
            let framing = build("{ hdlc = { also = [0x11] } }");
            for (_, data) in &stream {
                prop_assert!(sent_is_received(&framing, &Hash, data).is_some());
                prop_assert_eq!(sent_is_received(&framing, &(), data).is_some(), !data.is_empty());
            }
            garbage_costs_no_frame(&framing, &stream);
        }
    }
}
