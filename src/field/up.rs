//! From a frame to a payload.

use super::{Error, text};
use crate::read_any::read_any;
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use schemars::{JsonSchema, Schema, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::{Deserialize, Serialize, de};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a frame becomes a message's payload. Default "raw".
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(remote = "Self", rename_all = "kebab-case")]
#[schemars(transform = bare_json)]
pub enum Up {
    /// The bytes as they are. For subscribers that know the device.
    #[default]
    Raw,
    /// The bytes as they are, if they are UTF-8 text; a frame that is not is dropped and counted.
    Text,
    /// Two lower-case hexadecimal digits for each byte.
    Hex,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
    /// A JSON object that says which port the frame came from, when, and its number:
    /// `{"port":"air","time":"2025-03-01T12:00:00.000000Z","seq":17,"data":"..."}`.
    Json(Json),
}

/// What the JSON object holds.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Json {
    /// How the frame stands in "data". Default "text"; take "hex" or "base64" for a device that sends binary
    /// frames, since JSON holds text only.
    #[serde(default)]
    pub data: Data,
}

/// How bytes stand in a JSON string.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// As text; a frame that is not UTF-8 is dropped and counted.
    #[default]
    Text,
    /// Two lower-case hexadecimal digits for each byte.
    Hex,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
}

/// What is known of a frame besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The name of the port that it came from.
    pub port: &'a str,
    /// When its last byte came.
    pub time: SystemTime,
    /// Its number on this port.
    pub seq: u64,
}

impl Up {
    /// The payload for a frame.
    pub fn render(&self, frame: &[u8], context: &Context<'_>) -> Result<Bytes, Error> {
        Ok(match self {
            Up::Raw => Bytes::copy_from_slice(frame),
            Up::Text => Bytes::copy_from_slice(text(frame)?.as_bytes()),
            Up::Hex => HEXLOWER.encode(frame).into(),
            Up::Base64 => BASE64.encode(frame).into(),
            Up::Json(json) => json.render(frame, context)?,
        })
    }
}

impl Json {
    fn render(&self, frame: &[u8], context: &Context<'_>) -> Result<Bytes, Error> {
        #[derive(Serialize)]
        struct Object<'a> {
            port: &'a str,
            time: String,
            seq: u64,
            data: &'a str,
        }
        let encoded;
        let data = match self.data {
            Data::Text => text(frame)?,
            Data::Hex => {
                encoded = HEXLOWER.encode(frame);
                &encoded
            }
            Data::Base64 => {
                encoded = BASE64.encode(frame);
                &encoded
            }
        };
        let object = Object {
            port: context.port,
            time: timestamp(context.time),
            seq: context.seq,
            data,
        };
        Ok(serde_json::to_vec(&object)
            .expect("strings and numbers are JSON")
            .into())
    }
}

/// RFC 3339 in UTC. A clock that is out of the years it can write is shown at the nearest of them.
pub(crate) fn timestamp(time: SystemTime) -> String {
    /// 9999-12-31T23:59:59Z.
    const LAST: u64 = 253_402_300_799;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = since.min(Duration::from_secs(LAST));
    humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string()
}

read_any!(
    Up,
    "\"raw\", \"text\", \"hex\", \"base64\", \"json\" or { json = { data = \"hex\" } }",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Up, E> {
            match name {
                "json" => Ok(Up::Json(Json::default())),
                _ => Up::deserialize(StrDeserializer::new(name)),
            }
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Up, A::Error> {
            Up::deserialize(MapAccessDeserializer::new(map))
        }
    }
);

/// The name alone is "json" with all defaults.
fn bare_json(schema: &mut Schema) {
    if let Some(serde_json::Value::Array(kinds)) = schema.get_mut("oneOf") {
        let bare =
            json_schema!({ "type": "string", "const": "json", "description": "JSON with its defaults." });
        kinds.push(bare.to_value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Deserialize, Debug)]
    struct Held {
        payload: Up,
    }

    fn read(text: &str) -> Up {
        toml::from_str::<Held>(&format!("payload = {text}"))
            .unwrap()
            .payload
    }

    fn context() -> Context<'static> {
        let time = UNIX_EPOCH + Duration::from_micros(1_740_830_400_000_017);
        Context {
            port: "air",
            time,
            seq: 17,
        }
    }

    fn render(up: &Up, frame: &[u8]) -> String {
        String::from_utf8(up.render(frame, &context()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn renders_each_encoding() {
        assert_eq!(
            &read("\"raw\"").render(b"\xffA", &context()).unwrap()[..],
            b"\xffA"
        );
        assert_eq!(render(&read("\"text\""), b"12.5 kg"), "12.5 kg");
        assert_eq!(render(&read("\"hex\""), b"\xffA"), "ff41");
        assert_eq!(render(&read("\"base64\""), b"\xffA"), "/0E=");
        assert_eq!(
            render(&read("\"json\""), b"say \"hi\"\n"),
            r#"{"port":"air","time":"2025-03-01T12:00:00.000017Z","seq":17,"data":"say \"hi\"\n"}"#
        );
        assert!(render(&read("{ json = { data = \"hex\" } }"), b"\xff").ends_with(r#""data":"ff"}"#));
        assert!(render(&read("{ json = { data = \"base64\" } }"), b"\xff").ends_with(r#""data":"/w=="}"#));
    }

    #[test]
    fn what_is_not_text_is_an_error_and_not_mended() {
        let fault = Error::NotText { valid: 2, len: 4 };
        assert_eq!(Up::Text.render(b"ab\xff.", &context()), Err(fault.clone()));
        assert_eq!(read("\"json\"").render(b"ab\xff.", &context()), Err(fault));
    }

    #[test]
    fn a_clock_out_of_range_is_no_panic() {
        assert_eq!(
            timestamp(UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00.000000Z"
        );
        let late = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(timestamp(late), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn a_mistake_says_what_and_where() {
        for (payload, at, says) in [
            ("\"hexx\"", "\"hexx\"", "unknown variant `hexx`"),
            ("7", "7", "expected \"raw\""),
            ("{ json = { data = \"hx\" } }", "\"hx\"", "unknown variant `hx`"),
            ("{ json = { date = \"hex\" } }", "date", "unknown field `date`"),
        ] {
            let text = format!("payload = {payload}");
            let fault = toml::from_str::<Held>(&text).unwrap_err();
            assert!(fault.message().contains(says), "{fault}");
            assert_eq!(&text[fault.span().unwrap()], at, "{fault}");
        }
    }

    #[test]
    fn the_schema_knows_the_bare_name() {
        let schema = schemars::schema_for!(Up).to_value().to_string();
        assert!(schema.contains(r#""const":"json""#), "{schema}");
    }

    proptest! {
        #[test]
        fn every_frame_reads_back(frame in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(HEXLOWER.decode(render(&Up::Hex, &frame).as_bytes()).unwrap(), &frame[..]);
            prop_assert_eq!(BASE64.decode(render(&Up::Base64, &frame).as_bytes()).unwrap(), &frame[..]);
            let json = Up::Json(Json { data: Data::Hex });
            let value: serde_json::Value = serde_json::from_str(&render(&json, &frame)).unwrap();
            prop_assert_eq!(&value["data"], &HEXLOWER.encode(&frame));
        }

        #[test]
        fn every_text_reads_back(text in any::<String>()) {
            let json = render(&Up::Json(Json::default()), text.as_bytes());
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["data"].as_str().unwrap(), &text);
            prop_assert_eq!(render(&Up::Text, text.as_bytes()), text);
        }
    }
}
