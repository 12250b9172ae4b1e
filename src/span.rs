//! Lengths of time as a person writes them in the configuration: `"20ms"`, `"2s"`, `"1min 30s"`.

use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Longer ones are mistakes, and instants can't be counted on so far ahead.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A length of time, written with its unit (`us`, `ms`, `s`, `min`, `h`, `d`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    pub const fn millis(n: u64) -> Span {
        Span(Duration::from_millis(n))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

read_any!(Span, "a time with its unit, such as \"20ms\" or \"2s\"", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        let span = humantime::parse_duration(text)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        if span > LONGEST {
            return Err(E::custom(format!(
                "\"{text}\" is too long: at most a year is taken"
            )));
        }
        Ok(Span(span))
    }
});

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time with its unit: \"20ms\", \"2s\", \"1min 30s\".",
            "type": "string",
            "examples": ["20ms", "2s"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Held {
        span: Span,
    }

    #[test]
    fn reads_units_and_refuses_bare_numbers() {
        let held: Held = toml::from_str(r#"span = "20ms""#).unwrap();
        assert_eq!(held.span, Span::millis(20));
        let fault = toml::from_str::<Held>("span = 20").err().unwrap().to_string();
        assert!(fault.contains("a time with its unit"), "{fault}");
        assert!(toml::from_str::<Held>(r#"span = "20 parsecs""#).is_err());
        assert!(toml::from_str::<Held>(r#"span = "500000000000years""#).is_err());
    }
}
