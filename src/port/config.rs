//! What a person says about one serial port: where it is, how it speaks, and which topics it joins.

use crate::broker::Qos;
use crate::octets::Octets;
use crate::publish::{self, Change, Fields, Payload, Plan, Policy, Stale, Window};
use crate::read_any::read_any;
use crate::serial::{self, Baud, DataBits, FlowControl, NinthBit, OnBreak, Parity, Rs485, StopBits, Usb};
use crate::span::Span;
use crate::topic::{Filter, Template, Topic};
use crate::{check, field, frame, profile};
use profile::asked::Wake;

pub use super::device::{Device, Reading, Wrong};
pub(crate) use super::shared::put_in;
pub use super::shared::{Described, Line, Member, Percent};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// One serial port: `[[port]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The name of the port in topics, in the journal and in `watch`: one level of a topic, such as `air`.
    pub name: Name,

    /// The device node: `/dev/ttyAMA0`, or better a link that stays the same wherever the adapter is
    /// plugged in, such as `/dev/serial/by-id/usb-FTDI_FT232R_A1-if00-port0`. `mqttyd ports` lists them.
    /// Either this or `usb` must be given.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// The USB adapter with these properties, wherever it is plugged in. For adapters whose `by-id` link
    /// is not good enough; exactly one port of the machine must match.
    #[serde(default)]
    pub usb: Option<Usb>,
    /// Speed of the line in baud; any number that the port's driver takes. Default 9600.
    #[serde(default)]
    #[schemars(extend("default" = 9600))]
    pub baud: Option<Baud>,
    /// Data bits per character: 5, 6, 7 or 8. Default 8.
    #[serde(default)]
    #[schemars(extend("default" = 8))]
    pub data_bits: Option<DataBits>,
    /// The parity bit: `none`, `even`, `odd`, `mark` (always 1) or `space` (always 0). Default `none`.
    /// With `even` and `odd`, a character whose parity is wrong is read as a zero byte, so that it can't
    /// pass for what it is not.
    #[serde(default)]
    #[schemars(extend("default" = "none"))]
    pub parity: Option<Parity>,
    /// Stop bits: 1 or 2 (2 means one and a half with 5 data bits). Default 1.
    #[serde(default)]
    #[schemars(extend("default" = 1))]
    pub stop_bits: Option<StopBits>,
    /// Flow control: `none`, `rts-cts` (by wire) or `xon-xoff` (by the characters 0x11 and 0x13, which
    /// then can't be data). Default `none`.
    #[serde(default)]
    #[schemars(extend("default" = "none"))]
    pub flow_control: Option<FlowControl>,
    /// Level of DTR after opening: true = asserted. Default: as the kernel leaves it, which is asserted. The
    /// kernel asserts it for a moment in any case. It stays as it is when the port is closed, so that a
    /// board that takes DTR for its reset button is not reset at each restart of mqttyd.
    #[serde(default)]
    pub dtr: Option<bool>,
    /// Level of RTS after opening: true = asserted. Default: as the kernel leaves it, which is asserted.
    /// Not together with `flow-control = "rts-cts"`, which moves RTS itself.
    #[serde(default)]
    pub rts: Option<bool>,
    /// Ask the driver for low latency, where it knows of it: FTDI adapters then deliver what they have
    /// each millisecond and not each 16. Default true. When to change: to spare the processor at high speeds.
    #[serde(default = "yes")]
    pub low_latency: bool,
    /// Who turns the driver of an RS-485 line. Default: the adapter by itself.
    #[serde(default)]
    pub rs485: Rs485,
    /// The parity bit as a ninth bit that tells addresses from data: `address` (it is set in the first byte of a frame
    /// and in no other, both ways) or `mdb` (set in the first byte of what is sent, and in the last one of what is
    /// received). A frame begins at such a byte (ends behind it), whatever came before. Not together with `parity`.
    /// Needs a driver that knows mark and space parity. Default: there is no ninth bit.
    #[serde(default)]
    pub ninth_bit: Option<NinthBit>,
    /// What becomes of a break (the line at 0 for longer than a character): `ignore` (it is read as a zero byte),
    /// `count` (it is counted, and is no byte) or `begin` (it is counted, and a frame begins behind it, as in LIN and
    /// DMX). Default `ignore`.
    #[serde(default)]
    #[schemars(extend("default" = "ignore"))]
    pub on_break: Option<OnBreak>,

    /// The device behind the port: the name of a profile, such as `"plantower-pms5003"`, which says how the line
    /// is set, how bytes become frames, and what they mean; a list of names where several protocols share the line;
    /// or a table that says the same in place: `device = { fields = [ ... ] }`, see fields.md. What the port itself
    /// says of the line, frames and check goes before. Devices that speak only when asked, and may share the line,
    /// have a `[[port.device]]` each, see bus.md. None by default: frames are bytes.
    #[serde(default)]
    pub device: Option<Device>,
    /// The profiles that `device` names, read from their files.
    #[serde(skip)]
    pub described: Vec<profile::Config>,

    /// The line as a bus, where its devices speak only when asked.
    #[serde(default)]
    pub bus: Line,

    /// A Modbus device that this port is, for a master at the other end. What the master writes is published as the
    /// port's values are. Not together with `device` and commands. None by default.
    #[serde(default)]
    pub serve: Option<super::serve::Config>,

    /// How the bytes are cut into frames. Default: as the device's profile says, or else lines; `modbus-rtu` with
    /// `serve`.
    #[serde(default)]
    pub frame: Option<frame::Config>,
    /// The checksum that each frame carries. Default: as the device's profile says, or else none: every frame is
    /// taken as good.
    #[serde(default)]
    pub check: Option<check::Config>,

    /// What is published of the frames that arrive. Several entries publish one frame several times.
    #[serde(default)]
    pub publish: Vec<Publish>,
    /// The keys of a device that enciphers what it says, such as an electricity meter: `keys = { encryption =
    /// "00112233445566778899aabbccddeeff" }`, as its owner has them from the grid operator. Mind who may read this
    /// file. Default none.
    pub keys: Option<field::cipher::Keys>,
    /// Which messages are sent to the device.
    #[serde(default)]
    pub command: Vec<Command>,
}

/// From the device to a topic: `[[port.publish]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Publish {
    /// The topic, with values put in: `{{ port }}`, `{{ seq }}`, `{{ time }}`, the named groups of
    /// `when = { regex = "(?<id>...)" }`, and the frame's fields by their names. With `{{ field }}` in it there is one
    /// message for each field. What stands in the braces may be computed as Jinja does it: `{{ port | upper }}`.
    /// A value from the line can't make another topic than the one meant: `/`, `+`, `#` and the like are
    /// percent-encoded, and a message whose value is empty is not published.
    pub topic: Template,
    /// The payload: the frame's bytes (`raw`, `text`, `hex`, `base64`, `json`), one value as text (`value`), all
    /// values as a JSON object (`values`), or a text of your own (`{ template = "{{ value }} {{ unit }}" }`). Default:
    /// `value` if the topic has `{{ field }}` in it or `fields` names one, `values` if `fields` names several, or
    /// else `raw`.
    #[serde(default)]
    pub payload: Option<Payload>,
    /// Which fields are published: names, or tables with a name and rules for this field alone, such as
    /// `["pm10", { name = "pm25", every = "10s" }]`. All by default.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// Publish only what has changed: `true`, `{ by = 0.5 }` (a number must differ by so much) or
    /// `{ percent = 2 }`. A JSON object is published when one of its values has changed. Not set: everything.
    #[serde(default)]
    pub change: Option<Change>,
    /// With `change`: what comes is published though it hasn't changed, if the last message is older than this.
    #[serde(default)]
    pub heartbeat: Option<Span>,
    /// At most one message in this time for each topic. Of those between, the last one is published at its end.
    #[serde(default)]
    pub every: Option<Span>,
    /// Gather values for a time and publish one for them: `{ over = "1min", take = "mean" }`. It comes first:
    /// `change` and `every` see what the window gives.
    #[serde(default)]
    pub window: Option<Window>,
    /// Say so when no value has come for this long: `"5min"`, or a table that says what and where. It is said once
    /// for each topic, and the next value is published at once. Not set: nothing is said.
    #[serde(default)]
    pub stale: Option<Stale>,
    /// The quality of service, 0, 1 or 2, with which it is published. 0 by default. The engine `rumqttd` delivers
    /// with the quality of the subscription, whatever this says.
    #[serde(default)]
    pub qos: Qos,
    /// Whether the broker keeps the last message for those who subscribe later. No by default.
    #[serde(default)]
    pub retain: bool,
    /// Which frames this entry is for. All by default.
    #[serde(default)]
    pub when: Option<When>,
}

/// A condition on a frame's bytes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum When {
    /// The frame starts with these bytes.
    Prefix(Octets),
    /// The frame matches this regular expression. Its named groups can stand in the topic. Bytes that are not
    /// UTF-8 are matched by `(?-u)` expressions such as `(?-u)^\xaa`.
    Regex(Pattern),
    /// The frame is of the kind of this name, where the port's fields tell kinds apart.
    Kind(String),
}

/// From a topic to the device: `[[port.command]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Command {
    /// The filter of the topics that carry commands; `+` and `#` as MQTT has them.
    pub topic: Filter,
    /// The command of the device's profile that the messages are: their payload is a JSON object of its parameters,
    /// `{"fan": 3}`, or the value alone where there is only one. Instead of `payload`. None by default.
    #[serde(default)]
    pub command: Option<String>,
    /// The poll that a message asks for at once, where the device speaks only when asked; its values are published as
    /// always. Instead of `command` and `payload`. None by default.
    #[serde(default)]
    pub poll: Option<String>,
    /// The poll that reads back what a command has set: it ends as `verified` when the fields that are named like the
    /// command's parameters have the same values then, or else as `unverified`. Default: as the profile's command says;
    /// `""` reads nothing back.
    #[serde(default)]
    pub verify: Option<String>,
    /// How often a command without an answer is sent again, where the device speaks only when asked. Default 0: a
    /// device that does something twice is worse than one whose answer is lost.
    #[serde(default)]
    pub retries: u8,
    /// Whether a command takes the place of one of the same topic that still waits, which ends as `replaced`. Default
    /// false.
    #[serde(default)]
    pub replace: bool,
    /// Where it is told what became of a command: a topic in which `{{ topic }}` stands for the one that the command came
    /// on, or `true` for `{{ topic }}/result`. A JSON object is published there for each step of its life (`queued`,
    /// `sent`, then `answered`, `refused`, `timed-out`, `expired`, `dropped`, `verified` or `unverified`). Whoever
    /// publishes a command with MQTT 5 and a response topic hears of its end there, too. None by default.
    #[serde(default)]
    pub result: Option<ResultTopic>,
    /// How a message's payload becomes the frame's bytes: `raw`, `text`, `hex`, `base64`, or
    /// `{ template = "SET {{ payload }}" }`. Raw by default. Framing and check are added.
    #[serde(default)]
    pub payload: field::Down,
    /// Whether the bytes are the whole frame already: neither framing nor check is added. For devices whose
    /// commands look other than what they send. No by default.
    #[serde(default)]
    pub bare: bool,
    /// A break before the frame, so long, that wakes the device: the line is held at 0, and then at 1 for a character.
    /// At most 1 s. None by default.
    #[serde(default, rename = "break")]
    pub wake: Wake,
    /// The quality of service of the subscription, 0, 1 or 2. 1 by default. The broker inside hands over within
    /// the process, where nothing is lost at 0 either: with the engine `rumqttd` this changes nothing.
    #[serde(default = "at_least_once")]
    pub qos: Qos,
    /// Silence on the line after each frame of this entry, for devices that need time between commands.
    #[serde(default)]
    pub spacing: Span,
    /// How many frames may wait for the line, 1 to 10000.
    #[serde(default)]
    pub queue: QueueLength,
    /// What happens to a command that finds the queue full: `drop-newest` (it is refused) or `drop-oldest`
    /// (it takes the place of the oldest). Both are counted and warned of. `drop-newest` by default.
    #[serde(default)]
    pub when_full: WhenFull,
    /// How long a command may wait, for the line or for a port that is not there, before it is dropped with a
    /// warning. "10s" by default: a command from long ago should not move a device that has just come back.
    #[serde(default = "ten_seconds")]
    pub expire: Span,
    /// Whether messages that the broker kept for later subscribers (retained ones) are sent to the device when
    /// mqttyd subscribes. They would come again at every start, so they are refused by default, with a warning
    /// that names the topic. One that is published while mqttyd runs comes as an ordinary message, as MQTT says.
    #[serde(default)]
    pub accept_retained: bool,
}

/// What happens to a command that finds its queue full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The new command is refused.
    #[default]
    DropNewest,
    /// The new command takes the place of the oldest one.
    DropOldest,
}

/// The name of a port: one level of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Where the life of a command is told, `{{ topic }}` standing for the topic of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultTopic(String);

/// A regular expression over bytes, compiled once.
#[derive(Debug, Clone)]
pub struct Pattern(regex::bytes::Regex);

/// How many frames may wait, 1 to 10000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLength(pub usize);

/// The fields that a port's frames have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Frames are bytes only.
    None,
    /// These.
    Some(Vec<String>),
    /// Those that the frame names.
    Open,
}

impl Config {
    /// The fields that the port's frames have, by name.
    pub(crate) fn values(&self) -> Known {
        if let Some(serve) = &self.serve {
            return Known::Some(serve.writable());
        }
        match self.reading().ok().and_then(|reading| reading.profile) {
            Some(profile) => Known::of(&profile),
            None => Known::None,
        }
    }

    /// The part that the serial room needs.
    pub fn serial(&self) -> serial::Config {
        let profiles = self.profiles();
        /// What the first profile that knows says.
        fn first<T>(
            profiles: &[&profile::Config],
            of: impl Fn(&profile::config::Serial) -> Option<T>,
        ) -> Option<T> {
            profiles.iter().find_map(|profile| of(&profile.serial))
        }
        serial::Config {
            path: self.path.clone(),
            usb: self.usb.clone(),
            baud: self
                .baud
                .or(first(&profiles, |serial| serial.baud))
                .unwrap_or_default(),
            data_bits: self
                .data_bits
                .or(first(&profiles, |serial| serial.data_bits))
                .unwrap_or_default(),
            parity: self
                .parity
                .or(first(&profiles, |serial| serial.parity))
                .unwrap_or_default(),
            stop_bits: self
                .stop_bits
                .or(first(&profiles, |serial| serial.stop_bits))
                .unwrap_or_default(),
            flow_control: self
                .flow_control
                .or(first(&profiles, |serial| serial.flow_control))
                .unwrap_or_default(),
            dtr: self.dtr.or(first(&profiles, |serial| serial.dtr)),
            rts: self.rts.or(first(&profiles, |serial| serial.rts)),
            low_latency: self.low_latency,
            rs485: self.rs485.clone(),
            ninth_bit: self.ninth_bit.or(first(&profiles, |serial| serial.ninth_bit)),
            on_break: self
                .on_break
                .or(first(&profiles, |serial| serial.on_break))
                .unwrap_or_default(),
        }
    }
}

impl Known {
    /// The fields of a profile's frames.
    pub(crate) fn of(profile: &profile::Profile) -> Known {
        if profile.is_open() {
            return Known::Open;
        }
        let infos = profile.shapes().flat_map(|shape| shape.infos());
        let mut names: Vec<String> = infos.map(|info| info.name.to_string()).collect();
        names.sort();
        names.dedup();
        Known::Some(names)
    }
}

impl Publish {
    /// The names that this entry's topic may hold in braces, beside those of its own condition.
    pub const NAMES: [&'static str; 3] = publish::PLAIN;

    /// What it says about values.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            fields: self.fields.as_ref().map(|fields| fields.0.clone()),
            policy: Policy {
                change: self.change,
                heartbeat: self.heartbeat.map(Into::into),
                every: self.every.map(Into::into),
                window: self.window,
                stale: self.stale.clone(),
            },
        }
    }

    /// Every name that its templates hold.
    pub(crate) fn used(&self) -> Vec<String> {
        let payload = match &self.payload {
            Some(Payload::Template(text)) => text.names(),
            _ => Vec::new(),
        };
        self.topic.names().chain(payload).map(str::to_owned).collect()
    }

    /// Every name that this entry's topic may hold in braces without looking into the frame.
    pub fn names(&self) -> Vec<&str> {
        let groups = match &self.when {
            Some(When::Regex(pattern)) => pattern.groups().collect(),
            _ => Vec::new(),
        };
        Self::NAMES.into_iter().chain(groups).collect()
    }
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ResultTopic {
    /// The topic for a command that came on this one.
    pub fn of(&self, topic: &str) -> Option<Topic> {
        let (before, behind) = match self.0.split_once("{{") {
            Some((before, rest)) => (before, rest.split_once("}}")?.1),
            None => return Topic::parse(&self.0).ok(),
        };
        Topic::parse(&format!("{before}{topic}{behind}")).ok()
    }
}

impl Pattern {
    /// The compiled expression.
    pub fn regex(&self) -> &regex::bytes::Regex {
        &self.0
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }
}

fn yes() -> bool {
    true
}

fn at_least_once() -> Qos {
    Qos::AtLeastOnce
}

fn ten_seconds() -> Span {
    Span::millis(10_000)
}

impl Default for QueueLength {
    fn default() -> Self {
        QueueLength(32)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(fit) {
            return Err(de::Error::custom(format!(
                "`{}` can't be the name of a port: use 1 to 64 letters, digits, `-`, `_` and `.`, as in `air` or `meter-3`",
                text.escape_debug()
            )));
        }
        Ok(Name(text))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match regex::bytes::Regex::new(&text) {
            Ok(regex) => Ok(Pattern(regex)),
            Err(error) => {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or("").trim_start_matches("error: ");
                Err(de::Error::custom(format!("not a regular expression: {reason}")))
            }
        }
    }
}

read_any!(ResultTopic, "true, or a topic such as \"{{ topic }}/result\"", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<ResultTopic, E> {
        match yes {
            true => Ok(ResultTopic("{{ topic }}/result".into())),
            false => Err(E::invalid_value(de::Unexpected::Bool(false), &self)),
        }
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<ResultTopic, E> {
        let topic = ResultTopic(text.to_owned());
        let names = text
            .split("{{")
            .skip(1)
            .map(|part| part.split("}}").next().unwrap_or("").trim());
        if names.clone().count() > 1 || names.clone().any(|name| name != "topic") || topic.of("a").is_none() {
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        Ok(topic)
    }
});

impl JsonSchema for ResultTopic {
    fn schema_name() -> Cow<'static, str> {
        "ResultTopic".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A topic, or true for \"{{ topic }}/result\".",
            "anyOf": [{ "type": "string", "minLength": 1 }, { "const": true }],
            "examples": ["{{ topic }}/result"],
        })
    }
}

impl<'de> Deserialize<'de> for QueueLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = i64::deserialize(deserializer)?;
        match usize::try_from(n) {
            Ok(n @ 1..=10_000) => Ok(QueueLength(n)),
            _ => Err(de::Error::invalid_value(
                de::Unexpected::Signed(n),
                &"a length from 1 to 10000",
            )),
        }
    }
}

impl serde::Serialize for QueueLength {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0 as u64)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port's name: letters, digits, `-`, `_` and `.`.",
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
        })
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A regular expression (the syntax of Rust's `regex` crate).",
            "type": "string",
            "format": "regex",
        })
    }
}

impl JsonSchema for QueueLength {
    fn schema_name() -> Cow<'static, str> {
        "QueueLength".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How many frames may wait.",
            "type": "integer",
            "minimum": 1,
            "maximum": 10000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_shows_the_defaults() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        let default = |key: &str| schema["properties"][key]["default"].clone();
        assert_eq!(default("baud"), 9600);
        assert_eq!(default("data-bits"), 8);
        assert_eq!(default("parity"), "none");
        assert_eq!(default("low-latency"), true);
    }

    #[test]
    fn a_port_is_named_by_one_level_of_a_topic() {
        let name = |text: &str| toml::from_str::<Config>(&format!("name = {text:?}")).map(|port| port.name);
        assert_eq!(name("meter-3").unwrap().as_str(), "meter-3");
        for wrong in ["", "a/b", "a+", "#", "a b", &"x".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
