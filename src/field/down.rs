//! From a payload to a frame's data.

use super::{Error, text};
use crate::read_any::read_any;
use crate::template::{Part, split};
use crate::topic::{Filter, Topic};
use data_encoding::{BASE64, BASE64_NOPAD, DecodeError, DecodeKind, HEXLOWER_PERMISSIVE};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;

/// How a message's payload becomes a frame's data. Default "raw".
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// The bytes as they are.
    #[default]
    Raw,
    /// The bytes as they are, if they are UTF-8 text; a payload that is not is refused.
    Text,
    /// Hexadecimal digits in pairs, of either case; white space between them and a leading `0x` are ignored.
    Hex,
    /// Base64 (RFC 4648, section 4); white space is ignored, padding may be left out.
    Base64,
    /// A text in which `{{ payload }}` stands for the payload as it is, `{{ topic }}` for the message's topic, and
    /// `{{ 1 }}`, `{{ 2 }}` ... for what the wildcards of the filter stand for: `"SET {{ 1 }} {{ payload }}"`.
    Template(DownTemplate),
}

/// A command with values in it: `"SET {{ payload }}"`.
#[derive(Clone, PartialEq, Eq)]
pub struct DownTemplate {
    text: String,
    parts: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Payload,
    Topic,
    Wildcard(usize),
}

impl Down {
    /// The data for a message that came in for `filter`.
    pub fn bytes(&self, topic: &Topic, filter: &Filter, payload: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Down::Raw => Ok(payload.to_vec()),
            Down::Text => Ok(text(payload)?.as_bytes().to_vec()),
            Down::Hex => hex(payload),
            Down::Base64 => base64(payload),
            Down::Template(template) => template.bytes(topic, filter, payload),
        }
    }

    /// Whether the filter has the wildcards that the template asks for; to be asked once, at load.
    pub fn check(&self, filter: &Filter) -> Result<(), Error> {
        let Down::Template(template) = self else {
            return Ok(());
        };
        let there = filter.wildcards();
        for part in &template.parts {
            match *part {
                Piece::Wildcard(asked) if asked > there => return Err(Error::NoWildcard { asked, there }),
                _ => {}
            }
        }
        Ok(())
    }
}

impl DownTemplate {
    /// Takes a text whose braces close and whose names exist.
    pub fn parse(text: &str) -> Result<DownTemplate, Error> {
        let piece = |part| match part {
            Part::Literal(literal) => Ok(Piece::Literal(literal)),
            Part::Formula(formula) => Err(Error::UnknownName(formula)),
            Part::Name(name) => match (name.as_str(), name.parse()) {
                ("payload", _) => Ok(Piece::Payload),
                ("topic", _) => Ok(Piece::Topic),
                (_, Ok(n)) if n > 0 => Ok(Piece::Wildcard(n)),
                _ => Err(Error::UnknownName(name)),
            },
        };
        let parts = split(text)?.into_iter().map(piece).collect::<Result<_, _>>()?;
        Ok(DownTemplate {
            text: text.to_owned(),
            parts,
        })
    }

    fn bytes(&self, topic: &Topic, filter: &Filter, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(self.text.len() + payload.len());
        for part in &self.parts {
            out.extend_from_slice(match part {
                Piece::Literal(literal) => literal.as_bytes(),
                Piece::Payload => payload,
                Piece::Topic => topic.as_str().as_bytes(),
                Piece::Wildcard(n) => match filter.capture(*n, topic) {
                    Some(level) => level.as_bytes(),
                    None => {
                        return Err(Error::NoWildcard {
                            asked: *n,
                            there: filter.wildcards(),
                        });
                    }
                },
            });
        }
        Ok(out)
    }
}

fn without_spaces(payload: &[u8]) -> Vec<u8> {
    payload
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect()
}

fn hex(payload: &[u8]) -> Result<Vec<u8>, Error> {
    let digits = without_spaces(payload);
    let digits = digits
        .strip_prefix(b"0x")
        .or_else(|| digits.strip_prefix(b"0X"))
        .unwrap_or(&digits);
    HEXLOWER_PERMISSIVE.decode(digits).map_err(|fault| Error::NotHex {
        why: why(fault, digits),
    })
}

fn base64(payload: &[u8]) -> Result<Vec<u8>, Error> {
    let letters = without_spaces(payload);
    let unpadded = !letters.len().is_multiple_of(4) && !letters.ends_with(b"=");
    let encoding = if unpadded { BASE64_NOPAD } else { BASE64 };
    encoding.decode(&letters).map_err(|fault| Error::NotBase64 {
        why: why(fault, &letters),
    })
}

/// What is wrong, in words; places are counted without white space and prefix.
fn why(fault: DecodeError, symbols: &[u8]) -> String {
    match fault.kind {
        DecodeKind::Length => format!("{} characters do not make whole bytes", symbols.len()),
        DecodeKind::Symbol => {
            let symbol = symbols.get(fault.position).copied().unwrap_or_default();
            format!(
                "'{}' is character {} of it",
                symbol.escape_ascii(),
                fault.position + 1
            )
        }
        DecodeKind::Trailing => "the last character has bits that belong to no byte".to_owned(),
        DecodeKind::Padding => "the padding is not where it should be".to_owned(),
    }
}

impl fmt::Debug for DownTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

read_any!(DownTemplate, "a text such as \"SET {{ payload }}\"", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<DownTemplate, E> {
        DownTemplate::parse(text).map_err(E::custom)
    }
});

impl JsonSchema for DownTemplate {
    fn schema_name() -> Cow<'static, str> {
        "CommandTemplate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text in which {{ payload }}, {{ topic }} and {{ 1 }}, {{ 2 }} ... stand for values of the message.",
            "type": "string",
            "examples": ["SET {{ payload }}"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Deserialize, Debug)]
    struct Held {
        payload: Down,
    }

    fn read(text: &str) -> Down {
        toml::from_str::<Held>(&format!("payload = {text}"))
            .unwrap()
            .payload
    }

    fn bytes(down: &Down, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let topic = Topic::parse("home/air/fan/set").unwrap();
        down.bytes(&topic, &Filter::parse("home/+/+/set").unwrap(), payload)
    }

    #[test]
    fn takes_each_encoding() {
        assert_eq!(bytes(&read("\"raw\""), b"\xff").unwrap(), b"\xff");
        assert_eq!(bytes(&read("\"text\""), b"on").unwrap(), b"on");
        for payload in ["ff 01Aa\n", "0xFF01aa", " 0Xff 01 aa "] {
            assert_eq!(
                bytes(&read("\"hex\""), payload.as_bytes()).unwrap(),
                b"\xff\x01\xaa"
            );
        }
        for payload in ["/0E=", "/0E", " /0\nE=\n"] {
            assert_eq!(bytes(&read("\"base64\""), payload.as_bytes()).unwrap(), b"\xffA");
        }
    }

    #[test]
    fn fills_a_command() {
        let down = read("{ template = \"[{{ 1 }}.{{ 2 }}] {{ payload }} @{{ topic }}\" }");
        assert_eq!(
            bytes(&down, b"\xff7").unwrap(),
            b"[air.fan] \xff7 @home/air/fan/set"
        );
        assert_eq!(bytes(&read("{ template = \"?\" }"), b"x").unwrap(), b"?");
        let fault = Error::NoWildcard { asked: 3, there: 2 };
        let down = read("{ template = \"{{ 3 }}\" }");
        assert_eq!(bytes(&down, b""), Err(fault.clone()));
        assert_eq!(down.check(&Filter::parse("home/+/+/set").unwrap()), Err(fault));
        assert_eq!(down.check(&Filter::parse("+/+/#").unwrap()), Ok(()));
    }

    #[test]
    fn refuses_what_it_cannot_carry() {
        let says = |down: &Down, payload: &[u8]| bytes(down, payload).unwrap_err().to_string();
        assert!(says(&Down::Text, b"\xff").contains("not UTF-8"));
        assert!(says(&Down::Hex, b"abc").contains("3 characters do not make whole bytes"));
        assert!(says(&Down::Hex, b"ab cx").contains("'x' is character 4"));
        assert!(says(&Down::Base64, b"a").contains("1 characters do not make whole bytes"));
        assert!(says(&Down::Base64, b"a===").contains("not base64"));
    }

    #[test]
    fn a_mistake_says_what_and_where() {
        for (payload, at, says) in [
            (
                "{ template = \"{{ x }}\" }",
                "\"{{ x }}\"",
                "there is no value `{{ x }}`",
            ),
            (
                "{ template = \"{{ 0 }}\" }",
                "\"{{ 0 }}\"",
                "there is no value `{{ 0 }}`",
            ),
            ("{ template = \"SET {{\" }", "\"SET {{\"", "'{{' is not closed"),
            ("\"hexx\"", "\"hexx\"", "unknown variant `hexx`"),
        ] {
            let text = format!("payload = {payload}");
            let fault = toml::from_str::<Held>(&text).unwrap_err();
            assert!(fault.message().contains(says), "{fault}");
            assert_eq!(&text[fault.span().unwrap()], at, "{fault}");
        }
    }

    proptest! {
        #[test]
        fn what_up_writes_down_reads(data in prop::collection::vec(any::<u8>(), 0..64)) {
            use crate::field::{Context, Up};
            let context = Context { port: "p", time: std::time::UNIX_EPOCH, seq: 0 };
            for (up, down) in [(Up::Raw, Down::Raw), (Up::Hex, Down::Hex), (Up::Base64, Down::Base64)] {
                let payload = up.render(&data, &context).unwrap();
                prop_assert_eq!(bytes(&down, &payload).unwrap(), &data[..]);
            }
        }

        #[test]
        fn never_panics(data in prop::collection::vec(any::<u8>(), 0..24), text in "[{}a0-9payload ]{0,16}") {
            for down in [Down::Raw, Down::Text, Down::Hex, Down::Base64] {
                let _ = bytes(&down, &data);
            }
            if let Ok(template) = DownTemplate::parse(&text) {
                let _ = bytes(&Down::Template(template), &data);
            }
        }
    }
}
