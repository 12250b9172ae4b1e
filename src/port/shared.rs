//! What a person writes of a port with several devices: `[[port.device]]` and `[port.bus]`.

use super::config::{Command, Config, Device, Name, Publish};
use crate::bus;
use crate::field::Mistake;
use crate::profile::asked::Address;
use crate::profile::{self, Profile};
use crate::read_any::read_any;
use crate::span::Span;
use crate::topic::Filter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A device of a port that has several, or one that speaks only when asked: `[[port.device]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Member {
    /// Its name in topics: one level, such as `meter-3`. Default: the profile's name, and the address behind it.
    #[serde(default)]
    pub name: Option<Name>,
    /// How it speaks: the name of a profile, or a table that says the same in place.
    pub profile: Described,
    /// Its address on the line, a number or a text, where it has one. It is put into every request, and tells its
    /// replies from those of others.
    #[serde(default)]
    pub address: Option<Address>,
    /// Whether it is asked for at all. Default true. When to change: while it is away.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long it may take until its reply begins. Default: as its profile says, or else `1s`.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// How often a request without a reply is sent again. Default: as its profile says, or else 1.
    #[serde(default)]
    pub retries: Option<u8>,
    /// How often its polls are asked for, by their names: `{ energy = "60s" }`; `"0s"` for never. Default: as its
    /// profile says.
    #[serde(default)]
    pub poll: BTreeMap<String, Span>,
    /// What is published of it, beside what the port says for all.
    #[serde(default)]
    pub publish: Vec<Publish>,
    /// Which messages are sent to it, beside what the port says for all.
    #[serde(default)]
    pub command: Vec<Command>,
    /// The profile, read from its file.
    #[serde(skip)]
    pub described: Option<Box<profile::Config>>,
}

/// A profile, by name or in place.
#[derive(Debug, Clone, PartialEq)]
pub enum Described {
    /// By the name of its file.
    Named(String),
    /// Said here.
    Inline(Box<profile::Config>),
}

/// The line of a port whose devices speak only when asked: `[port.bus]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Line {
    /// A warning is logged when the line has been busy for more than this share of a minute, in percent. Default 90.
    pub warn_above: Percent,
    /// How late the adapter hands on what it has received: the line must have been silent for so much longer where a
    /// reply may still be on its way, and a reply may come so much later. Default: what the driver says of an FTDI
    /// adapter, 1 ms for others on USB, else nothing. When to change: another adapter that gathers bytes, or one behind
    /// a network.
    pub latency: Option<Span>,
    /// Only listens to a Modbus bus on which another master asks: its requests and the replies are paired, and give
    /// the values that asking would give. Nothing is asked or sent. Default false.
    pub listen: bool,
}

/// A share in percent, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl Default for Line {
    fn default() -> Line {
        Line {
            warn_above: Percent(90.0),
            latency: None,
            listen: false,
        }
    }
}

/// One device of a port's bus, with all that was said of it.
pub(crate) struct Asked<'a> {
    pub(crate) name: Arc<str>,
    pub(crate) address: Option<Address>,
    pub(crate) profile: &'a profile::Config,
    /// The place of what is said of it: `device[1]`.
    pub(crate) path: String,
    /// Its own table, where it has one.
    pub(crate) member: Option<&'a Member>,
    /// Its entries: the port's and its own.
    pub(crate) publish: Vec<&'a Publish>,
}

/// A command entry of a bus, as it is for one device.
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    /// The number of the device.
    pub(crate) device: usize,
    /// The topics that carry it, with the device's name put in.
    pub(crate) topic: Filter,
    pub(crate) entry: Command,
}

impl Member {
    /// The name of its profile, for people.
    pub fn kind(&self) -> &str {
        match &self.profile {
            Described::Named(name) => name,
            Described::Inline(_) => "device",
        }
    }

    /// Its profile, where that is known.
    pub fn config(&self) -> Option<&profile::Config> {
        match &self.profile {
            Described::Named(_) => self.described.as_deref(),
            Described::Inline(config) => Some(config),
        }
    }

    /// Its name.
    pub fn title(&self) -> String {
        let level = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        };
        match (&self.name, &self.address) {
            (Some(name), _) => name.as_str().to_owned(),
            (None, Some(address)) => format!("{}-{address}", self.kind()).chars().map(level).collect(),
            (None, None) => self.kind().to_owned(),
        }
    }
}

impl Config {
    /// Its devices, where each has a table.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let members = match &self.device {
            Some(Device::Members(members)) => members.as_slice(),
            _ => &[],
        };
        members.iter()
    }

    /// Whether its devices speak only when asked.
    pub fn is_bus(&self) -> bool {
        match &self.device {
            Some(Device::Members(_)) => true,
            // A profile with polls is a bus of one device.
            _ => matches!(self.profiles()[..], [profile] if !profile.poll.is_empty()),
        }
    }

    /// The devices of its bus; none where it is no bus, or where a profile isn't known.
    pub(crate) fn asked(&self) -> Vec<Asked<'_>> {
        if !self.is_bus() {
            return Vec::new();
        }
        match &self.device {
            Some(Device::Members(members)) => {
                let on = members.iter().enumerate().filter(|(_, member)| member.enabled);
                on.filter_map(|(n, member)| {
                    Some(Asked {
                        name: member.title().into(),
                        address: member.address.clone(),
                        profile: member.config()?,
                        path: format!("device[{n}]"),
                        member: Some(member),
                        publish: self.publish.iter().chain(&member.publish).collect(),
                    })
                })
                .collect()
            }
            device => {
                let name = match device {
                    Some(Device::Named(names)) => names.first().map_or("device", String::as_str),
                    _ => "device",
                };
                let profile = self.profiles().into_iter().next();
                let only = profile.map(|profile| Asked {
                    name: name.into(),
                    address: None,
                    profile,
                    path: "device".into(),
                    member: None,
                    publish: self.publish.iter().collect(),
                });
                only.into_iter().collect()
            }
        }
    }

    /// The devices of its bus, ready to be asked; or what is wrong with the one of this path.
    pub(crate) fn bus_devices(&self) -> Result<Vec<bus::Device>, (String, Vec<Mistake>)> {
        let serial = self.serial();
        let char_time = serial.char_time();
        let asked = self.asked();
        let device = |asked: &Asked<'_>| {
            let span = |span: Option<Span>| span.map(Duration::from);
            let mut config = asked.profile.clone();
            if let Some(frame) = &self.frame {
                config.frame = frame.clone();
            }
            if let Some(keys) = &self.keys {
                config.keys = keys.clone();
            }
            if let Some(check) = &self.check {
                config.check = profile::config::Checks(vec![check.clone()]);
            }
            let own = bus::Own {
                name: asked.name.clone(),
                address: asked.address.clone(),
                timeout: span(asked.member.and_then(|member| member.timeout)),
                retries: asked.member.and_then(|member| member.retries),
                delays: serial.rs485.delays(),
                echo: serial.rs485.rx_during_tx,
                every: asked
                    .member
                    .iter()
                    .flat_map(|member| &member.poll)
                    .map(|(name, every)| (name.clone(), (*every).into()))
                    .collect(),
            };
            let place = |mistakes| (asked.path.clone(), mistakes);
            let profile = Profile::new(&config, char_time).map_err(place)?;
            bus::Device::new(&config, profile, own, char_time).map_err(place)
        };
        asked.iter().map(device).collect()
    }

    /// In words, what the polls of its bus need of the line's time.
    pub fn plan(&self) -> Option<String> {
        if self.bus.listen {
            return None;
        }
        let devices = self.bus_devices().ok()?;
        let plan = bus::Plan::new(&devices, self.serial().char_time());
        (!plan.rows.is_empty()).then(|| plan.to_string())
    }

    /// The command entries of its bus, as they are for each device.
    pub(crate) fn addressed(&self) -> Vec<Addressed> {
        let asked = self.asked();
        let each = asked.iter().enumerate().flat_map(|(device, asked)| {
            let own = asked.member.iter().flat_map(|member| &member.command);
            self.command.iter().chain(own).filter_map(move |entry| {
                let address = asked.address.as_ref().map(Address::to_string).unwrap_or_default();
                Some(Addressed {
                    device,
                    topic: put_in(&entry.topic, &asked.name, &address)?,
                    entry: entry.clone(),
                })
            })
        });
        each.collect()
    }
}

/// A filter with the device's name and address in place of `{{ device }}` and `{{ address }}`.
pub(crate) fn put_in(filter: &Filter, device: &str, address: &str) -> Option<Filter> {
    let mut text = String::new();
    let mut rest = filter.as_str();
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}")?;
        text.push_str(before);
        text.push_str(match name.trim() {
            "device" => device,
            "address" => address,
            _ => return None,
        });
        rest = behind;
    }
    text.push_str(rest);
    Filter::parse(&text).ok()
}

fn yes() -> bool {
    true
}

read_any!(
    Described,
    "the name of a device profile, or a table that describes the device",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Described, E> {
            Ok(Described::Named(name.to_owned()))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Described, A::Error> {
            let config = profile::Config::deserialize(de::value::MapAccessDeserializer::new(map))?;
            Ok(Described::Inline(Box::new(config)))
        }
    }
);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let x = f64::deserialize(deserializer)?;
        if (1.0..=100.0).contains(&x) {
            return Ok(Percent(x));
        }
        Err(de::Error::invalid_value(
            de::Unexpected::Float(x),
            &"a share from 1 to 100 percent",
        ))
    }
}

impl serde::Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A share in percent.", "type": "number", "minimum": 1, "maximum": 100 })
    }
}

impl JsonSchema for Described {
    fn schema_name() -> Cow<'static, str> {
        "Described".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a device profile, or a table with the keys of a profile (docs/fields.md).",
            "anyOf": [{ "type": "string" }, { "type": "object" }],
        })
    }
}
