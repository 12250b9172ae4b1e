//! How topics, filters and templates are read from the configuration, and what its JSON Schema says of them.

use super::{Filter, Template, Topic};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;

/// A type that is written as one string.
trait Text: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Result<Self, impl Display>;
}

impl Text for Topic {
    const EXPECTED: &'static str = "a topic name such as \"home/air/state\"";
    fn read(text: &str) -> Result<Self, impl Display> {
        Topic::parse(text)
    }
}

impl Text for Filter {
    const EXPECTED: &'static str = "a topic filter such as \"home/+/set\"";
    fn read(text: &str) -> Result<Self, impl Display> {
        Filter::parse(text)
    }
}

impl Text for Template {
    const EXPECTED: &'static str = "a topic such as \"home/{{ port }}/state\"";
    fn read(text: &str) -> Result<Self, impl Display> {
        Template::parse(text)
    }
}

fn text<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Visitor<T>(PhantomData<T>);
    impl<T: Text> de::Visitor<'_> for Visitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::EXPECTED)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            T::read(text).map_err(E::custom)
        }
    }
    // Asking for any value, not for a string, keeps the place of the mistake in toml's errors.
    deserializer.deserialize_any(Visitor(PhantomData))
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)
    }
}

impl JsonSchema for Topic {
    fn schema_name() -> Cow<'static, str> {
        "Topic".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An MQTT topic name: levels between '/', no wildcards.",
            "type": "string",
            "pattern": r"^[^+#\u0000]+$",
            "examples": ["home/air/state"],
        })
    }
}

impl JsonSchema for Filter {
    fn schema_name() -> Cow<'static, str> {
        "Filter".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An MQTT topic filter: '+' stands for one level, '#' at the end for all that follow.",
            "type": "string",
            "minLength": 1,
            "examples": ["home/air/set", "home/+/set"],
        })
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "TopicTemplate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An MQTT topic name in which {{ name }} stands for a value, and {{ name | lower }} for what Jinja \
                makes of it. What would change the topic's levels is percent-encoded in the value.",
            "type": "string",
            "pattern": r"^[^+#\u0000]+$",
            "examples": ["home/{{ port }}/state"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Held {
        topic: Topic,
        filters: Vec<Filter>,
        template: Template,
    }

    #[test]
    fn reads_the_three_kinds() {
        let held: Held =
            toml::from_str("topic = \"a/b\"\nfilters = [\"a/+\", \"#\"]\ntemplate = \"a/{{ port }}\"")
                .unwrap();
        assert_eq!(held.topic, Topic::parse("a/b").unwrap());
        assert_eq!(held.filters.len(), 2);
        assert_eq!(held.template.names().collect::<Vec<_>>(), ["port"]);
    }

    #[test]
    fn a_mistake_says_what_and_where() {
        let text = "topic = \"a\"\nfilters = [\"ok\", \"a+\"]\ntemplate = \"x\"";
        let fault = toml::from_str::<Held>(text).unwrap_err();
        assert!(fault.message().contains("'+' must fill a whole level"), "{fault}");
        assert_eq!(&text[fault.span().unwrap()], "\"a+\"");
        let fault = toml::from_str::<Held>("topic = 7").unwrap_err();
        assert!(fault.message().contains("expected a topic name"), "{fault}");
    }
}
