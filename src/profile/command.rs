//! What a device can be told: a name and parameters become the bytes of a frame.

use super::Guard;
use super::asked::Address;
use super::config::{self, Checks, Config, Forbid};
use crate::field::cipher::Keys;
use crate::field::config::{Decode, Order};
use crate::field::encode::{self, ParameterError};
use crate::field::plan::{self, Layout, Mistake, Source};
use crate::field::record::Value;
use crate::frame::{EncodeError, Framing};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// A command, ready for use.
#[derive(Debug)]
pub struct Command {
    name: Arc<str>,
    body: Body,
    layout: Layout,
    framing: Option<(Framing, Arc<Guard>)>,
    /// The kinds of frame that answer it; none: any.
    reply: Vec<String>,
    /// Whether the device never answers it.
    silent: bool,
    /// The poll that reads it back.
    verify: Option<String>,
}

/// The parameter that a port fills with its device's address.
pub(crate) const ADDRESS: &str = "address";

#[derive(Debug)]
enum Body {
    Bytes(Vec<u8>),
    Text(Vec<Piece>),
    Fields,
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    Value { name: String, format: Format },
}

/// How a value stands in a text: `{level}`, `{level:03}`, `{level:.1}`, `{level:02X}`.
#[derive(Debug, Clone, Copy, Default)]
struct Format {
    width: usize,
    zero: bool,
    decimals: Option<usize>,
    hex: Option<bool>,
}

/// Why a command can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The parameters do not fit.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// The bytes can't be packed as `unpack` would undo it.
    #[error("the bytes can't be packed as `unpack` would undo it")]
    Pack,
    /// The bytes make no frame.
    #[error(transparent)]
    Frame(#[from] EncodeError),
}

impl Command {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> Vec<&str> {
        match &self.body {
            Body::Bytes(_) => Vec::new(),
            Body::Fields => encode::parameters(&self.layout),
            Body::Text(pieces) => {
                let mut names = Vec::new();
                for piece in pieces {
                    if let Piece::Value { name, .. } = piece
                        && !names.contains(&name.as_str())
                    {
                        names.push(name);
                    }
                }
                names
            }
        }
    }

    /// The kinds of frame that answer it; none: any.
    pub fn reply(&self) -> &[String] {
        &self.reply
    }

    /// Whether the device never answers it.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// The poll that reads back what it has set.
    pub fn verify(&self) -> Option<&str> {
        self.verify.as_deref()
    }

    /// The bytes for the line, framed and with their check, for a payload such as `{"fan": 3}`; where there is
    /// only one parameter, its value alone will do.
    pub fn frame(&self, payload: &[u8]) -> Result<Vec<u8>, CommandError> {
        self.frame_to(payload, None)
    }

    /// The same, to the device of this address.
    pub fn frame_to(&self, payload: &[u8], address: Option<&Address>) -> Result<Vec<u8>, CommandError> {
        self.with(encode::given(&self.open(address), payload)?, address)
    }

    /// What a payload gives, by name.
    pub fn given(&self, payload: &[u8], address: Option<&Address>) -> serde_json::Map<String, Json> {
        encode::given(&self.open(address), payload).unwrap_or_default()
    }

    /// The bytes for the line for these parameters, to the device of this address.
    pub fn with(
        &self,
        mut given: serde_json::Map<String, Json>,
        address: Option<&Address>,
    ) -> Result<Vec<u8>, CommandError> {
        if let Some(address) = address
            && self.parameters().contains(&ADDRESS)
        {
            given.entry(ADDRESS).or_insert_with(|| address.json());
        }
        let data = match &self.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Fields => encode::encode(&self.layout, &given)?,
            Body::Text(pieces) => self.text(pieces, &given)?.into_bytes(),
        };
        let Some((framing, guard)) = &self.framing else {
            return Ok(data);
        };
        let data = guard.pack(data).ok_or(CommandError::Pack)?;
        let mut frame = Vec::with_capacity(data.len() + 16);
        framing.encode(&data, &**guard, &mut frame)?;
        Ok(frame)
    }

    /// The parameters that are still to be given.
    pub(crate) fn open(&self, address: Option<&Address>) -> Vec<&str> {
        let mut names = self.parameters();
        names.retain(|name| address.is_none() || *name != ADDRESS);
        names
    }

    fn text(
        &self,
        pieces: &[Piece],
        given: &serde_json::Map<String, Json>,
    ) -> Result<String, ParameterError> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Value { name, format } => {
                    let value = given
                        .get(name)
                        .ok_or_else(|| ParameterError::Missing(name.clone()))?;
                    let value = encode::checked(&self.layout, name, value)?;
                    format.write(name, &value, &mut out)?;
                }
            }
        }
        Ok(out)
    }
}

impl Format {
    fn parse(text: &str) -> Option<Format> {
        let mut format = Format::default();
        let mut rest = text;
        if let Some(hex) = rest.strip_suffix(['x', 'X']) {
            format.hex = Some(rest.ends_with('X'));
            rest = hex;
        }
        if let Some((width, decimals)) = rest.split_once('.') {
            format.decimals = Some(decimals.parse().ok().filter(|decimals| *decimals <= 15)?);
            rest = width;
        }
        format.zero = rest.starts_with('0');
        if !rest.is_empty() {
            format.width = rest.parse().ok().filter(|width| *width <= 64)?;
        }
        Some(format)
    }

    fn write(self, name: &str, value: &Value, out: &mut String) -> Result<(), ParameterError> {
        let wrong = |why: &str| ParameterError::Value {
            name: name.to_owned(),
            why: why.to_owned(),
        };
        let mut text = String::new();
        let number = value.number();
        match (self.hex, self.decimals, number) {
            (Some(upper), _, Some(x)) if x.fract() == 0.0 && (0.0..9.0e15).contains(&x) => {
                let n = x as u64;
                let _ = if upper {
                    write!(text, "{n:X}")
                } else {
                    write!(text, "{n:x}")
                };
            }
            (Some(_), _, _) => return Err(wrong("expected a whole number from 0 on")),
            (None, Some(decimals), Some(x)) => {
                let _ = write!(text, "{x:.decimals$}");
            }
            (None, Some(_), None) => return Err(wrong("expected a number")),
            (None, None, _) => value.write(None, &mut text),
        }
        // What a message holds must not end the line, or begin another command.
        if text.chars().any(char::is_control) {
            return Err(wrong("it holds a control character"));
        }
        let missing = self.width.saturating_sub(text.chars().count());
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) if self.zero => ("-", digits),
            _ => ("", text.as_str()),
        };
        out.push_str(sign);
        out.extend(std::iter::repeat_n(if self.zero { '0' } else { ' ' }, missing));
        out.push_str(digits);
        Ok(())
    }
}

/// What every command of a profile has in common.
pub(super) struct Common {
    order: Order,
    keys: Keys,
    framing: Option<(Framing, Arc<Guard>)>,
}

impl Common {
    pub(super) fn new(config: &Config, char_time: Duration, mistakes: &mut Vec<Mistake>) -> Common {
        let request = config.request.clone().unwrap_or_default();
        let mut wrong = |path: String, what: String| mistakes.push(Mistake { path, what });
        let frame = request.frame.as_ref().unwrap_or(&config.frame);
        let framing = frame
            .build(char_time)
            .map_err(|error| wrong("request.frame".into(), error.to_string()));
        let checks: &Checks = request.check.as_ref().unwrap_or(&config.check);
        let steps = request.unpack.as_ref().unwrap_or(&config.unpack);
        let guard = Guard::new(checks, &Forbid::default(), &steps.0, &config.data_check);
        let guard = guard.map_err(|(_, _, error)| wrong("request.check".into(), error.to_string()));
        let framing = framing
            .ok()
            .zip(guard.ok())
            .map(|(framing, guard)| (framing, Arc::new(guard)));
        Common {
            order: config.order.clone().unwrap_or(Order::Big),
            keys: config.keys.clone(),
            framing,
        }
    }
}

/// Compiles the commands of a profile.
pub(super) fn compile(config: &Config, common: &Common, mistakes: &mut Vec<Mistake>) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (n, command) in config.command.iter().enumerate() {
        let path = format!("command[{n}]");
        if command.name.is_empty() {
            mistakes.push(Mistake {
                path: path.clone(),
                what: "`name` is missing".into(),
            });
        }
        if commands.iter().any(|known| *known.name == *command.name) {
            mistakes.push(Mistake {
                path: format!("{path}.name"),
                what: format!("there is a command `{}` already", command.name),
            });
        }
        if let Some(name) = &command.verify
            && !config.poll.iter().any(|poll| poll.name == *name)
        {
            mistakes.push(Mistake {
                path: format!("{path}.verify"),
                what: format!("there is no poll `{name}`"),
            });
        }
        commands.extend(compile_one(command, &path, common, mistakes));
    }
    commands
}

/// Compiles what is sent, a command or the like, that stands at this path.
pub(super) fn compile_one(
    command: &config::Command,
    path: &str,
    common: &Common,
    mistakes: &mut Vec<Mistake>,
) -> Option<Command> {
    let mut wrong = |key: &str, what: String| {
        mistakes.push(Mistake {
            path: format!("{path}{key}"),
            what,
        });
    };
    let body = match (&command.bytes, &command.text) {
        (Some(bytes), None) if command.fields.is_empty() => Body::Bytes(bytes.to_vec()),
        (None, Some(text)) => match pieces(text) {
            Ok(pieces) => Body::Text(pieces),
            Err(what) => {
                wrong(".text", what);
                return None;
            }
        },
        (None, None) if !command.fields.is_empty() => Body::Fields,
        _ => {
            wrong(
                "",
                "a command has `bytes`, `text` or `fields` (with `text` they describe its parameters)".into(),
            );
            return None;
        }
    };
    let layout = plan::compile(
        &Source {
            kind: &command.name,
            decode: &Decode::Binary,
            order: command.order.as_ref().unwrap_or(&common.order),
            collect: None,
            fields: &command.fields,
            require: &[],
            stop: None,
            path: path.to_owned(),
            keys: &common.keys,
            fields_key: "fields",
        },
        mistakes,
    );
    if let Some((field, what)) = encode::unwritable(&layout) {
        mistakes.push(Mistake {
            path: format!("{path}.fields"),
            what: format!("`{field}`: {what}"),
        });
    }
    Some(Command {
        name: command.name.as_str().into(),
        body,
        layout,
        framing: if command.bare {
            None
        } else {
            common.framing.clone()
        },
        reply: command.reply.clone(),
        silent: command.silent,
        verify: command.verify.clone(),
    })
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let found = &rest[at..];
        if let Some(after) = found.strip_prefix("{{") {
            literal.push('{');
            rest = after;
        } else if let Some(after) = found.strip_prefix("}}") {
            literal.push('}');
            rest = after;
        } else {
            let inner = found
                .strip_prefix('{')
                .ok_or("a `}` closes nothing: write `}}` for the brace itself")?;
            let (inner, after) = inner
                .split_once('}')
                .ok_or("a `{` is not closed: write `{{` for the brace itself")?;
            let (name, format) = inner.split_once(':').unwrap_or((inner, ""));
            if name.is_empty() {
                return Err("`{}` names no parameter".into());
            }
            let format = Format::parse(format);
            let format =
                format.ok_or_else(|| format!("`{{{inner}}}`: a format is `03`, `.1`, `02X` or the like"))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Value {
                name: name.to_owned(),
                format,
            });
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use crate::config::device;
    use crate::field::record::Record;
    use crate::profile::Outcome;
    use proptest::prelude::*;

    const FAN: &str = r#"
        frame = { start-end = { start = [2], end = [3], length = 12 } }
        check = { algorithm = "sum8" }
        fields = [
          { name = "fan", type = "u8", range = [0, 5] },
          { name = "mode", type = "u4", values = { 0 = "off", 1 = "auto" } },
          { name = "speed", type = "u4" },
          { name = "set", type = "i16", order = "little", scale = 0.1 },
          { name = "level", type = "bcd", length = 2 },
          { type = "u8", is = 7 },
          { name = "size", type = "u8", value = "length" },
          { name = "on", at = 8, bit = 7 },
        ]
        [[command]]
        name = "fan"
        fields = [
          { name = "fan", type = "u8", range = [0, 5] },
          { name = "mode", type = "u4", values = { 0 = "off", 1 = "auto" } },
          { name = "speed", type = "u4" },
          { name = "set", type = "i16", order = "little", scale = 0.1 },
          { name = "level", type = "bcd", length = 2 },
          { type = "u8", is = 7 },
          { type = "u8", value = "length" },
          { name = "on", at = 8, bit = 7 },
        ]
        [[command]]
        name = "reset"
        bytes = [0x10, 0x11]
        bare = true
        [[command]]
        name = "say"
        text = "T,{t:05.1},{hex:02X};{{{word}}}"
        bare = true
        fields = [{ name = "t", type = "decimal", range = [-50, 50] }]
    "#;

    fn send(name: &str, payload: &str) -> Result<Vec<u8>, String> {
        let device = device::parse(FAN, "fan").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let command = device.profile.command(name).unwrap();
        command
            .frame(payload.as_bytes())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_become_bytes() {
        let payload = r#"{"fan":3,"mode":"auto","speed":9,"set":-1.5,"level":1234,"on":true}"#;
        let frame = send("fan", payload).unwrap();
        let data = [3, 0x19, 0xf1, 0xff, 0x12, 0x34, 7, 9, 0x80];
        let sum = data.iter().fold(2u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(frame, [&[2][..], &data, &[sum, 3]].concat());
        assert_eq!(send("reset", "").unwrap(), [0x10, 0x11]);
        let said = send("say", r#"{"t": 2.55, "hex": 10, "word": "hi"}"#).unwrap();
        assert_eq!(said, b"T,002.5,0A;{hi}".to_vec());
        assert_eq!(
            send("say", r#"{"t": -2.5, "hex": 1, "word": "x"}"#).unwrap(),
            b"T,-02.5,01;{x}".to_vec()
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let whole = r#"{"fan":3,"mode":"auto","speed":9,"set":-1.5,"level":1234,"on":true}"#;
        for (from, to, says) in [
            ("\"fan\":3", "\"fan\":6", "it must be from 0 to 5"),
            ("\"fan\":3,", "", "`fan` is missing"),
            ("auto", "dry", "there is no `dry`; known: off, auto"),
            ("\"speed\":9", "\"speed\":16", "`speed`: it does not fit"),
            ("-1.5", "4000", "`set`: it does not fit"),
            ("1234", "12345", "too many digits"),
            ("\"on\"", "\"no\"", "there is no parameter `no`"),
        ] {
            let error = send("fan", &whole.replace(from, to)).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(send("fan", "7").unwrap_err().contains("no JSON object"));
        assert!(
            send("say", r#"{"t":1,"hex":1,"word":"x\r\nT"}"#)
                .unwrap_err()
                .contains("control character")
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fan in 0u8..6, speed in 0u8..16, set in -3000i32..3000, level in 0u16..10_000, on: bool) {
            let payload = format!(
                r#"{{"fan":{fan},"mode":"off","speed":{speed},"set":{},"level":{level},"on":{on}}}"#,
                f64::from(set) / 10.0
            );
            let frame = send("fan", &payload).unwrap();
            let device = device::parse(FAN, "fan").unwrap();
            let tried = device.profile.try_bytes(&frame, None);
            let record: &Record = match &tried.frames[0].2 {
                Outcome::Values(record) => record,
                other => panic!("{other:?}"),
            };
            let number = |name: &str| record.get(name).unwrap().value.number().unwrap();
            prop_assert_eq!(number("fan"), f64::from(fan));
            prop_assert_eq!(number("speed"), f64::from(speed));
            prop_assert_eq!(number("set"), f64::from(set) / 10.0);
            prop_assert_eq!(number("level"), f64::from(level));
            prop_assert_eq!(number("on"), f64::from(u8::from(on)));
        }

        #[test]
        fn payloads_never_panic(payload in "[{}\\[\\]\":,a-z0-9.-]{0,40}") {
            for name in ["fan", "reset", "say"] {
                let _ = send(name, &payload);
            }
        }
    }
}
