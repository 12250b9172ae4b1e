//! The field language as a person writes it: what a frame's bytes mean, in words of a data sheet.

use super::cipher::Keys;
use crate::check::Order as ByteOrder;
use crate::modbus::{Notation, Table};
use crate::octets::Octets;
use crate::span::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;

/// One value of a frame, or a part of it that holds values: where it lies, how it is written, what it means.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Field {
    /// The value's name in topics, templates and JSON. Without a name the field is read (and checked with `is`)
    /// but not given on. Letters, digits and `_` can be used in expressions; other characters are allowed.
    pub name: Option<String>,
    /// What it is, for people.
    pub title: Option<String>,
    /// Where it lies. In bytes: the offset of its first byte, negative from the end, or an expression in which
    /// `next` is the place behind the field before and `last` that field's own place. In columns: the number of
    /// the column from 0, negative from the end. With keys (pairs, OBIS, JSON, named groups, named decoders): the
    /// key. Default: behind the field before; with keys the field's own name.
    pub at: Option<At>,
    /// How it is written: `u8` to `u64` and `i8` to `i64` (any number of bits), `f16`, `f32`, `f64`, `bool`,
    /// `uint` and `int` (with `length`), `bcd`, `bcd-swapped`, `text`, `bytes`; digits as text: `decimal`, `hex`,
    /// `binary`, `octal`; `time`; `skip`. Default with columns and keys: `text`.
    #[serde(rename = "type")]
    pub kind: Option<Type>,
    /// How many bytes it has: a number, negative to leave so many at the end, or an expression. Default: what
    /// the type has, or all that is left.
    pub length: Option<Amount>,
    /// It ends before these bytes, which are passed over: `[0]` for zero-terminated text.
    pub until: Option<Octets>,
    /// Which byte comes first: `big`, `little`, `word-swapped` (low word first, each big), `byte-swapped` (high
    /// word first, each little), or letters with A for the most significant byte: `"CDAB"`, `"ACB"`. Default: the
    /// kind's, or else `big`.
    pub order: Option<Order>,
    /// Takes what this regular expression finds: its first group, or all of it. With `repeat = "rest"` each find.
    pub find: Option<String>,
    /// What is undone to the bytes before they are read.
    pub unpack: Unpacks,
    /// How the bytes are taken apart, when the field has fields of its own or repeats. Default `binary`.
    pub decode: Option<Decode>,
    /// Whether the frame is refused when the key, the column or the find is not there. Default false: then the
    /// frame is without this value.
    pub required: bool,
    /// One bit of the number, 0 being the lowest, as yes or no. The type is `u8` if none is given.
    pub bit: Option<u8>,
    /// From which to which bit of the number, 0 being the lowest: `[4, 7]`. The type is `u8` if none is given.
    pub bits: Option<[u8; 2]>,
    /// Which bits of the number count: `0x3fff`. They are moved down to bit 0.
    pub mask: Option<u64>,
    /// How far the masked bits are moved down, instead of so far that the lowest comes to bit 0.
    pub shift: Option<u8>,
    /// How a negative number is written: `twos`, `ones`, `magnitude` (highest bit), or `{ bit = 15 }` of the
    /// number as it was read. Default: two's complement with `i` types, none with `u` types.
    pub sign: Option<Sign>,
    /// Added to the number first: value = (number + bias) * scale + offset.
    pub bias: Option<f64>,
    /// What the number is multiplied with: a number or an expression, such as `"10 ^ exponent"`. Default 1.
    pub scale: Option<Factor>,
    /// What the number is divided by; not together with `scale`.
    pub divide: Option<f64>,
    /// Added last. Default 0.
    pub offset: Option<f64>,
    /// Decimals to round to, and to show. Default: what scale and offset need; of floats as many as they have.
    pub decimals: Option<u8>,
    /// The value's unit.
    pub unit: Option<String>,
    /// Names for numbers (or texts): `{ 0 = "off", "1..3" = "on", 0x10 = "fault" }`. Instead of a name there may stand
    /// what is meant: `{ 0x30 = -4, 0x31 = -3 }`, `{ N = true, F = false }`.
    pub values: Labels,
    /// The name for a number that `values` does not have. Default: the number itself.
    pub other: Option<String>,
    /// Names for bits: `{ low-battery = 0, alarm = 7 }`, or a list from bit 0 on. The value is a record of them.
    pub flags: Option<Flags>,
    /// Numbers (as read, before bias and scale) or texts that mean "no value".
    pub absent: Scalars,
    /// The plausible range `[least, most]` of the value: one outside is not published, and counted.
    pub range: Option<[f64; 2]>,
    /// How a time is written, see the reference page: `"YYMMDDhhmmss"`, or `{ epoch = "unix" }` for a number.
    pub time: Option<TimeForm>,
    /// The text's characters: `utf-8`, `ascii`, `latin-1`, `windows-1252`, `utf-16be`, `utf-16le`.
    /// Default `utf-8`; bytes that are none become U+FFFD.
    pub encoding: Option<Encoding>,
    /// What is taken off the text's ends: `both` (blanks and zero bytes), `start`, `end`, `none`. Default `both`.
    pub trim: Option<Trim>,
    /// The decimal point of a `decimal`. Default `.`.
    pub point: Option<char>,
    /// The value is this expression over other fields. With a place or type `x` is what was read there.
    pub value: Option<String>,
    /// The field is there only if this expression holds.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// What must stand here (a number as read, or text, or one of a list): anything else refuses the frame.
    pub is: Scalars,
    /// Fields within this one: it becomes a record of them.
    pub fields: Vec<Field>,
    /// Whether `fields` are put among those around them, instead of becoming a record.
    pub inline: bool,
    /// How often it comes: a number, an expression, or `"rest"`. The value is a list.
    pub repeat: Option<Amount>,
    /// An expression whose value chooses among `cases`.
    pub switch: Option<String>,
    /// For each value of `switch`, or each tag of `tags`, the fields that follow: `{ 1 = [ ... ], other = [ ... ] }`.
    pub cases: Cases,
    /// Items that begin with a tag, until the end: each is read by the one of `cases` that has its tag.
    pub tags: Option<Tags>,
    /// Whether the value is for other fields and templates only. Default false.
    pub hidden: bool,
    /// Modbus: it begins with the input register of this address, instead of a place (`at`).
    pub input: Option<u16>,
    /// Modbus: it begins with the holding register of this address.
    pub holding: Option<u16>,
    /// Modbus: it is the coil of this address.
    pub coil: Option<u16>,
    /// Modbus: it is the discrete input of this address.
    pub discrete: Option<u16>,
    /// Modbus: it begins with the register of this number, as data sheets write it: 40001 is the first holding
    /// register, 30001 the first input register, 10001 the first discrete input, `"00001"` the first coil.
    pub register: Option<Notation>,
    /// Modbus: how often it is asked for. Default: as `modbus.every` says.
    pub every: Option<Span>,
    /// Modbus: whether there is a command of this name that writes it. Default false.
    pub writable: bool,
    /// Modbus: the function that writes it: 5 or 15 for a coil, 6 or 16 for registers, 22 for some bits of one.
    /// Default: 5; 6 for one register, 16 for several.
    pub function: Option<u8>,
}

/// Items that begin with a tag.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tags {
    /// How the tag is written: `u8`, `u16` ...
    #[serde(rename = "type")]
    pub kind: Type,
    /// How the length behind the tag is written. Default: there is none, and each case knows its own length.
    #[serde(default)]
    pub length: Option<Type>,
    /// Added to the length: -2 where it counts the tag and itself. Default 0.
    #[serde(default)]
    pub adjust: i32,
    /// Which byte of tag and length comes first. Default: the kind's.
    #[serde(default)]
    pub order: Option<Order>,
    /// A tag that ends the items; it is passed over.
    #[serde(default)]
    pub end: Option<u64>,
    /// How many items there are: a number or an expression. Default: to the end of the bytes.
    #[serde(default)]
    pub count: Option<Amount>,
    /// What an item without a case means: `skip` it (the default where there are lengths), `stop` reading (the
    /// default where there are none), or `refuse` the frame.
    #[serde(default)]
    pub unknown: Option<UnknownTag>,
}

/// What becomes of an item that no case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownTag {
    /// Pass over it.
    Skip,
    /// Read no further.
    Stop,
    /// Refuse the frame.
    Refuse,
}

/// How bytes are taken apart into the pieces that fields name with `at`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// Bytes, by offset.
    #[default]
    Binary,
    /// Text whose fields stand between separators, by number.
    Columns(Columns),
    /// Text of keys with values, by key.
    Pairs(Pairs),
    /// Text that a regular expression matches, by named group: `{ regex = "..." }`.
    Regex(String),
    /// Lines of OBIS codes with values in parentheses (IEC 62056-21, DSMR), by code.
    Obis,
    /// A JSON text, by pointer (`/a/0/b`) or by the name of a key at its top.
    Json,
    /// SML, the messages of German electricity meters, by OBIS code.
    Sml,
    /// Wired M-Bus (EN 13757-3) from the control information on, by `r0`, `r1` ... and the names of the header.
    Mbus,
    /// Notifications of DLMS meters (IEC 62056-5-3), by OBIS code, or by place where there are no codes.
    Dlms,
    /// A script in Rhai, the last resort: it finds the bytes in `data` and gives a map of names and values.
    Script(String),
}

/// Text in columns.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Columns {
    /// What stands between two columns. Default `","`.
    pub separator: Octets,
    /// Whether several separators in a row count as one, and those at the ends as none. Default false.
    pub squeeze: bool,
    /// A character that encloses columns in which the separator may stand; doubled it stands for itself.
    pub quote: Option<char>,
    /// How many columns there must be: `8`, or `[8, 10]` for from and to. Default: any number.
    pub count: Option<Count>,
    /// The names of the columns, so that fields may name them with `at`.
    pub header: Vec<String>,
}

impl Default for Columns {
    fn default() -> Columns {
        Columns {
            separator: Octets::from(*b","),
            squeeze: false,
            quote: None,
            count: None,
            header: Vec::new(),
        }
    }
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub usize, pub usize);

/// Text of keys with values.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pairs {
    /// What stands between two pairs. Default: line ends.
    pub separator: Octets,
    /// What stands between a key and its value: `"="`, `"\t"`, `":"`. Default `"="`.
    pub assign: Octets,
    /// How many bytes at each pair's end belong to neither, such as a check of its own. Default 0.
    pub trailer: usize,
    /// Whether a pair without `assign` refuses the frame. Default false: it is passed over.
    pub strict: bool,
}

impl Default for Pairs {
    fn default() -> Pairs {
        Pairs {
            separator: Octets::from(*b"\n"),
            assign: Octets::from(*b"="),
            trailer: 0,
            strict: false,
        }
    }
}

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
    /// This bit of the number as it was read, before `mask`: negative when it is 1.
    Bit(u8),
    /// This bit of the number as it was read: negative when it is 0.
    ClearBit(u8),
}

/// Names for bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags(pub Vec<(String, u8)>);

/// Names for values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels(pub Vec<(String, Label)>);

/// What a value stands for: mostly a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// A name.
    Name(String),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
}

/// Fields for values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cases(pub Vec<(String, Vec<Field>)>);

/// A value as it is written in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
    /// A text.
    Text(String),
}

/// One or several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scalars(pub Vec<Scalar>);

/// One step, or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unpacks(pub Vec<Unpack>);

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

impl Field {
    /// The registers that it names.
    pub(crate) fn registers(&self) -> Vec<(Table, u16)> {
        let by_table = [
            (Table::Coil, self.coil),
            (Table::Discrete, self.discrete),
            (Table::Input, self.input),
            (Table::Holding, self.holding),
        ];
        let named = by_table
            .into_iter()
            .filter_map(|(table, address)| Some((table, address?)));
        let numbered = self.register.map(|number| (number.table, number.address));
        named.chain(numbered).collect()
    }
}

impl Type {
    /// Reads a type's name.
    pub fn parse(text: &str) -> Option<Type> {
        let bits = |digits: &str| digits.parse::<u8>().ok().filter(|bits| (1..=64).contains(bits));
        Some(match text {
            "uint" => Type::UintOf,
            "int" => Type::IntOf,
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

const TYPES: &str = "`u8` to `u64`, `i8` to `i64` (any number of bits), `f16`, `f32`, `f64`, `bool`, `uint`, `int`, `bcd`, \
                     `bcd-swapped`, `text`, `bytes`, `decimal`, `hex`, `binary`, `octal`, `time` or `skip`";

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

/// A number as a key or a text may give it: `16`, `0x10`, `0b10000`.
pub(super) fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let value = if let Some(hex) = lower.strip_prefix("0x") {
        i64::from_str_radix(hex, 16)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i64::from_str_radix(binary, 2)
    } else if lower.starts_with(|c: char| c.is_ascii_digit()) {
        lower.parse()
    } else {
        return None;
    };
    value.ok().map(|value| if negative { -value } else { value })
}

macro_rules! read_any {
    ($type:ty, $expecting:literal, { $($method:item)* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> de::Visitor<'de> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    $($method)*
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

read_any!(At, "an offset, the number of a column, a key or an expression", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<At, E> {
        match i32::try_from(n) {
            Ok(n) if n.unsigned_abs() <= 1 << 20 => Ok(At::Number(n)),
            _ => Err(E::custom("a place is at most 1048576")),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<At, E> {
        i64::try_from(n)
            .map_err(E::custom)
            .and_then(|n| self.visit_i64(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<At, E> {
        Ok(At::Key(text.to_owned()))
    }
});

read_any!(Amount, "a number, an expression, or \"rest\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Amount, E> {
        match i32::try_from(n) {
            Ok(n) if n.unsigned_abs() <= 1 << 20 => Ok(Amount::Number(n)),
            _ => Err(E::custom("it is at most 1048576")),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Amount, E> {
        i64::try_from(n)
            .map_err(E::custom)
            .and_then(|n| self.visit_i64(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        Ok(match text {
            "rest" => Amount::Rest,
            _ => Amount::Expression(text.to_owned()),
        })
    }
});

read_any!(Letter, "a byte such as 0x3f, or a character such as \"0\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Letter, E> {
        u8::try_from(n)
            .map(Letter)
            .map_err(|_| E::custom("a byte is 0 to 255"))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Letter, E> {
        u8::try_from(n)
            .map(Letter)
            .map_err(|_| E::custom("a byte is 0 to 255"))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Letter, E> {
        match text.as_bytes() {
            [byte] => Ok(Letter(*byte)),
            _ => Err(E::custom("one ASCII character, or a number")),
        }
    }
});

read_any!(Factor, "a number or an expression", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Factor, E> {
        Ok(Factor::Number(n as f64))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Factor, E> {
        Ok(Factor::Number(n as f64))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Factor, E> {
        Ok(Factor::Number(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Factor, E> {
        Ok(Factor::Expression(text.to_owned()))
    }
});

read_any!(Label, "a name, a number, true or false", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Label, E> {
        Ok(Label::Bool(yes))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Label, E> {
        Ok(Label::Int(n))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Label, E> {
        Ok(i64::try_from(n).map_or(Label::Float(n as f64), Label::Int))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Label, E> {
        Ok(Label::Float(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Label, E> {
        Ok(Label::Name(text.to_owned()))
    }
});

read_any!(Scalar, "a number, a text, true or false", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Scalar, E> {
        Ok(Scalar::Int(yes.into()))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(n))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(n).map_or(Scalar::Float(n as f64), Scalar::Int))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
});

read_any!(Scalars, "a number, a text, or a list of them", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Int(yes.into())]))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Int(n)]))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Scalars, E> {
        Ok(Scalars(vec![
            i64::try_from(n).map_or(Scalar::Float(n as f64), Scalar::Int),
        ]))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Float(n)]))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Text(text.to_owned())]))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalars, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Scalars(all))
    }
});

read_any!(
    Labels,
    "a table of numbers and their names, such as { 0 = \"off\" }",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut all = Vec::new();
            while let Some(pair) = map.next_entry()? {
                all.push(pair);
            }
            Ok(Labels(all))
        }
    }
);

read_any!(
    Cases,
    "a table of values and the fields for each, such as { 1 = [ { name = ... } ] }",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Cases, A::Error> {
            let mut all = Vec::new();
            while let Some(pair) = map.next_entry()? {
                all.push(pair);
            }
            Ok(Cases(all))
        }
    }
);

read_any!(
    Flags,
    "a table of names and bits, such as { alarm = 7 }, or a list of names from bit 0 on",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Flags, A::Error> {
            let mut all = Vec::new();
            while let Some((name, bit)) = map.next_entry::<String, u8>()? {
                if bit > 63 {
                    return Err(de::Error::custom("bits are counted from 0 to 63"));
                }
                all.push((name, bit));
            }
            Ok(Flags(all))
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Flags, A::Error> {
            let mut all = Vec::new();
            while let Some(name) = seq.next_element::<String>()? {
                let bit = u8::try_from(all.len()).ok().filter(|bit| *bit < 64);
                let bit = bit.ok_or_else(|| de::Error::custom("bits are counted from 0 to 63"))?;
                all.push((name, bit));
            }
            Ok(Flags(
                all.into_iter().filter(|(name, _)| !name.is_empty()).collect(),
            ))
        }
    }
);

read_any!(Count, "a number, or from and to: [8, 10]", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Count, E> {
        let n = usize::try_from(n).map_err(E::custom)?;
        Ok(Count(n, n))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Count, E> {
        let n = usize::try_from(n).map_err(E::custom)?;
        Ok(Count(n, n))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        match (
            seq.next_element::<usize>()?,
            seq.next_element::<usize>()?,
            seq.next_element::<usize>()?,
        ) {
            (Some(from), Some(to), None) if from <= to => Ok(Count(from, to)),
            _ => Err(de::Error::custom("from and to, the smaller first: [8, 10]")),
        }
    }
});

read_any!(
    TimeForm,
    "a pattern such as \"YYMMDDhhmmss\", or { epoch = \"unix\" }",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeForm, E> {
            Ok(TimeForm::Pattern(text.to_owned()))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TimeForm, A::Error> {
            Epoch::deserialize(de::value::MapAccessDeserializer::new(map)).map(TimeForm::Count)
        }
    }
);

read_any!(Zone, "minutes east of UTC, or \"local\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Zone, E> {
        match i16::try_from(n) {
            Ok(minutes @ -900..=900) => Ok(Zone(Some(minutes))),
            _ => Err(E::custom("a zone is -900 to 900 minutes east of UTC")),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Zone, E> {
        i64::try_from(n)
            .map_err(E::custom)
            .and_then(|n| self.visit_i64(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Zone, E> {
        match text {
            "local" => Ok(Zone(None)),
            "utc" => Ok(Zone::default()),
            _ => Err(E::custom("minutes east of UTC, or \"local\"")),
        }
    }
});

read_any!(Unpacks, "one step such as \"hex\", or a list of steps", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Unpacks, E> {
        let step = Unpack::deserialize(de::value::StrDeserializer::new(text))?;
        Ok(Unpacks(vec![step]))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Unpacks, A::Error> {
        let step = Unpack::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Unpacks(vec![step]))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Unpacks, A::Error> {
        let mut all = Vec::new();
        while let Some(step) = seq.next_element()? {
            all.push(step);
        }
        Ok(Unpacks(all))
    }
});

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Type::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "there is no type `{}`; known: {TYPES}",
                text.escape_debug()
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = match text.as_str() {
            "big" => Some(Order::Big),
            "little" => Some(Order::Little),
            "word-swapped" => Some(Order::WordSwapped),
            "byte-swapped" => Some(Order::ByteSwapped),
            letters => {
                let ranks: Vec<u8> = letters.bytes().map(|letter| letter.wrapping_sub(b'A')).collect();
                let whole = (1..=8).contains(&ranks.len())
                    && (0..ranks.len()).all(|rank| ranks.contains(&(rank as u8)));
                whole.then_some(Order::Ranks(ranks))
            }
        };
        known.ok_or_else(|| {
            de::Error::custom(format!(
                "`{}` is no order: use big, little, word-swapped, byte-swapped, or letters with A for the most \
                 significant byte, each once: \"CDAB\"",
                text.escape_debug()
            ))
        })
    }
}

macro_rules! schema {
    ($type:ty, $name:literal, $json:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($json)
            }
        }
    };
}

schema!(Type, "FieldType", {
    "description": "How a value is written, such as `u16`, `f32` or `text`.",
    "type": "string",
});
schema!(Order, "FieldOrder", {
    "description": "`big`, `little`, `word-swapped`, `byte-swapped`, or letters such as `CDAB`.",
    "type": "string",
});
schema!(At, "Place", {
    "description": "An offset, the number of a column, a key or an expression.",
    "type": ["integer", "string"],
});
schema!(Amount, "Amount", {
    "description": "A number, an expression, or `rest`.",
    "type": ["integer", "string"],
});
schema!(Letter, "Letter", {
    "description": "A byte: a number, or an ASCII character.",
    "type": ["integer", "string"],
});
schema!(Factor, "Factor", { "description": "A number or an expression.", "type": ["number", "string"] });
schema!(Scalars, "Scalars", {
    "description": "A number, a text, or a list of them.",
    "type": ["number", "string", "boolean", "array"],
});
schema!(Labels, "Labels", {
    "description": "Numbers (or ranges such as `1..3`, or texts) and their names, or the numbers that they stand for.",
    "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] },
});
schema!(Flags, "Flags", {
    "description": "Names and their bits, or a list of names from bit 0 on.",
    "anyOf": [
        { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0, "maximum": 63 } },
        { "type": "array", "items": { "type": "string" } },
    ],
});
schema!(Count, "ColumnCount", {
    "description": "A number, or from and to.",
    "type": ["integer", "array"],
});
schema!(Zone, "Zone", { "description": "Minutes east of UTC, or `local`.", "type": ["integer", "string"] });

impl JsonSchema for Cases {
    fn schema_name() -> Cow<'static, str> {
        "Cases".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<Vec<Field>>();
        json_schema!({
            "description": "Values (or ranges, or `other`) and the fields for each.",
            "type": "object", "additionalProperties": fields,
        })
    }
}

impl JsonSchema for TimeForm {
    fn schema_name() -> Cow<'static, str> {
        "TimeForm".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let epoch = generator.subschema_for::<Epoch>();
        json_schema!({ "anyOf": [{ "type": "string" }, epoch] })
    }
}

impl JsonSchema for Unpacks {
    fn schema_name() -> Cow<'static, str> {
        "UnpackSteps".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let step = generator.subschema_for::<Unpack>();
        json_schema!({ "anyOf": [step.clone(), { "type": "array", "items": step }] })
    }
}
