//! The words that set a line: speed, bits, parity, flow control, and what else a character may carry.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;

/// The parity bit of each character.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Parity {
    /// No parity bit.
    #[default]
    None,
    /// An even number of ones.
    Even,
    /// An odd number of ones.
    Odd,
    /// Always 1.
    Mark,
    /// Always 0.
    Space,
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Parity::None => "none",
            Parity::Even => "even",
            Parity::Odd => "odd",
            Parity::Mark => "mark",
            Parity::Space => "space",
        })
    }
}

/// How the one side makes the other wait.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum FlowControl {
    /// It does not.
    #[default]
    None,
    /// By the wires RTS and CTS.
    RtsCts,
    /// By the characters XON (0x11) and XOFF (0x13).
    XonXoff,
}

/// What the ninth bit of a character means.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum NinthBit {
    /// It is set in the first byte of a frame, the address, both ways.
    Address,
    /// It is set in the first byte of what is sent, and in the last one of what is received.
    Mdb,
}

/// What becomes of a break: the line at 0 for longer than a character.
#[derive(Deserialize, Serialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum OnBreak {
    /// It is read as a zero byte.
    #[default]
    Ignore,
    /// It is counted, and no byte.
    Count,
    /// It is counted, and a frame begins behind it.
    Begin,
}

/// Speed in baud, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Baud(u32);

impl Baud {
    /// `baud`, unless it is 0 (which means "hang up" to the kernel).
    pub fn new(baud: u32) -> Option<Baud> {
        (baud != 0).then_some(Baud(baud))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for Baud {
    fn default() -> Baud {
        Baud(9600)
    }
}

/// Data bits per character.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DataBits {
    /// 5
    Five,
    /// 6
    Six,
    /// 7
    Seven,
    /// 8
    #[default]
    Eight,
}

impl DataBits {
    fn new(count: u32) -> Option<DataBits> {
        [DataBits::Five, DataBits::Six, DataBits::Seven, DataBits::Eight]
            .into_iter()
            .find(|d| d.count() == count)
    }

    /// As a number.
    pub fn count(self) -> u32 {
        match self {
            DataBits::Five => 5,
            DataBits::Six => 6,
            DataBits::Seven => 7,
            DataBits::Eight => 8,
        }
    }
}

/// Stop bits per character.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StopBits {
    /// 1
    #[default]
    One,
    /// 2, or one and a half with 5 data bits
    Two,
}

impl StopBits {
    fn new(count: u32) -> Option<StopBits> {
        [StopBits::One, StopBits::Two]
            .into_iter()
            .find(|s| s.count() == count)
    }

    /// As a number.
    pub fn count(self) -> u32 {
        match self {
            StopBits::One => 1,
            StopBits::Two => 2,
        }
    }
}

/// A type that is written as a whole number: which, what else would be expected, and its schema.
macro_rules! whole_number {
    ($name:ident, $from:expr, $to:expr, $expected:literal, $schema:tt) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$name, E> {
                        let known = u32::try_from(n).ok().and_then($from);
                        known.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(n), &self))
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$name, E> {
                        let known = u32::try_from(n).ok().and_then($from);
                        known.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(n), &self))
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u32($to(*self))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

whole_number!(Baud, Baud::new, Baud::get, "a speed in baud of 1 or more, such as 9600", {
    "description": "Speed in baud.",
    "type": "integer",
    "minimum": 1,
    "maximum": 4294967295_u32,
});

whole_number!(DataBits, DataBits::new, DataBits::count, "5, 6, 7 or 8 data bits", {
    "description": "Data bits per character.",
    "enum": [5, 6, 7, 8],
});

whole_number!(StopBits, StopBits::new, StopBits::count, "1 or 2 stop bits", {
    "description": "Stop bits per character.",
    "enum": [1, 2],
});
