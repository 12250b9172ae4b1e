//! The framing method as a person writes it: a bare name, or a name with its settings.

use super::{
    Error, Framing, Method, cobs, fixed, hdlc, idle, length, line, modbus, raw, slip, start, start_end,
};
use crate::read_any::read_any;
use crate::span::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, IgnoredAny, IntoDeserializer};
use std::borrow::Cow;
use std::time::Duration;

/// How frames are told apart in the stream of bytes: `frame = "line"`, or with settings
/// `frame = { line = { max = 256 } }`.
#[derive(Debug, Clone, PartialEq)]
pub enum Config {
    /// Lines of text, or anything else that ends with a delimiter.
    Line(line::Config),
    /// Frames of one length.
    Fixed(fixed::Config),
    /// Frames that begin with a marker and run until the next one, until silence, or for a given length.
    Start(start::Config),
    /// Frames between a start and an end marker, with or without escapes.
    StartEnd(start_end::Config),
    /// Frames that say how long they are.
    Length(length::Config),
    /// Frames that end with silence, as in Modbus RTU.
    Idle(idle::Config),
    /// SLIP (RFC 1055).
    Slip(slip::Config),
    /// COBS: frames without a zero byte, which ends them.
    Cobs(cobs::Config),
    /// HDLC-like framing: flags, and escapes inside (RFC 1662).
    Hdlc(hdlc::Config),
    /// Modbus RTU, requests and replies, by the length that each function has.
    ModbusRtu(modbus::rtu::Config),
    /// Modbus ASCII: a colon, hexadecimal digits, CR LF.
    ModbusAscii(modbus::ascii::Config),
    /// Bytes as they come, without frames.
    Raw(raw::Config),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Name {
    Line,
    Fixed,
    Start,
    StartEnd,
    Length,
    Idle,
    Slip,
    Cobs,
    Hdlc,
    ModbusRtu,
    ModbusAscii,
    Raw,
}

impl Default for Config {
    fn default() -> Config {
        Config::Line(line::Config::default())
    }
}

impl Config {
    /// Makes the framing ready for use. `char_time` is how long one character takes on the line.
    pub fn build(&self, char_time: Duration) -> Result<Framing, Error> {
        let stale = |span: Span| Some(span.0).filter(|time| !time.is_zero());
        let (method, quiet) = match self {
            Config::Line(config) => (Method::Line(config.build()?), stale(config.stale)),
            Config::Fixed(config) => (Method::Fixed(config.build()), stale(config.stale)),
            Config::Start(config) => (Method::Start(config.build()?), config.quiet()),
            Config::StartEnd(config) => (Method::StartEnd(config.build()?), stale(config.stale)),
            Config::Length(config) => (Method::Length(config.build()?), stale(config.stale)),
            Config::Idle(config) => (Method::Idle(config.build()), Some(config.quiet(char_time)?)),
            Config::Slip(config) => (Method::Slip(config.build()), stale(config.stale)),
            Config::Cobs(config) => (Method::Cobs(config.build()), stale(config.stale)),
            Config::Hdlc(config) => (Method::Hdlc(config.build()?), stale(config.stale)),
            Config::ModbusRtu(config) => (Method::ModbusRtu(config.build()), Some(config.quiet(char_time)?)),
            Config::ModbusAscii(config) => (Method::ModbusAscii(config.build()), stale(config.stale)),
            Config::Raw(config) => (Method::Raw(config.build()), None),
        };
        Ok(Framing::new(method, quiet, char_time))
    }

    /// The method with all its defaults, if it has defaults for everything.
    fn plain(name: Name) -> Result<Config, &'static str> {
        Ok(match name {
            Name::Line => Config::Line(line::Config::default()),
            Name::Idle => Config::Idle(idle::Config::default()),
            Name::Slip => Config::Slip(slip::Config::default()),
            Name::Cobs => Config::Cobs(cobs::Config::default()),
            Name::Hdlc => Config::Hdlc(hdlc::Config::default()),
            Name::ModbusRtu => Config::ModbusRtu(modbus::rtu::Config::default()),
            Name::ModbusAscii => Config::ModbusAscii(modbus::ascii::Config::default()),
            Name::Raw => Config::Raw(raw::Config::default()),
            Name::Fixed => return Err("fixed = { length = 8 }"),
            Name::Start => return Err("start = { marker = [0xaa], until = \"marker\" }"),
            Name::StartEnd => return Err("start-end = { start = [0x02], end = [0x03] }"),
            Name::Length => return Err("length = { start = [0x42, 0x4d], width = 2 }"),
        })
    }
}

read_any!(
    Config,
    "a framing method such as \"line\" or { line = { max = 256 } }",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Config, E> {
            let name = Name::deserialize(text.into_deserializer())?;
            Config::plain(name).map_err(|example| {
                E::custom(format!(
                    "`{text}` needs its settings, for example {{ {example} }}"
                ))
            })
        }
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
            let Some(name) = map.next_key::<Name>()? else {
                return Err(de::Error::custom("the framing method is missing"));
            };
            let config = match name {
                Name::Line => Config::Line(map.next_value()?),
                Name::Fixed => Config::Fixed(map.next_value()?),
                Name::Start => Config::Start(map.next_value()?),
                Name::StartEnd => Config::StartEnd(map.next_value()?),
                Name::Length => Config::Length(map.next_value()?),
                Name::Idle => Config::Idle(map.next_value()?),
                Name::Slip => Config::Slip(map.next_value()?),
                Name::Cobs => Config::Cobs(map.next_value()?),
                Name::Hdlc => Config::Hdlc(map.next_value()?),
                Name::ModbusRtu => Config::ModbusRtu(map.next_value()?),
                Name::ModbusAscii => Config::ModbusAscii(map.next_value()?),
                Name::Raw => Config::Raw(map.next_value()?),
            };
            if map.next_key::<IgnoredAny>()?.is_some() {
                return Err(de::Error::custom("one framing method is wanted, not several"));
            }
            Ok(config)
        }
    }
);

impl JsonSchema for Config {
    fn schema_name() -> Cow<'static, str> {
        "Frame".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let tables = [
            (
                "line",
                "Lines of text, or anything else that ends with a delimiter.",
                generator.subschema_for::<line::Config>(),
            ),
            (
                "fixed",
                "Frames of one length.",
                generator.subschema_for::<fixed::Config>(),
            ),
            (
                "start",
                "Frames that begin with a marker and run until the next one, until silence, or for a given length.",
                generator.subschema_for::<start::Config>(),
            ),
            (
                "start-end",
                "Frames between a start and an end marker, with or without escapes.",
                generator.subschema_for::<start_end::Config>(),
            ),
            (
                "length",
                "Frames that say how long they are.",
                generator.subschema_for::<length::Config>(),
            ),
            (
                "idle",
                "Frames that end with silence, as in Modbus RTU.",
                generator.subschema_for::<idle::Config>(),
            ),
            (
                "slip",
                "SLIP (RFC 1055).",
                generator.subschema_for::<slip::Config>(),
            ),
            (
                "cobs",
                "COBS: frames without a zero byte, which ends them.",
                generator.subschema_for::<cobs::Config>(),
            ),
            (
                "hdlc",
                "HDLC-like framing: flags, and escapes inside (RFC 1662).",
                generator.subschema_for::<hdlc::Config>(),
            ),
            (
                "modbus-rtu",
                "Modbus RTU, requests and replies, by the length that each function has.",
                generator.subschema_for::<modbus::rtu::Config>(),
            ),
            (
                "modbus-ascii",
                "Modbus ASCII: a colon, hexadecimal digits, CR LF.",
                generator.subschema_for::<modbus::ascii::Config>(),
            ),
            (
                "raw",
                "Bytes as they come, without frames.",
                generator.subschema_for::<raw::Config>(),
            ),
        ];
        let mut ways = vec![json_schema!({
            "description": "A method with all its defaults.",
            "enum": ["line", "idle", "slip", "cobs", "hdlc", "modbus-rtu", "modbus-ascii", "raw"],
        })];
        ways.extend(tables.map(|(name, text, settings)| {
            json_schema!({
                "description": text,
                "type": "object",
                "properties": { name: settings },
                "required": [name],
                "additionalProperties": false,
            })
        }));
        json_schema!({
            "description": "How frames are told apart in the stream of bytes.",
            "anyOf": ways,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Held {
        frame: Config,
    }

    fn read(text: &str) -> Config {
        toml::from_str::<Held>(text).unwrap().frame
    }

    fn fault(text: &str) -> String {
        toml::from_str::<Held>(text).unwrap_err().to_string()
    }

    const METHODS: [&str; 12] = [
        "line",
        "fixed",
        "start",
        "start-end",
        "length",
        "idle",
        "slip",
        "cobs",
        "hdlc",
        "modbus-rtu",
        "modbus-ascii",
        "raw",
    ];

    #[test]
    fn every_method_can_be_named_or_says_what_it_needs() {
        for name in METHODS {
            if let Err(fault) = toml::from_str::<Held>(&format!("frame = \"{name}\"")) {
                let fault = fault.to_string();
                let (_, example) = fault.trim().rsplit_once("for example ").unwrap();
                assert!(
                    read(&format!("frame = {example}")).build(Duration::ZERO).is_ok(),
                    "{example}"
                );
            }
        }
    }

    #[test]
    fn a_bare_name_means_all_defaults() {
        assert_eq!(read("frame = \"line\""), Config::default());
        assert_eq!(read("frame = { line = {} }"), Config::default());
        assert_eq!(read("frame = \"slip\""), Config::Slip(slip::Config::default()));
        assert!(matches!(read("[frame.fixed]\nlength = 8"), Config::Fixed(_)));
    }

    #[test]
    fn a_mistake_is_named_where_it_stands() {
        let text = fault("frame = { line = { mux = 256 } }");
        assert!(
            text.contains("unknown field `mux`") && text.contains("line 1, column 20"),
            "{text}"
        );
        let text = fault("frame = { line = { max = 0 } }");
        assert!(
            text.contains("from 1 to 1048576") && text.contains("line 1, column 26"),
            "{text}"
        );
        let text = fault("frame = \"lime\"");
        assert!(
            text.contains("unknown variant `lime`") && text.contains("`line`"),
            "{text}"
        );
        let text = fault("frame = \"fixed\"");
        assert!(
            text.contains("needs its settings, for example { fixed = { length = 8 } }"),
            "{text}"
        );
        let text = fault("frame = { line = {}, slip = {} }");
        assert!(text.contains("not several"), "{text}");
        let text = fault("frame = {}");
        assert!(text.contains("missing"), "{text}");
        let text = fault("frame = 3");
        assert!(text.contains("a framing method such as"), "{text}");
    }

    #[test]
    fn the_schema_names_every_method() {
        let schema = schemars::schema_for!(Config);
        let text = serde_json::to_string(&schema).unwrap();
        for name in METHODS {
            assert!(
                text.contains(&format!("\"required\":[\"{name}\"]")),
                "{name}: {text}"
            );
        }
    }
}
