//! When something is published: on change, at most so often, over a window, and what is said of silence.

use crate::read_any::read_any;
use crate::span::Span;
use crate::template::Text;
use crate::topic::Template;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, de};
use std::time::Duration;

/// The fields that an entry publishes, in this order.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fields(pub Vec<Chosen>);

/// A field's name, or a table with its name and rules of its own.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = or_name)]
pub struct Chosen {
    /// The field's name; with points for what lies within a record or list: `status.alarm`, `cells.0`. A name
    /// alone is all that lies within.
    pub name: String,
    /// On change only, instead of what the entry says.
    #[serde(default)]
    pub change: Option<Change>,
    /// Heartbeat, instead of what the entry says.
    #[serde(default)]
    pub heartbeat: Option<Span>,
    /// At most every so often, instead of what the entry says.
    #[serde(default)]
    pub every: Option<Span>,
    /// Over a window, instead of what the entry says.
    #[serde(default)]
    pub window: Option<Window>,
    /// Staleness, instead of what the entry says.
    #[serde(default)]
    pub stale: Option<Stale>,
}

/// What counts as a change: `true` for any, `false` for none (everything is published), or a dead band.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = or_bool)]
pub struct Change {
    /// A number must differ by at least so much, in the field's unit, from the one that was published last.
    #[serde(default)]
    pub by: Option<f64>,
    /// A number must differ by at least so many percent of the one that was published last. With `by` and
    /// `percent` either is enough.
    #[serde(default)]
    pub percent: Option<f64>,
    /// Everything is published, changed or not.
    #[serde(skip)]
    pub any: bool,
}

/// Values are gathered, and one is published for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Window {
    /// How long values are gathered, from the first on.
    pub over: Span,
    /// What is published: `mean`, `median`, `min`, `max` or `last`. Values that are no numbers give their last.
    /// Mean and median have one decimal more than the values. Default `mean`.
    #[serde(default)]
    pub take: Take,
}

/// What is made of the values of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// The arithmetic mean.
    #[default]
    Mean,
    /// The value in the middle; of an even number the mean of the two.
    Median,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The last one.
    Last,
}

/// What is said when no value comes.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = or_span)]
pub struct Stale {
    /// A value is stale when none has come for so long.
    pub after: Span,
    /// What is published then. Default: with `payload = "values"` the object with `"stale":true` and every value
    /// null, or else the text `stale`. It may hold `{{ port }}`, `{{ field }}`, `{{ unit }}` and `{{ time }}`, which
    /// is the time of the last value.
    #[serde(default)]
    pub payload: Option<Text>,
    /// Where it is published. Default: the topic of the value itself.
    #[serde(default)]
    pub topic: Option<Template>,
}

/// The rules for one value or one object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Only when changed.
    pub change: Option<Change>,
    /// Unchanged values after so long.
    pub heartbeat: Option<Duration>,
    /// At most so often.
    pub every: Option<Duration>,
    /// Gathered.
    pub window: Option<Window>,
    /// What is said of silence.
    pub stale: Option<Stale>,
}

impl Policy {
    /// Whether everything is published as it comes.
    pub(super) fn is_plain(&self) -> bool {
        *self == Policy::default()
    }

    /// With the rules that one field has of its own.
    pub(super) fn with(&self, own: &Chosen) -> Policy {
        let span = |own: Option<Span>, general: Option<Duration>| own.map(Duration::from).or(general);
        Policy {
            change: own.change.or(self.change).filter(|change| !change.any),
            heartbeat: span(own.heartbeat, self.heartbeat),
            every: span(own.every, self.every),
            window: own.window.or(self.window),
            stale: own.stale.clone().or_else(|| self.stale.clone()),
        }
    }
}

read_any!(
    Chosen,
    "the name of a field, or a table such as { name = \"pm25\", every = \"10s\" }",
    {
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Chosen, E> {
            Ok(Chosen {
                name: name.to_owned(),
                ..Chosen::default()
            })
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Chosen, A::Error> {
            Chosen::deserialize(MapAccessDeserializer::new(map))
        }
    }
);

read_any!(Change, "true, false, { by = 0.5 } or { percent = 2 }", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Change, E> {
        Ok(Change {
            any: !yes,
            ..Change::default()
        })
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Change, A::Error> {
        let change = Change::deserialize(MapAccessDeserializer::new(map))?;
        for band in [change.by, change.percent].into_iter().flatten() {
            if !band.is_finite() || band < 0.0 {
                return Err(de::Error::custom(format!(
                    "a dead band can't be {band}: it is a number from 0 on"
                )));
            }
        }
        Ok(change)
    }
});

read_any!(
    Stale,
    "a time such as \"5min\", or { after = \"5min\", payload = \"unavailable\" }",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Stale, E> {
            let after = Span::deserialize(de::value::StrDeserializer::new(text))?;
            Ok(Stale {
                after,
                ..Stale::default()
            })
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Stale, A::Error> {
            Stale::deserialize(MapAccessDeserializer::new(map))
        }
    }
);

/// `schema`, or what stands in its place.
fn or(schema: &mut Schema, other: Schema) {
    let table = std::mem::take(schema.ensure_object());
    let description = table.get("description").cloned();
    *schema = json_schema!({ "anyOf": [other.to_value(), serde_json::Value::Object(table)] });
    if let Some(description) = description {
        schema.insert("description".into(), description);
    }
}

fn or_name(schema: &mut Schema) {
    or(
        schema,
        json_schema!({ "type": "string", "description": "The field's name alone." }),
    );
}

fn or_bool(schema: &mut Schema) {
    or(
        schema,
        json_schema!({ "type": "boolean", "description": "Whether only changes are published." }),
    );
}

fn or_span(schema: &mut Schema) {
    let span = <Span as JsonSchema>::json_schema(&mut SchemaGenerator::default());
    or(schema, span);
}
