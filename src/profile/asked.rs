//! What a person writes of a device that speaks only when asked: its bus, its polls, the session that it wants.

use crate::field::config::{Field, Order};
use crate::octets::Octets;
use crate::read_any::read_any;
use crate::serial::Baud;
use crate::span::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How a device shares its line: when it may be asked, and how its replies are known.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bus {
    /// Where a reply says whose it is: the name of a field, or a field in place such as
    /// `{ at = 0, type = "u8" }` over the frame's data. A reply of another device than the one that was asked is
    /// counted and thrown away. Default: replies don't say.
    pub address: Option<Place>,
    /// Addresses that all devices listen to and none answers.
    pub broadcast: Vec<Address>,
    /// How long the device may take until its reply begins, counted from the request's last byte. Default `1s`.
    pub timeout: Option<Span>,
    /// How often a request without a reply is sent again. Default 1.
    pub retries: Option<u8>,
    /// The silence that the line must have had before a request. Default: 3.5 characters, and 1.75 ms above
    /// 19,200 baud, as Modbus wants it.
    pub silence: Option<Span>,
    /// The silence when another device was asked before. Default: as `silence`.
    pub between: Option<Span>,
    /// How long the device usually takes until its reply begins: the plan counts with it, and after a broadcast the
    /// line is left alone for so long. Default `10ms`.
    pub turnaround: Option<Span>,
    /// Whether what is sent comes back by itself, as on two wires: `auto` (found out by looking), `yes` or `no`.
    /// An echo is compared and taken off; one that differs is a collision, and the request is sent again.
    pub echo: Echo,
    /// What becomes of a frame that nobody asked for: it is counted and thrown away (`drop`), or published as if
    /// it had been asked for (`publish`), for devices that speak by themselves, too.
    pub unasked: Unasked,
}

/// Whether what is sent comes back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Echo {
    /// That is found out by looking at the first replies.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// What becomes of a frame that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unasked {
    /// It is counted and thrown away.
    #[default]
    Drop,
    /// Its values are published.
    Publish,
}

/// What the device is asked for, again and again.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Poll {
    /// Its name: ports change its interval by it, and what can't be read is told by it.
    pub name: String,
    /// How often it is asked for. Default `10s`.
    pub every: Option<Span>,
    /// The command of this profile that asks.
    pub command: Option<String>,
    /// The command's parameters; `address` is the device's own.
    pub with: BTreeMap<String, Json>,
    /// The request's bytes, instead of `command`. Framing and check are added.
    pub bytes: Option<Octets>,
    /// The request as a text in which `{name}` stands for a parameter, instead of `command`.
    pub text: Option<String>,
    /// The request's fields, as those of a command; with `text` they describe its parameters.
    pub fields: Vec<Field>,
    /// Which byte of a number comes first. Default: the profile's.
    pub order: Option<Order>,
    /// Whether the bytes are the whole frame already: neither framing nor check is added. Default false.
    pub bare: bool,
    /// A break before the request, so long, that wakes the device. At most 1 s. Default none.
    #[serde(rename = "break")]
    pub wake: Wake,
    /// The kinds of frame that answer. Default: any kind that fits, the request being known.
    pub reply: Vec<String>,
    /// How many bytes the reply has on the line, for the plan. Default: what `when.length` of the kinds or an
    /// example says, or else 32.
    pub reply_length: Option<usize>,
    /// How long the device may take until its reply begins. Default: as `[bus]` says.
    pub timeout: Option<Span>,
    /// How often it is sent again without a reply. Default: as `[bus]` says.
    pub retries: Option<u8>,
    /// Whether a device may not have it: refused once, it is not asked for again until the port is opened anew.
    pub optional: bool,
    /// A dialogue of several steps, instead of one request.
    pub step: Vec<Step>,
    /// What is asked for instead, one after the other, when the device refuses this one.
    #[serde(skip)]
    pub parts: Vec<Poll>,
    /// The reasons of a device that hold for good, so that it is asked for `parts` then, or no more where it is
    /// `optional`. Default: any reason.
    #[serde(skip)]
    pub lasting: Vec<String>,
}

/// One step of a dialogue: something is sent, something is awaited, or both, and then there may be a pause.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Step {
    /// The command of this profile that is sent. With none of `command`, `bytes` and `text` nothing is sent.
    pub command: Option<String>,
    /// The command's parameters; `address` is the device's own.
    pub with: BTreeMap<String, Json>,
    /// The bytes that are sent, instead of `command`. Framing and check are added.
    pub bytes: Option<Octets>,
    /// The text that is sent, in which `{name}` stands for a parameter, instead of `command`.
    pub text: Option<String>,
    /// Whether the bytes are the whole frame already: neither framing nor check is added. Default false.
    pub bare: bool,
    /// A break before what is sent, so long, that wakes the device: the line is held at 0, and then at 1 for a
    /// character. At most 1 s; it may be all that is sent. Default none.
    #[serde(rename = "break")]
    pub wake: Wake,
    /// The kinds of frame that are awaited. Default: any kind that fits; `silent` for none.
    pub reply: Vec<String>,
    /// Whether no reply is awaited. Default false.
    pub silent: bool,
    /// How long the device may take until its reply begins. Default: as `[bus]` says.
    pub timeout: Option<Span>,
    /// Ask again, at most so often, until a reply of one of the kinds in `reply` comes; other kinds mean "not yet".
    /// Default 0: other kinds are not awaited.
    pub repeat: u16,
    /// A pause behind the reply (or what was sent): a time, or `{ field = "seconds" }` for as many seconds as the
    /// reply says. Between repetitions, too.
    pub wait: Option<Wait>,
    /// Whether other devices of the line may be asked during that pause. Default false: some devices give up what they
    /// do when they hear others spoken to.
    pub shared: bool,
    /// The speed of the line from here on, behind the reply or what was sent.
    pub baud: Option<Baud>,
}

/// What a device wants before it can be asked: logging in, waking up, a change of speed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Session {
    /// The steps that open it.
    pub step: Vec<Step>,
    /// The kinds of reply that say that it is lost: it is opened again, and the request repeated.
    pub lost: Vec<String>,
    /// It is lost when nothing has been asked for so long. Default: it stays.
    pub idle: Option<Span>,
    /// Whether it is opened before each request and closed behind it. Default false.
    pub each: bool,
    /// The steps that close it, where it is opened for `each` request. Nothing becomes of a fault in them.
    pub close: Vec<Step>,
}

/// How long a break is, at most 1 s; zero for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wake(pub Duration);

/// No device needs a longer break to wake, and nothing else can be done on the line meanwhile.
const WAKE_MAX: Duration = Duration::from_secs(1);

/// A pause: a time, or as many seconds as a field of the reply says.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// So long.
    For(Span),
    /// As many seconds as this field says, unless a frame of one of these kinds comes before.
    Said(Said),
}

/// A pause that the reply tells.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Said {
    /// The field of the reply that holds the seconds.
    pub field: String,
    /// Kinds of frame with which the device says that the pause is over before.
    pub until: Vec<String>,
}

/// Where a reply says whose it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// In the field of this name.
    Field(String),
    /// There in the frame's data.
    Data(Box<Field>),
}

/// The address of a device on its bus: a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

impl Address {
    /// As a command takes it.
    pub fn json(&self) -> Json {
        match self {
            Address::Number(n) => Json::from(*n),
            Address::Text(text) => Json::from(text.as_str()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Number(n) => n.fmt(f),
            Address::Text(text) => text.fmt(f),
        }
    }
}

read_any!(Address, "an address: a number from 0 on, or a text", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Address, E> {
        match u64::try_from(n) {
            Ok(n) => Ok(Address::Number(n)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(n), &self)),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Address, E> {
        Ok(Address::Number(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
            return Err(E::custom(
                "an address as a text has 1 to 64 characters that can be printed",
            ));
        }
        Ok(Address::Text(text.to_owned()))
    }
});

read_any!(
    Place,
    "the name of a field, or a field such as { at = 0, type = \"u8\" }",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Place, E> {
            Ok(Place::Field(name.to_owned()))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Place, A::Error> {
            let field = Field::deserialize(de::value::MapAccessDeserializer::new(map))?;
            Ok(Place::Data(Box::new(field)))
        }
    }
);

read_any!(Wait, "a time such as \"1s\", or { field = \"seconds\" }", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wait, E> {
        Span::deserialize(de::value::StrDeserializer::new(text)).map(Wait::For)
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Wait, A::Error> {
        Said::deserialize(de::value::MapAccessDeserializer::new(map)).map(Wait::Said)
    }
});

impl<'de> Deserialize<'de> for Wake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let span = Span::deserialize(deserializer)?;
        match span.0 > WAKE_MAX {
            true => Err(de::Error::custom(format!(
                "a break of {span} is too long: at most 1s"
            ))),
            false => Ok(Wake(span.0)),
        }
    }
}

impl serde::Serialize for Wake {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Span(self.0))
    }
}

impl JsonSchema for Wake {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Break".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Span>()
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The address of a device on its bus.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "minLength": 1, "maxLength": 64 }],
        })
    }
}

impl JsonSchema for Place {
    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = generator.subschema_for::<Field>();
        json_schema!({ "anyOf": [{ "type": "string" }, field] })
    }
}

impl JsonSchema for Wait {
    fn schema_name() -> Cow<'static, str> {
        "Wait".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (span, said) = (
            generator.subschema_for::<Span>(),
            generator.subschema_for::<Said>(),
        );
        json_schema!({ "anyOf": [span, said] })
    }
}
