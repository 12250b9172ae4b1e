//! A device profile as a person writes it: how a kind of device speaks.

use super::asked::{Bus, Poll, Session};
use super::registers::Modbus;
use crate::field::cipher::Keys;
use crate::field::config::{Decode, Field, Order, Unpacks};
use crate::modbus::Said;
use crate::octets::Octets;
use crate::read_any::read_any;
use crate::serial::{Baud, DataBits, FlowControl, NinthBit, OnBreak, Parity, StopBits};
use crate::{check, frame};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A device profile: the serial line, how frames are cut and checked, what they say, what can be sent.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(title = "mqttyd device profile")]
pub struct Config {
    /// The device, for people: maker, model, what it is.
    pub title: String,
    /// Where the description comes from, and what should be known of it.
    pub notes: String,
    /// How the serial line is set, unless the port says otherwise.
    pub serial: Serial,
    /// How the bytes are cut into frames. Default: lines.
    pub frame: frame::Config,
    /// The check that each frame carries, or several: all of them must hold, and the last one is taken off.
    pub check: Checks,
    /// Bytes that never stand in a frame: a frame with one of them is refused.
    pub forbid: Forbid,
    /// What is undone to a frame's bytes, in this order, behind the check and before its fields are read.
    pub unpack: Unpacks,
    /// The check over the unpacked bytes, or several.
    pub data_check: Checks,
    /// Which byte of a number comes first, unless a field says otherwise. Default `big`.
    pub order: Option<Order>,
    /// The kinds of frame: the first whose `when` fits is taken.
    pub kind: Vec<Kind>,
    /// The fields of a device with one kind of frame; not together with `kind`.
    pub fields: Vec<Field>,
    /// How bytes are taken apart into fields, for a device with one kind of frame. Default `binary`.
    pub decode: Option<Decode>,
    /// Expressions that must hold, or the frame is refused; for a device with one kind of frame.
    pub require: Vec<String>,
    /// Frames that are parts of one message: they are put together before their kind is looked for.
    pub join: Option<Join>,
    /// The keys of an enciphered device, for `unpack = { decipher = ... }`. They are mostly said at the port: no two
    /// devices have the same.
    pub keys: Keys,
    /// Lines that are gathered into one record.
    pub gather: Option<Gather>,
    /// What the device can be told.
    pub command: Vec<Command>,
    /// How what is sent to the device is framed, where that differs from what it sends.
    pub request: Option<Request>,
    /// What a Modbus device allows, whose fields name registers.
    pub modbus: Option<Modbus>,
    /// How the device shares its line, where it speaks only when asked.
    pub bus: Bus,
    /// What the device is asked for, again and again.
    pub poll: Vec<Poll>,
    /// What it wants before it can be asked.
    pub session: Option<Session>,
    /// Frames with the values that they must give: `mqttyd check` tries them.
    pub example: Vec<Example>,
}

/// How the serial line is set.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Serial {
    /// Speed in baud.
    pub baud: Option<Baud>,
    /// Data bits per character.
    pub data_bits: Option<DataBits>,
    /// The parity bit.
    pub parity: Option<Parity>,
    /// Stop bits.
    pub stop_bits: Option<StopBits>,
    /// Flow control.
    pub flow_control: Option<FlowControl>,
    /// Level of DTR after opening, for adapters that draw their power from it.
    pub dtr: Option<bool>,
    /// Level of RTS after opening.
    pub rts: Option<bool>,
    /// The parity bit as a ninth bit that tells addresses from data.
    pub ninth_bit: Option<NinthBit>,
    /// What becomes of a break: read as a zero byte (`ignore`), counted (`count`), or a frame begins behind it (`begin`).
    pub on_break: Option<OnBreak>,
}

/// A kind of frame.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kind {
    /// Its name: templates have it as `kind`.
    pub name: String,
    /// Which frames are of this kind. Default: all that no kind before has taken.
    pub when: When,
    /// What such a frame means: `values` (the default), `error` (the device says no), `ack`, `no-data`, or
    /// `ignore` (a good frame with nothing to publish).
    pub means: Means,
    /// How frames of this kind are cut, where another protocol shares the line. Default: the profile's.
    pub frame: Option<frame::Config>,
    /// The check of frames that are cut by this kind's `frame`.
    pub check: Checks,
    /// What is undone to the bytes of this kind, behind what the profile undoes.
    pub unpack: Unpacks,
    /// How the bytes are taken apart into fields. Default `binary`.
    pub decode: Decode,
    /// Which byte of a number comes first. Default: the profile's.
    pub order: Option<Order>,
    /// Whether what no field names is given on, too, where pieces have keys: numbers as numbers, all else as
    /// text. Default: only with named decoders.
    pub collect: Option<bool>,
    /// The fields.
    pub fields: Vec<Field>,
    /// Expressions that must hold when all fields are read, or the frame is refused.
    pub require: Vec<String>,
    /// What it is of a Modbus device.
    #[serde(skip)]
    pub modbus: Option<Said>,
}

/// Which frames are of a kind: all conditions that are given must fit.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct When {
    /// The data begins with these bytes, or with one of several: `["$GPGGA", "$GNGGA"]`.
    pub starts_with: Several,
    /// The data ends with these bytes, or with one of several.
    pub ends_with: Several,
    /// The data has so many bytes: `9`, or `[9, 20]` for from and to.
    pub length: Option<Bounds>,
    /// Bytes at a place: `{ at = 3, is = [0xf0] }`, or a list of such.
    pub bytes: Bytes,
    /// The data matches this regular expression.
    pub matches: Option<String>,
    /// What the request was to which this frame is the reply. Fits nothing where no request is known.
    pub request: Option<Box<When>>,
}

/// Bytes at a place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spot {
    /// The offset of the first, negative from the end.
    #[serde(default)]
    pub at: i32,
    /// What stands there.
    pub is: Octets,
    /// Which bits count, as many bytes as `is` has. Default: all.
    #[serde(default)]
    pub mask: Option<Octets>,
    /// Whether anything else must stand there instead. Default false.
    #[serde(default)]
    pub not: bool,
}

/// What a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Its values.
    #[default]
    Values,
    /// The device says no.
    Error,
    /// The device has understood.
    Ack,
    /// The device has no value.
    NoData,
    /// Nothing.
    Ignore,
}

/// Frames that are parts of one message.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Join {
    /// Which frames begin a message, by the same conditions as for kinds. Parts of one before, whose end never came,
    /// are dropped.
    pub first: When,
    /// Which frames end a message; one may begin and end it. All frames between belong to it.
    pub last: When,
    /// What is undone to each part, such as `{ drop = 9 }` for its header.
    #[serde(default)]
    pub unpack: Unpacks,
    /// What is taken of each part, before `unpack`: what this regular expression finds, its first group, or all.
    #[serde(default)]
    pub take: Option<String>,
    /// The longest message, in bytes. Default 4096.
    #[serde(default)]
    pub max: frame::Size,
}

/// Lines that are gathered into one record.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gather {
    /// The kinds of frame that are gathered. Others are given on by themselves.
    pub kinds: Vec<String>,
    /// The kind that closes the record.
    pub until: String,
    /// The kinds without which the record is not given on. Default none.
    #[serde(default)]
    pub needs: Vec<String>,
    /// A gathered record's kind, as templates see it. Default `record`.
    #[serde(default = "record")]
    pub name: String,
}

/// How what is sent to the device is framed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Request {
    /// How frames are made. Default: the profile's.
    pub frame: Option<frame::Config>,
    /// The check that they carry. Default: the profile's.
    pub check: Option<Checks>,
    /// What is done to the bytes, the last step first: as it would be undone. Default: the profile's.
    pub unpack: Option<Unpacks>,
}

/// What the device can be told.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Command {
    /// Its name, as a topic has it.
    pub name: String,
    /// What it does, for people.
    pub title: String,
    /// The bytes that never change. Framing and check are added.
    pub bytes: Option<Octets>,
    /// A text in which `{name}` stands for a parameter; `{{` and `}}` for the braces.
    pub text: Option<String>,
    /// The fields of the frame, as those of a kind: those with `is` are constants, the others are parameters.
    pub fields: Vec<Field>,
    /// Which byte of a number comes first. Default: the profile's.
    pub order: Option<Order>,
    /// Whether the bytes are the whole frame already: neither framing nor check is added. Default false.
    pub bare: bool,
    /// The kinds of frame that answer it. Default: any kind that fits, the request being known.
    pub reply: Vec<String>,
    /// Whether the device never answers it. Default false.
    pub silent: bool,
    /// The poll that reads back what it has set, where a port's entry does not say another: the command ends as
    /// `verified` when the fields that are named like its parameters have the same values then. Default: none.
    pub verify: Option<String>,
}

/// A frame and what it must give.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Example {
    /// Its name.
    pub name: String,
    /// The bytes as they come from the line, in hexadecimal digits; blanks are ignored.
    pub wire: String,
    /// The same as text, where the frame is text.
    pub text: Option<String>,
    /// The bytes of the request to which this is the reply.
    pub request: Option<String>,
    /// The command of this profile that is sent as these bytes, with framing and check; an example of a command has
    /// no `request`, `gives` or `values`.
    pub command: Option<String>,
    /// The command's parameters, with the device's `address` where it has one.
    pub with: BTreeMap<String, Json>,
    /// What must come of it: `values` (the default), `refused` (nothing is published), or one of the other
    /// meanings of a kind.
    pub gives: Gives,
    /// The values, by name. What is not named is not looked at.
    pub values: Expected,
    /// How far a number may be off. Default 0.000001.
    pub tolerance: Option<f64>,
    /// The keys of the device that has sent it, if it is enciphered.
    pub keys: Option<Keys>,
}

/// What must come of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gives {
    /// Values.
    #[default]
    Values,
    /// Nothing: the check or the shape refuses it.
    Refused,
    /// An error of the device.
    Error,
    /// An acknowledgement.
    Ack,
    /// No data.
    NoData,
    /// A good frame with nothing to publish.
    Ignore,
    /// The rest is still to come.
    Incomplete,
}

/// One check or several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checks(pub Vec<check::Config>);

/// One run of bytes or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Several(pub Vec<Octets>);

/// One spot or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<Spot>);

/// From and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds(pub usize, pub usize);

/// Bytes that never stand in a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Forbid {
    /// These bytes.
    pub bytes: Octets,
    /// Bytes from this on: `0x80` where only seven bits are used.
    pub from: Option<u8>,
    /// Where the rule begins. Default 0; 1 where the start marker is such a byte.
    pub offset: usize,
}

/// Values by name, as a file has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expected(pub Vec<(String, Wanted)>);

/// A value as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// A number.
    Number(f64),
    /// A text; also of bytes, in hexadecimal digits, and of times.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// A list.
    List(Vec<Wanted>),
    /// Values by name.
    Table(Vec<(String, Wanted)>),
}

fn record() -> String {
    "record".to_owned()
}

fn all<'de, T: Deserialize<'de>, A: de::SeqAccess<'de>>(mut seq: A) -> Result<Vec<T>, A::Error> {
    let mut all = Vec::new();
    while let Some(one) = seq.next_element()? {
        all.push(one);
    }
    Ok(all)
}

read_any!(
    Checks,
    "the name of a checksum algorithm, a table such as { algorithm = \"sum8\" }, or a list of them",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Checks, E> {
            let one = <check::Config as Deserialize>::deserialize(de::value::StrDeserializer::new(text))?;
            Ok(Checks(vec![one]))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Checks, A::Error> {
            let one =
                <check::Config as Deserialize>::deserialize(de::value::MapAccessDeserializer::new(map))?;
            Ok(Checks(vec![one]))
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Checks, A::Error> {
            all(seq).map(Checks)
        }
    }
);

/// A byte of the only run, or one of several runs.
enum Part {
    Byte(u8),
    Run(Octets),
}

read_any!(Part, "a byte, or bytes such as \"OK\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Part, E> {
        u8::try_from(n)
            .map(Part::Byte)
            .map_err(|_| E::custom("a byte is 0 to 255"))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Part, E> {
        u8::try_from(n)
            .map(Part::Byte)
            .map_err(|_| E::custom("a byte is 0 to 255"))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Part, E> {
        Ok(Part::Run(text.as_bytes().into()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Part, A::Error> {
        Ok(Part::Run(all::<u8, A>(seq)?.into()))
    }
});

read_any!(
    Several,
    "bytes such as \"OK\" or [0x42, 0x4d], or a list of such",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Several, E> {
            Ok(Several(vec![text.as_bytes().into()]))
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Several, A::Error> {
            let (mut bytes, mut runs) = (Vec::new(), Vec::new());
            for part in all::<Part, A>(seq)? {
                match part {
                    Part::Byte(byte) => bytes.push(byte),
                    Part::Run(run) => runs.push(run),
                }
            }
            match (bytes.is_empty(), runs.is_empty()) {
                (false, true) => Ok(Several(vec![bytes.into()])),
                (_, _) if bytes.is_empty() => Ok(Several(runs)),
                _ => Err(de::Error::custom(
                    "either bytes, or several runs of bytes, not both in one list",
                )),
            }
        }
    }
);

read_any!(
    Bytes,
    "a table such as { at = 3, is = [0xf0] }, or a list of them",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Bytes, A::Error> {
            let one = Spot::deserialize(de::value::MapAccessDeserializer::new(map))?;
            Ok(Bytes(vec![one]))
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Bytes, A::Error> {
            all(seq).map(Bytes)
        }
    }
);

read_any!(Bounds, "a number of bytes, or from and to: [9, 20]", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Bounds, E> {
        usize::try_from(n).map(|n| Bounds(n, n)).map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Bounds, E> {
        usize::try_from(n).map(|n| Bounds(n, n)).map_err(E::custom)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Bounds, A::Error> {
        match all::<usize, A>(seq)?[..] {
            [from, to] if from <= to => Ok(Bounds(from, to)),
            _ => Err(de::Error::custom("from and to, the smaller first: [9, 20]")),
        }
    }
});

read_any!(Expected, "a table of names and values", {
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Expected, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Expected(entries))
    }
});

read_any!(Wanted, "a number, a text, true or false, a list or a table", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Wanted, E> {
        Ok(Wanted::Bool(yes))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Wanted, E> {
        Ok(Wanted::Number(n as f64))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Wanted, E> {
        Ok(Wanted::Number(n as f64))
    }
    fn visit_f64<E: de::Error>(self, x: f64) -> Result<Wanted, E> {
        Ok(Wanted::Number(x))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
        Ok(Wanted::Text(text.to_owned()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Wanted, A::Error> {
        all(seq).map(Wanted::List)
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Wanted::Table(entries))
    }
});

macro_rules! one_or_several {
    ($type:ty, $name:literal, $one:ty) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let one = generator.subschema_for::<$one>();
                json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
            }
        }
    };
}

one_or_several!(Checks, "Checks", check::Config);
one_or_several!(Several, "OctetRuns", Octets);
one_or_several!(Bytes, "Spots", Spot);
one_or_several!(Bounds, "Bounds", usize);

impl JsonSchema for Expected {
    fn schema_name() -> Cow<'static, str> {
        "Expected".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
