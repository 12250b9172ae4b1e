//! What a port knows of the device behind it: a profile by name, or the same said in place.

use super::config::Config;
use super::shared::Member;
use crate::check;
use crate::field::Mistake;
use crate::frame::{self, Framing};
use crate::profile::{self, Guard, Profile};
use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;

/// The device: the name of a profile, several names where several protocols share the line, or a profile in place.
#[derive(Debug, Clone, PartialEq)]
pub enum Device {
    /// Profiles, by name.
    Named(Vec<String>),
    /// A profile, said here.
    Inline(Box<profile::Config>),
    /// Devices that speak only when asked, each with its profile and address: `[[port.device]]`.
    Members(Vec<Member>),
}

/// How a port's bytes are cut, checked and read.
pub struct Reading {
    /// How bytes become frames.
    pub framing: Framing,
    /// What frames must pass.
    pub guard: Guard,
    /// What frames mean, where that is known.
    pub profile: Option<Profile>,
}

/// What can't be so, and where.
#[derive(Debug)]
pub enum Wrong {
    /// The framing.
    Frame(frame::Error),
    /// The check.
    Check(check::Error),
    /// The device's description, by the path within it.
    Device(Vec<Mistake>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Frame(error) => error.fmt(f),
            Wrong::Check(error) => error.fmt(f),
            Wrong::Device(mistakes) => match mistakes.first() {
                Some(Mistake { path, what }) => write!(f, "{path}: {what}"),
                None => f.write_str("the device's description is empty"),
            },
        }
    }
}

impl Config {
    /// The profiles of the device behind the port, as far as their files have been read.
    pub fn profiles(&self) -> Vec<&profile::Config> {
        match &self.device {
            Some(Device::Inline(config)) => vec![config],
            Some(Device::Named(_)) => self.described.iter().collect(),
            Some(Device::Members(members)) => {
                let mut profiles: Vec<&profile::Config> = Vec::new();
                for profile in members.iter().filter_map(Member::config) {
                    if !profiles.contains(&profile) {
                        profiles.push(profile);
                    }
                }
                profiles
            }
            None => Vec::new(),
        }
    }

    /// How the bytes of the line are read. What the port says of frames and check goes before what the device
    /// has.
    pub fn reading(&self) -> Result<Reading, Wrong> {
        let char_time = self.serial().char_time();
        let profiles = self.profiles();
        if profiles.is_empty() {
            let frame = match (&self.frame, &self.serve) {
                (Some(frame), _) => frame.clone(),
                (None, Some(_)) => frame::Config::ModbusRtu(frame::modbus::rtu::Config::default()),
                (None, None) => frame::Config::default(),
            };
            let framing = frame.build(char_time).map_err(Wrong::Frame)?;
            let check = self
                .check
                .as_ref()
                .map(check::Config::build)
                .transpose()
                .map_err(Wrong::Check)?;
            return Ok(Reading {
                framing,
                guard: Guard::of(check),
                profile: None,
            });
        }
        let own = |config: &&profile::Config| {
            let mut config = profile::Config::clone(config);
            if let Some(frame) = &self.frame {
                config.frame = frame.clone();
            }
            if let Some(keys) = &self.keys {
                config.keys = keys.clone();
            }
            if let Some(check) = &self.check {
                config.check = profile::config::Checks(vec![check.clone()]);
            }
            config
        };
        let configs: Vec<profile::Config> = profiles.iter().map(own).collect();
        let configs: Vec<&profile::Config> = configs.iter().collect();
        let profile = Profile::several(&configs, char_time).map_err(Wrong::Device)?;
        Ok(Reading {
            framing: profile.framing().clone(),
            guard: profile.guard().clone(),
            profile: Some(profile),
        })
    }
}

/// What a list of devices holds.
enum Element {
    Name(String),
    Member(Box<Member>),
}

read_any!(
    Element,
    "the name of a device profile, or a table with a `profile`",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Element, E> {
            Ok(Element::Name(name.to_owned()))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
            let member = Member::deserialize(de::value::MapAccessDeserializer::new(map))?;
            Ok(Element::Member(Box::new(member)))
        }
    }
);

read_any!(
    Device,
    "the name of a device profile, a list of names, a table that describes the device, or `[[port.device]]` for each",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Device, E> {
            Ok(Device::Named(vec![name.to_owned()]))
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Device, A::Error> {
            let (mut names, mut members) = (Vec::new(), Vec::new());
            while let Some(element) = seq.next_element::<Element>()? {
                match element {
                    Element::Name(name) => names.push(name),
                    Element::Member(member) => members.push(*member),
                }
            }
            match (names.is_empty(), members.is_empty()) {
                (true, true) => Err(de::Error::custom("the list names no device profile")),
                (false, false) => Err(de::Error::custom(
                    "either names of profiles that share the line, or a table for each device",
                )),
                (false, true) => Ok(Device::Named(names)),
                (true, false) => Ok(Device::Members(members)),
            }
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Device, A::Error> {
            let config = profile::Config::deserialize(de::value::MapAccessDeserializer::new(map))?;
            Ok(Device::Inline(Box::new(config)))
        }
    }
);

impl JsonSchema for Device {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let member = generator.subschema_for::<Member>();
        json_schema!({
            "description": "The name of a device profile, a list of names, or a table with the keys of a profile (docs/fields.md); or `[[port.device]]` for each device that speaks only when asked.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                { "type": "object" },
                { "type": "array", "items": member, "minItems": 1 },
            ],
            "examples": ["plantower-pms5003"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Outcome;

    /// A profile is for all meters of a kind, a key for one: it is said at the port.
    #[test]
    fn the_keys_of_a_port_are_its_devices() {
        let text = |keys: &str| {
            format!(
                "name = 'meter'\npath = '/dev/ttyUSB0'\n{keys}\n\
                 device = {{ frame = 'raw', unpack = {{ decipher = 'dlms' }}, fields = [{{ name = 'tag', type = 'u8' }}] }}"
            )
        };
        let sealed = "db084d4d4d0000bc614e123001234567411312ff935a47566827c467bc";
        let mut sealed = data_encoding::HEXLOWER.decode(sealed.as_bytes()).unwrap();
        // Enciphered, without a tag.
        (sealed[10], sealed[11]) = (18, 0x20);
        let outcome = |keys: &str| {
            let config: Config = toml::from_str(&text(keys)).unwrap();
            let reading = config.reading().unwrap();
            reading.profile.unwrap().read(0, &sealed, None)
        };
        let Outcome::Values(record) = outcome("keys = { encryption = '000102030405060708090a0b0c0d0e0f' }")
        else {
            panic!("the port's key was not taken");
        };
        assert_eq!(
            record.get("tag").and_then(|entry| entry.value.number()),
            Some(192.0)
        );
        assert!(matches!(outcome(""), Outcome::Refused(_)));
    }
}
