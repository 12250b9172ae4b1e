//! The field language as a person writes it: what a frame's bytes mean, in words of a data sheet.

mod read;
mod schema;
mod types;
mod unpack;

use crate::modbus::{Notation, Table};
use crate::octets::Octets;
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;
pub use types::{Amount, At, Encoding, Epoch, Factor, Order, Sign, Step, TimeForm, Trim, Type, Zone};
pub use unpack::{Cipher, Decipher, Escape, Letter, Pair, Septets, Unpack, Unpacks};

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
    /// `uint` and `int` (with `length`), `varint`, `bcd`, `bcd-swapped`, `text`, `bytes`; digits as text: `decimal`, `hex`,
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
    /// The list ends behind the first element for which this expression holds: `x` is what was read there, or, where
    /// `fields` make records, their names. Without `repeat` such an element must come.
    pub stop: Option<String>,
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
