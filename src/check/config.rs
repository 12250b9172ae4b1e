//! What the configuration says of a check.

use super::engine::Engine;
use super::{Algorithm, Check, Order};
use crate::octets::Octets;
use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, de};
use std::sync::Arc;

/// The check that ends a frame, or stands elsewhere in it. The name alone is enough for most:
/// `check = "CRC-16/MODBUS"`.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = name_alone)]
pub struct Config {
    /// The algorithm: any name of the CRC catalogue ("CRC-16/MODBUS", "CRC-8/MAXIM-DOW"), or one of sum8,
    /// sum16, sum24, sum32 (the bytes added), each also with "-negated" (two's complement) or "-complemented"
    /// (one's complement); sum7, sum15; sum16-words, internet, xor8, xor16, lrc, teleinfo, fletcher8 (u-blox),
    /// fletcher16, fletcher32, adler32; ebus, ems and sick of those buses and scanners. Names in common use are taken as well: "modbus", "xmodem", "kermit",
    /// "x-25", "crc-16/ccitt-false", "crc-8/maxim", "crc-32c", "lrc" (sum8-negated), "bcc" and "nmea" (xor8),
    /// "ubx" (fletcher8). "crc8", "crc16", "crc32" and "ccitt" alone are refused: several algorithms go by them.
    pub algorithm: Algorithm,
    /// Which byte of the check comes first: "big" (the most significant) or "little". Default: what is usual for
    /// the algorithm, so little for reflected CRCs such as CRC-16/MODBUS and for Fletcher's sums, big for the
    /// others, and big for a check in digits.
    #[serde(default)]
    pub order: Option<Order>,
    /// How the value is written. Default "binary".
    #[serde(default)]
    pub encoding: Encoding,
    /// Bytes that stand before the check and are neither data nor covered: "*" with NMEA 0183. Default none.
    #[serde(default)]
    pub prefix: Octets,
    /// Bytes that stand after the check and are neither data nor covered, such as an end mark that the framing
    /// left in place: `[0x16]` with M-Bus. Default none.
    #[serde(default)]
    pub suffix: Octets,
    /// Where the check (with its prefix) begins: an offset into the content, negative from its end. Default: it
    /// ends the content. What stands before the check is the data; with an offset that is not negative, what
    /// stands after it.
    #[serde(default)]
    pub at: Option<i32>,
    /// Which bytes are checked. Default: all but the check itself.
    #[serde(default)]
    pub covers: Covers,
    /// Whether the check stays in the data that is passed on. Default false.
    #[serde(default)]
    pub keep: bool,
    /// Whether content without the `prefix` is taken as content without a check, as NMEA 0183 allows. A damaged
    /// prefix is then not found. Default false.
    #[serde(default)]
    pub optional: bool,
    /// The check is carried by each group of bytes in the content, not by the whole: all of them must hold, and
    /// all stays in the data. Offsets count within the group. Default: one check for the whole.
    #[serde(default)]
    pub each: Option<Each>,
}

/// The groups of bytes that carry a check each.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Each {
    /// Where the first group begins. Default 0.
    pub from: usize,
    /// How many bytes a group has, its check included. Either this or `end` must be given.
    pub size: Option<usize>,
    /// What each group begins with; it is not covered. Default nothing.
    pub start: Octets,
    /// What each group ends with, behind its check.
    pub end: Octets,
}

/// The bytes that a check covers. The check itself, with its prefix and suffix, is never among them.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Covers {
    /// The offset of the first byte, negative from the end of the content. Default 0; 1 where the start mark is
    /// not part of it, as with NMEA 0183.
    #[serde(default)]
    pub from: i32,
    /// The offset after the last byte, negative from the end of the content (the check included). Default: the end.
    #[serde(default)]
    pub to: Option<i32>,
    /// Whether the content is hexadecimal digits and the check is over the bytes that they stand for, as with
    /// Modbus ASCII. Default false.
    #[serde(default)]
    pub hex: bool,
}

/// How a check is written.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As bytes.
    #[default]
    Binary,
    /// As hexadecimal digits, two for each byte; upper case when writing, either when reading. When the line's end
    /// takes the place of the last ones, as many zeros are missing in front.
    Hex,
    /// As hexadecimal digits, two for each byte; lower case when writing, either when reading.
    HexLower,
    /// 16 bits as three printable characters (SDI-12 version 1.4, section 4.4.12).
    #[serde(rename = "sdi-12")]
    Sdi12,
    /// As bytes, and those that would be a delimiter, `(`, CR or LF, are sent as the next number (Voltronic
    /// inverters, protocol PI30).
    Pi30,
}

/// Why a check cannot be what its configuration says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `sdi-12` for a check of another width.
    #[error("encoding = \"sdi-12\" is for checks of 16 bits, and {algorithm} has {bits}")]
    Width {
        /// The algorithm's name.
        algorithm: Algorithm,
        /// Its bits.
        bits: u32,
    },
    /// `at` is so near the end that the check does not fit.
    #[error("at = {at}: the check takes {block} bytes and does not fit before the end")]
    Beyond {
        /// The offset asked for.
        at: i32,
        /// The bytes of the check with prefix and suffix.
        block: usize,
    },
    /// Bytes follow the check that nothing accounts for.
    #[error(
        "at = {at}: {left} more bytes follow the check, which takes {block}; name them with `suffix`, \
         or set `keep = true`"
    )]
    Tail {
        /// The offset asked for.
        at: i32,
        /// The bytes of the check with prefix and suffix.
        block: usize,
        /// How many bytes follow.
        left: usize,
    },
    /// `each` without a word about where a group ends.
    #[error("each = {{ ... }} needs `size` (1 or more) or `end`, not both: where does a group end?")]
    Group,
    /// `optional` without anything that tells whether a check is there.
    #[error("optional = true needs a `prefix`, which tells whether the check is there")]
    NoPrefix,
    /// `covers` that can never hold a byte.
    #[error("covers = {{ from = {from}, to = {to} }} holds nothing: `to` is the offset after the last byte")]
    Nothing {
        /// From where.
        from: i32,
        /// To where.
        to: i32,
    },
}

impl Config {
    /// The check by this algorithm at the end of the content.
    pub fn new(algorithm: Algorithm) -> Config {
        Config {
            algorithm,
            order: None,
            encoding: Encoding::Binary,
            prefix: Octets::default(),
            suffix: Octets::default(),
            at: None,
            covers: Covers::default(),
            keep: false,
            optional: false,
            each: None,
        }
    }

    /// Makes it ready for use: tables are computed here.
    pub fn build(&self) -> Result<Check, Error> {
        let bits = self.algorithm.bits();
        let bytes = bits.div_ceil(8) as usize;
        let code = match self.encoding {
            Encoding::Binary | Encoding::Pi30 => bytes,
            Encoding::Hex | Encoding::HexLower => 2 * bytes,
            Encoding::Sdi12 if bits == 16 => 3,
            Encoding::Sdi12 => {
                return Err(Error::Width {
                    algorithm: self.algorithm,
                    bits,
                });
            }
        };
        let block = self.prefix.len() + code + self.suffix.len();
        if let Some(at) = self.at.filter(|at| *at < 0) {
            match (at.unsigned_abs() as usize).checked_sub(block) {
                None => return Err(Error::Beyond { at, block }),
                Some(left) if left > 0 && !self.keep => return Err(Error::Tail { at, block, left }),
                Some(_) => {}
            }
        }
        if let Some(to) = self.covers.to
            && (to < 0) == (self.covers.from < 0)
            && to <= self.covers.from
        {
            return Err(Error::Nothing {
                from: self.covers.from,
                to,
            });
        }
        if let Some(each) = &self.each
            && (each.size.is_some() != each.end.is_empty() || each.size == Some(0))
        {
            return Err(Error::Group);
        }
        if self.optional && self.prefix.is_empty() {
            return Err(Error::NoPrefix);
        }
        let order = match (self.order, self.encoding) {
            (Some(order), _) => order,
            (None, Encoding::Binary | Encoding::Pi30) => self.algorithm.order(),
            (None, Encoding::Hex | Encoding::HexLower | Encoding::Sdi12) => Order::Big,
        };
        let engine = Arc::new(Engine::new(self.algorithm));
        Ok(Check {
            config: self.clone(),
            engine,
            order,
            code,
        })
    }
}

read_any!(
    Config,
    "the name of a checksum algorithm, or a table such as { algorithm = \"sum8\" }",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Config, E> {
            Algorithm::parse(name).map(Config::new).map_err(E::custom)
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
            Config::deserialize(MapAccessDeserializer::new(map))
        }
    }
);

/// A check may be written as the algorithm's name alone.
fn name_alone(schema: &mut Schema) {
    let name = Algorithm::json_schema(&mut SchemaGenerator::default());
    let table = std::mem::take(schema);
    *schema = schemars::json_schema!({ "anyOf": [name, table] });
}
