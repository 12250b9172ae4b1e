//! What stands in the payload of a published message.

use super::Object;
use crate::field::{Json, Up};
use crate::read_any::read_any;
use crate::template::Text;
use schemars::{JsonSchema, Schema, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::{Deserialize, de};

/// What a message's payload is: the frame's bytes, or what its values say.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(remote = "Self", rename_all = "kebab-case")]
#[schemars(transform = bare)]
pub enum Payload {
    /// The frame's bytes as they are. For subscribers that know the device.
    Raw,
    /// The frame's bytes as they are, if they are UTF-8 text; a frame that is not is dropped and counted.
    Text,
    /// Two lower-case hexadecimal digits for each byte of the frame.
    Hex,
    /// The frame in Base64 with padding (RFC 4648, section 4).
    Base64,
    /// A JSON object that says which port the frame came from, when, and its number:
    /// `{"port":"air","time":"2025-03-01T12:00:00.000000Z","seq":17,"data":"..."}`.
    Json(Json),
    /// One value as text: `21.5`. One message for each value.
    Value,
    /// The values as a JSON object: `{"time":"2025-03-01T12:00:00.000000Z","pm10":12,"pm25":9}`. One message for
    /// each frame.
    Values(Object),
    /// A text with values in it: `"{{ value }} {{ unit }}"`. With `{{ value }}`, `{{ field }}`, `{{ unit }}`,
    /// `{{ quality }}` or `{{ title }}` in it there is one message for each value, or else one for each frame.
    Template(Text),
}

impl Payload {
    /// What can be made of the frame's bytes alone.
    pub(super) fn of_bytes(&self) -> Option<Up> {
        Some(match self {
            Payload::Raw => Up::Raw,
            Payload::Text => Up::Text,
            Payload::Hex => Up::Hex,
            Payload::Base64 => Up::Base64,
            Payload::Json(json) => Up::Json(json.clone()),
            Payload::Value | Payload::Values(_) | Payload::Template(_) => return None,
        })
    }
}

read_any!(
    Payload,
    "\"raw\", \"text\", \"hex\", \"base64\", \"json\", \"value\", \"values\" or \
                     { template = \"{{ value }}\" }",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Payload, E> {
            match name {
                "json" => Ok(Payload::Json(Json::default())),
                "values" => Ok(Payload::Values(Object::default())),
                _ => Payload::deserialize(StrDeserializer::new(name)),
            }
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Payload, A::Error> {
            Payload::deserialize(MapAccessDeserializer::new(map))
        }
    }
);

/// The name alone means all defaults.
fn bare(schema: &mut Schema) {
    if let Some(serde_json::Value::Array(kinds)) = schema.get_mut("oneOf") {
        for name in ["json", "values"] {
            let text = format!("The JSON object `{name}` with its defaults.");
            kinds.push(json_schema!({ "type": "string", "const": name, "description": text }).to_value());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Held {
        payload: Payload,
    }

    #[test]
    fn a_mistake_says_what_and_where() {
        for (payload, at, says) in [
            ("\"hexx\"", "\"hexx\"", "unknown variant `hexx`"),
            ("7", "7", "expected \"raw\""),
            ("{ json = { data = \"hx\" } }", "\"hx\"", "unknown variant `hx`"),
            ("{ values = { tim = true } }", "tim", "unknown field `tim`"),
            ("{ template = \"{{ a\" }", "\"{{ a\"", "is not closed"),
            (
                "{ template = \"{{ a | }}\" }",
                "\"{{ a | }}\"",
                "`{{ a | }}` is wrong",
            ),
        ] {
            let text = format!("payload = {payload}");
            let fault = toml::from_str::<Held>(&text).unwrap_err();
            assert!(fault.message().contains(says), "{fault}");
            assert_eq!(&text[fault.span().unwrap()], at, "{fault}");
        }
        let held: Held = toml::from_str("payload = 'values'").unwrap();
        assert_eq!(held.payload, Payload::Values(Object::default()));
    }
}
