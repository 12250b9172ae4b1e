//! Bytes as a person writes them in the configuration: a string, or a list of numbers.

use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Bytes given as a string (`"\r\n"`, its UTF-8 bytes) or as a list of numbers (`[0x42, 0x4d]`).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Octets(Vec<u8>);

impl Octets {
    /// The bytes themselves.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Octets {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<T: Into<Vec<u8>>> From<T> for Octets {
    fn from(bytes: T) -> Self {
        Octets(bytes.into())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

read_any!(Octets, "a string or a list of bytes such as [0x42, 0x4d]", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Octets, E> {
        Ok(Octets(text.as_bytes().to_vec()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Octets, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(Octets(bytes))
    }
});

impl JsonSchema for Octets {
    fn schema_name() -> Cow<'static, str> {
        "Octets".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes: a string (its UTF-8 bytes), or a list of numbers such as [0x42, 0x4d].",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 255 } },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Held {
        bytes: Octets,
    }

    #[test]
    fn reads_a_string_and_a_list() {
        let held: Held = toml::from_str(r#"bytes = "\r\n""#).unwrap();
        assert_eq!(held.bytes.as_slice(), b"\r\n");
        let held: Held = toml::from_str("bytes = [0x42, 0x4d, 255]").unwrap();
        assert_eq!(held.bytes.as_slice(), [0x42, 0x4d, 0xff]);
        assert!(toml::from_str::<Held>("bytes = [256]").is_err());
        assert!(toml::from_str::<Held>("bytes = 7").is_err());
    }
}
