//! What serde says while a value is read, kept in parts so that it can be said again in a person's words.

use super::tree::Id;
use serde::de;
use std::fmt;

/// One thing that stopped the reading, and where. A box, so that results stay small.
#[derive(Debug)]
pub(super) struct Error(pub(super) Box<Parts>);

/// What an error says.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) kind: Kind,
    pub(super) at: Option<At>,
}

/// What stopped it.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text where a number should be, and the like.
    Type { expected: String },
    /// The right type, but not a value that is allowed.
    Value { expected: String },
    /// Too many or too few elements.
    Length { found: usize, expected: String },
    /// A word that is none of the known ones.
    Variant { found: String, known: Vec<&'static str> },
    /// A key that is none of the known ones.
    Field { known: &'static [&'static str] },
    /// A key that must be there and is not.
    Missing(&'static str),
    /// The words of the type that refused the value; lines after the first are help.
    Said(String),
    /// Our own words: the label, and the help.
    Shape { label: String, help: String },
}

/// Where it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At a value.
    Value(Id),
    /// At the key of a value.
    Key(Id),
    /// At a value that stood in for a missing one.
    Phantom(Id, &'static str),
}

impl Error {
    /// An error whose place the next outer reader knows.
    pub(super) fn new(kind: Kind) -> Error {
        Error(Box::new(Parts { kind, at: None }))
    }

    /// The same at this place, unless a nearer one is known.
    pub(super) fn at(mut self, at: At) -> Error {
        self.0.at.get_or_insert(at);
        self
    }

    /// The same, but at this place whatever is known.
    pub(super) fn moved(mut self, at: At) -> Error {
        self.0.at = Some(at);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.kind)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Error::new(Kind::Said(words.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Error::new(Kind::Type {
            expected: in_words(&expected.to_string()),
        })
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Error::new(Kind::Value {
            expected: in_words(&expected.to_string()),
        })
    }

    fn invalid_length(found: usize, expected: &dyn de::Expected) -> Self {
        Error::new(Kind::Length {
            found,
            expected: in_words(&expected.to_string()),
        })
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Error::new(Kind::Variant {
            found: found.to_string(),
            known: known.to_vec(),
        })
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Error::new(Kind::Field { known })
    }

    fn missing_field(name: &'static str) -> Self {
        Error::new(Kind::Missing(name))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Error::new(Kind::Said(format!(
            "`{name}` stands here twice, once by another name"
        )))
    }
}

/// serde's and Rust's words for what was expected, in those of TOML.
fn in_words(expected: &str) -> String {
    let range = |low: i128, high: u128| format!("a whole number from {low} to {high}");
    match expected {
        "a string" | "a borrowed string" | "string" | "str" => "text".to_string(),
        "a boolean" => "`true` or `false`".to_string(),
        "a sequence" => "a list".to_string(),
        "a map" => "a table".to_string(),
        "path string" => "a path as text".to_string(),
        "socket address" => "an address and port, such as \"127.0.0.1:1883\"".to_string(),
        "IP address" => "an IP address, such as \"127.0.0.1\"".to_string(),
        "f32" | "f64" => "a number".to_string(),
        "u8" => range(0, u8::MAX.into()),
        "u16" => range(0, u16::MAX.into()),
        "u32" => range(0, u32::MAX.into()),
        "u64" | "usize" | "u128" => "a whole number, 0 or more".to_string(),
        "i8" => range(i8::MIN.into(), 127),
        "i16" => range(i16::MIN.into(), 32767),
        "i32" => range(i32::MIN.into(), 2_147_483_647),
        "i64" | "isize" | "i128" => "a whole number".to_string(),
        "a nonzero u8" => range(1, u8::MAX.into()),
        "a nonzero u16" => range(1, u16::MAX.into()),
        "a nonzero u32" => range(1, u32::MAX.into()),
        "a nonzero u64" | "a nonzero usize" => "a whole number, 1 or more".to_string(),
        other if other.starts_with("struct ") => "a table".to_string(),
        other => other.to_string(),
    }
}
