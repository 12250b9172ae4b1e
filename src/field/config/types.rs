//! How values are written, as a person says it.

use crate::check::Order as ByteOrder;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a number, or what belongs to it, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Bits without a sign.
    Uint(u8),
    /// Bits with a sign.
    Int(u8),
    /// Bytes without a sign, as many as `length` says.
    UintOf,
    /// Bytes with a sign, as many as `length` says.
    IntOf,
    /// Seven bits of each byte, as long as the highest bit says that another byte follows.
    Varint,
    /// IEEE 754 of so many bits.
    Float(u8),
    /// A byte: not zero.
    Bool,
    /// Two decimal digits to a byte.
    Bcd {
        /// Whether the low nibble is the digit before.
        swapped: bool,
    },
    /// Characters.
    Text,
    /// Bytes.
    Bytes,
    /// Decimal digits as text, with sign, point and exponent.
    Decimal,
    /// Digits as text to this base.
    Digits(u8),
    /// A point in time, see `time`.
    Time,
    /// Nothing to be read.
    Skip,
}

/// A place.
#[derive(Debug, Clone, PartialEq)]
pub enum At {
    /// An offset or the number of a column.
    Number(i32),
    /// A key, or an expression.
    Key(String),
}

/// A number, or an expression that gives one.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// A number.
    Number(i32),
    /// All that is left.
    Rest,
    /// An expression.
    Expression(String),
}

/// A factor.
#[derive(Debug, Clone, PartialEq)]
pub enum Factor {
    /// A number.
    Number(f64),
    /// An expression.
    Expression(String),
}

/// Which byte of a number comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The most significant.
    Big,
    /// The least significant.
    Little,
    /// Words of two bytes, the least significant word first, each word big.
    WordSwapped,
    /// Words of two bytes, the most significant word first, each word little.
    ByteSwapped,
    /// For each byte as it comes its rank, 0 being the most significant.
    Ranks(Vec<u8>),
}

/// How negative numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Two's complement.
    Twos,
    /// One's complement.
    Ones,
    /// The highest bit is the sign, the others are the magnitude.
    Magnitude,
    /// The lowest bit is the sign: 0, -1, 1, -2 are 0 to 3, as in Protocol Buffers.
    Zigzag,
    /// This bit of the number as it was read, before `mask`: negative when it is 1.
    Bit(u8),
    /// This bit of the number as it was read: negative when it is 0.
    ClearBit(u8),
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeForm {
    /// Its parts.
    Pattern(String),
    /// A count since a beginning.
    Count(Epoch),
}

/// A count since a beginning.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Epoch {
    /// The beginning: `unix` (1970), `gps` (1980-01-06), `2000`, `1904`, `ntp` (1900), or a date `"2010-01-01"`.
    pub epoch: String,
    /// What one step is: `s`, `ms`, `us`, `min`, `h`, `d`. Default `s`.
    #[serde(default)]
    pub step: Step,
    /// Minutes east of UTC on the device's clock; `local` if that is not known. Default 0: UTC.
    #[serde(default)]
    pub zone: Zone,
}

/// What one step of a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A second.
    #[default]
    S,
    /// A millisecond.
    Ms,
    /// A microsecond.
    Us,
    /// A minute.
    Min,
    /// An hour.
    H,
    /// A day.
    D,
}

/// Where a device's clock stands: minutes east of UTC, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(pub Option<i16>);

impl Default for Zone {
    fn default() -> Zone {
        Zone(Some(0))
    }
}

/// Characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ASCII; what is none becomes U+FFFD.
    Ascii,
    /// ISO 8859-1.
    #[serde(rename = "latin-1")]
    Latin1,
    /// Windows-1252.
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// UTF-16, high byte first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// UTF-16, low byte first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
}

/// Which ends of a text lose their blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trim {
    /// Both.
    #[default]
    Both,
    /// The start.
    Start,
    /// The end.
    End,
    /// None.
    None,
}

impl Type {
    /// Reads a type's name.
    pub fn parse(text: &str) -> Option<Type> {
        let bits = |digits: &str| digits.parse::<u8>().ok().filter(|bits| (1..=64).contains(bits));
        Some(match text {
            "uint" => Type::UintOf,
            "int" => Type::IntOf,
            "varint" => Type::Varint,
            "f16" => Type::Float(16),
            "f32" => Type::Float(32),
            "f64" => Type::Float(64),
            "bool" => Type::Bool,
            "bcd" => Type::Bcd { swapped: false },
            "bcd-swapped" => Type::Bcd { swapped: true },
            "text" => Type::Text,
            "bytes" => Type::Bytes,
            "decimal" => Type::Decimal,
            "hex" => Type::Digits(16),
            "octal" => Type::Digits(8),
            "binary" => Type::Digits(2),
            "time" => Type::Time,
            "skip" => Type::Skip,
            _ => match text.split_at_checked(1)? {
                ("u", digits) => Type::Uint(bits(digits)?),
                ("i", digits) => Type::Int(bits(digits)?),
                _ => return None,
            },
        })
    }
}

impl Order {
    /// The rank of each byte of a number of `width` bytes, as they come; None: this order has another width.
    pub fn ranks(&self, width: usize) -> Option<Vec<u8>> {
        let width = u8::try_from(width).ok()?;
        match self {
            Order::Big => Some((0..width).collect()),
            Order::Little => Some((0..width).rev().collect()),
            Order::WordSwapped if width.is_multiple_of(2) => Some(
                (0..width / 2)
                    .rev()
                    .flat_map(|word| [2 * word, 2 * word + 1])
                    .collect(),
            ),
            Order::ByteSwapped if width.is_multiple_of(2) => {
                Some((0..width / 2).flat_map(|word| [2 * word + 1, 2 * word]).collect())
            }
            Order::Ranks(ranks) if ranks.len() == usize::from(width) => Some(ranks.clone()),
            Order::WordSwapped | Order::ByteSwapped | Order::Ranks(_) => None,
        }
    }
}

impl From<ByteOrder> for Order {
    fn from(order: ByteOrder) -> Order {
        match order {
            ByteOrder::Big => Order::Big,
            ByteOrder::Little => Order::Little,
        }
    }
}
