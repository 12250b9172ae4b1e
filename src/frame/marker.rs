//! Markers (short runs of bytes), sizes, and how they are searched for.

use crate::octets::Octets;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// The longest marker, in bytes.
pub const MARKER_MAX: usize = 16;

/// The longest frame that may be asked for, in bytes.
pub const SIZE_MAX: usize = 1 << 20;

/// One to sixteen bytes that mark where frames begin or end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Marker(Octets);

impl Marker {
    /// Takes one to sixteen bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Marker> {
        let bytes = Octets::from(bytes);
        (1..=MARKER_MAX).contains(&bytes.len()).then_some(Marker(bytes))
    }

    /// A marker of one byte.
    pub fn byte(byte: u8) -> Marker {
        Marker(vec![byte].into())
    }
}

impl Deref for Marker {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Octets::deserialize(deserializer)?;
        let len = bytes.len();
        Marker::new(bytes.as_slice()).ok_or_else(|| {
            de::Error::custom(format!(
                "a marker has 1 to {MARKER_MAX} bytes, this one has {len}"
            ))
        })
    }
}

impl JsonSchema for Marker {
    fn schema_name() -> Cow<'static, str> {
        "Marker".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One to sixteen bytes: a string (its UTF-8 bytes), or a list of numbers such as [0x42, 0x4d].",
            "anyOf": [
                { "type": "string", "minLength": 1, "maxLength": MARKER_MAX },
                {
                    "type": "array", "minItems": 1, "maxItems": MARKER_MAX,
                    "items": { "type": "integer", "minimum": 0, "maximum": 255 },
                },
            ],
        })
    }
}

/// A number of bytes, from 1 to 1 MiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Size(usize);

impl Size {
    /// What a frame may be long where nothing else is said: enough for a meter's telegram.
    pub const DEFAULT: Size = Size(4096);

    /// Takes 1 to 1,048,576.
    pub const fn new(n: usize) -> Option<Size> {
        if n >= 1 && n <= SIZE_MAX {
            Some(Size(n))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for Size {
    fn default() -> Size {
        Size::DEFAULT
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl Visitor {
            fn take<E: de::Error>(self, n: Option<usize>, unexpected: de::Unexpected<'_>) -> Result<Size, E> {
                n.and_then(Size::new)
                    .ok_or_else(|| E::invalid_value(unexpected, &self))
            }
        }
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of bytes from 1 to {SIZE_MAX}")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Size, E> {
                self.take(n.try_into().ok(), de::Unexpected::Signed(n))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Size, E> {
                self.take(n.try_into().ok(), de::Unexpected::Unsigned(n))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes.",
            "type": "integer", "minimum": 1, "maximum": SIZE_MAX,
        })
    }
}

/// What a search for a marker found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It begins here, whole.
    At(usize),
    /// It does not begin before this place. From here on it may, once more bytes have come.
    NotBefore(usize),
}

/// The first place at `from` or behind where `marker` begins.
pub(super) fn find(marker: &[u8], bytes: &[u8], from: usize) -> Found {
    let mut at = from.min(bytes.len());
    while let Some(hop) = memchr::memchr(marker[0], &bytes[at..]) {
        at += hop;
        match compare(marker, &bytes[at..]) {
            Some(true) => return Found::At(at),
            Some(false) => at += 1,
            None => return Found::NotBefore(at),
        }
    }
    Found::NotBefore(bytes.len())
}

/// Whether `bytes` begin with `marker`; `None` when they are too few to tell.
pub(super) fn compare(marker: &[u8], bytes: &[u8]) -> Option<bool> {
    let n = marker.len().min(bytes.len());
    if marker[..n] != bytes[..n] {
        Some(false)
    } else if n == marker.len() {
        Some(true)
    } else {
        None
    }
}

/// A set of bytes, one bit for each.
#[derive(Clone)]
pub(super) struct Set([u64; 4]);

impl Set {
    pub(super) fn new(bytes: impl IntoIterator<Item = u8>) -> Set {
        let mut set = [0; 4];
        for byte in bytes {
            set[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        Set(set)
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries((0..=255u8).filter(|b| self.has(*b)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_whole_or_waited_for() {
        assert_eq!(find(b"ab", b"xxabx", 0), Found::At(2));
        assert_eq!(find(b"ab", b"xxabx", 3), Found::NotBefore(5));
        assert_eq!(find(b"ab", b"xxa", 0), Found::NotBefore(2));
        assert_eq!(find(b"aab", b"aaab", 0), Found::At(1));
        assert_eq!(find(b"a", b"", 7), Found::NotBefore(0));
    }

    #[test]
    fn sizes_and_markers_refuse_what_they_cannot_be() {
        #[derive(Deserialize, Debug)]
        #[expect(dead_code, reason = "only whether it can be read matters")]
        struct Held {
            marker: Option<Marker>,
            size: Option<Size>,
        }
        let fault = |text: &str| toml::from_str::<Held>(text).unwrap_err().to_string();
        assert!(fault("marker = \"\"").contains("1 to 16 bytes, this one has 0"));
        assert!(fault("marker = \"12345678901234567\"").contains("this one has 17"));
        assert!(fault("size = 0").contains("a number of bytes from 1 to 1048576"));
        assert!(fault("size = -1").contains("from 1 to"));
        assert!(toml::from_str::<Held>("size = 7\nmarker = [0xaa]").is_ok());
    }
}
