//! What is undone to bytes before they are read, as a person writes it.

use super::super::cipher::Keys;
use crate::octets::Octets;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use std::borrow::Cow;

/// What is undone to bytes before they are read, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unpack {
    /// All bits of each byte are inverted.
    Invert,
    /// Each byte is combined with this key by exclusive or; a longer key goes round.
    Xor(Octets),
    /// This is added to each byte, modulo 256.
    Add(u8),
    /// This is taken from each byte, modulo 256: 0x33 where the device adds 0x33.
    Subtract(u8),
    /// Pairs of hexadecimal digits become bytes. What is not hexadecimal refuses the frame.
    Hex,
    /// Base64 becomes bytes.
    Base64,
    /// The nibbles of each byte change places.
    SwapNibbles,
    /// The bits of each byte change their order.
    ReverseBits,
    /// The bytes change their order.
    Reverse,
    /// Only so many bits of each byte count: `{ keep-bits = 7 }` drops a parity bit.
    KeepBits(u8),
    /// A doubled byte becomes one: `{ undouble = 0x10 }`.
    Undouble(u8),
    /// An escape byte and what follows become what was meant.
    Escape(Escape),
    /// Groups of bytes without their highest bits, and a byte that holds those bits (Resol VBus, MIDI).
    Septets(Septets),
    /// Bytes stand for others: `[[0xdf, 0xb0]]`, or for characters: `[[0x3f, "0"], [0x06, "1"]]`. What is not listed
    /// stays.
    Map(Vec<Pair>),
    /// Of each byte only so many low bits are joined, from the highest of the first on: `{ join-bits = 4 }` makes one
    /// byte of two nibbles, `{ join-bits = 7 }` is for numbers sent in septets. The last byte is filled with zeros.
    JoinBits(u8),
    /// Characters of six bits each, as in AIS sentences, become bytes; the last one is filled with zero bits.
    Sixbit,
    /// Enciphered bytes become plain, with the device's `keys`: `{ decipher = "dlms" }`. What is not enciphered so, or
    /// with another key, refuses the frame.
    Decipher(Decipher),
    /// Zeros follow until there are so many bytes, at most 4096: `{ pad = 9 }` where a sender leaves zeros at the end out.
    Pad(u16),
    /// So many bytes are dropped at the start (positive) or the end (negative).
    Drop(i16),
}

/// How bytes are enciphered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cipher {
    /// General-glo-ciphering of DLMS (IEC 62056-5-3): AES in Galois/counter mode.
    Dlms,
}

/// How bytes are enciphered, and the keys, which stand elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Cipher")]
pub struct Decipher {
    /// How.
    pub cipher: Cipher,
    /// The device's keys, once they are known.
    pub keys: Keys,
}

impl From<Cipher> for Decipher {
    fn from(cipher: Cipher) -> Decipher {
        Decipher {
            cipher,
            keys: Keys::default(),
        }
    }
}

impl JsonSchema for Decipher {
    fn schema_name() -> Cow<'static, str> {
        Cipher::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Cipher::json_schema(generator)
    }
}

impl Unpacks {
    /// The steps, with the keys that they need.
    pub(crate) fn keyed(&self, keys: &Keys) -> Vec<Unpack> {
        let mut steps = self.0.clone();
        for step in &mut steps {
            if let Unpack::Decipher(decipher) = step {
                decipher.keys = keys.clone();
            }
        }
        steps
    }
}

/// A byte, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Pair(pub Letter, pub Letter);

/// A byte: a number, or an ASCII character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter(pub u8);

/// Bytes behind an escape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Escape {
    /// The escape byte.
    pub byte: u8,
    /// The byte behind it is combined with this by exclusive or. Default 0: it stands for itself.
    #[serde(default)]
    pub xor: u8,
    /// Single pairs instead: `[[0x01, 0xdb]]` for "escape, 0x01" meaning 0xDB. Another byte refuses the frame.
    #[serde(default)]
    pub map: Vec<[u8; 2]>,
}

/// Groups of bytes without their highest bits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Septets {
    /// Where the first group begins. What stands before stays as it is. Default 0.
    #[serde(default)]
    pub from: u16,
    /// How many data bytes a group has, 1 to 7.
    pub size: u8,
    /// Whether the byte with the highest bits comes before the data. Default false: behind it.
    #[serde(default)]
    pub first: bool,
    /// How many more bytes each group has at its end, such as a check; they are dropped. Default 0.
    #[serde(default)]
    pub tail: u8,
}

/// One step, or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unpacks(pub Vec<Unpack>);
