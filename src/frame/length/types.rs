//! The words of a length field.

use super::super::marker::Size;
use super::OFFSET_MAX;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a length counts.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// The whole frame, from its first byte to its last.
    All,
    /// The bytes behind the length field, to the frame's last.
    #[default]
    After,
    /// The bytes between the header and the check. A check that stands in the header (`keep = true` with its `at`)
    /// is part of the header.
    Data,
}

/// Which byte comes first.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The byte with the highest bits.
    #[default]
    Big,
    /// The byte with the lowest bits.
    Little,
}

/// How the digits of a length are written.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Digits {
    /// To the base ten.
    Decimal,
    /// To the base sixteen.
    Hex,
}

impl Digits {
    pub(super) fn base(self) -> u32 {
        match self {
            Digits::Decimal => 10,
            Digits::Hex => 16,
        }
    }
}

/// The frame's length by the value of a field: from, to, length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lengths(pub(super) Vec<(u32, u32, Size)>);

impl Lengths {
    /// From, to and length, in the order of the values; no value stands in two of them.
    pub fn new(lengths: Vec<(u32, u32, Size)>) -> Lengths {
        Lengths(lengths)
    }
}

impl<'de> Deserialize<'de> for Lengths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = BTreeMap::<String, Size>::deserialize(deserializer)?;
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let read = |(key, length): (String, Size)| {
            let (from, to) = key.split_once("..").unwrap_or((&key, &key));
            match (number(from), number(to)) {
                (Some(from), Some(to)) if from <= to => Ok((from, to, length)),
                _ => Err(de::Error::custom(format!(
                    "\"{key}\" is no value of the field: 144, 0x90 or \"0x80..0xbf\" would be"
                ))),
            }
        };
        let mut lengths: Vec<_> = table.into_iter().map(read).collect::<Result<_, _>>()?;
        lengths.sort_by_key(|(from, ..)| *from);
        match lengths.windows(2).find(|two| two[0].1 >= two[1].0) {
            Some(two) => Err(de::Error::custom(format!("{} has two lengths", two[1].0))),
            None => Ok(Lengths(lengths)),
        }
    }
}

impl JsonSchema for Lengths {
    fn schema_name() -> Cow<'static, str> {
        "Lengths".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Values, or ranges of them such as `0x80..0xbf`, and how long their frames are.",
            "type": "object",
            "additionalProperties": generator.subschema_for::<Size>(),
        })
    }
}

/// A second length field.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plus {
    /// Where it stands, in bytes from the frame's first. At most 255.
    #[schemars(range(max = OFFSET_MAX))]
    pub offset: usize,
    /// How many bytes it has: 1 to 4. Default 1. Byte order, mask and invert are those of the first.
    #[serde(default)]
    pub width: Width,
}

/// How many bytes a length field has: 1 to 4.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Width(u8);

impl Width {
    /// Takes 1 to 4.
    pub fn new(n: u8) -> Option<Width> {
        (1..=4).contains(&n).then_some(Width(n))
    }

    pub(super) fn get(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn bits(self) -> u32 {
        u32::MAX >> (32 - 8 * u32::from(self.0))
    }
}

impl Default for Width {
    fn default() -> Width {
        Width(1)
    }
}

impl<'de> Deserialize<'de> for Width {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = i64::deserialize(deserializer)?;
        u8::try_from(n)
            .ok()
            .and_then(Width::new)
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Signed(n), &"a width of 1 to 4 bytes"))
    }
}

impl JsonSchema for Width {
    fn schema_name() -> Cow<'static, str> {
        "Width".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "1 to 4 bytes.", "type": "integer", "minimum": 1, "maximum": 4 })
    }
}
