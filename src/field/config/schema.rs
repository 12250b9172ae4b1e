//! The schemas of words that may be written in several ways.

use super::types::{Amount, At, Epoch, Factor, Order, TimeForm, Type, Zone};
use super::unpack::{Letter, Unpack, Unpacks};
use super::{Cases, Count, Field, Flags, Labels, Scalars};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! schema {
    ($type:ty, $name:literal, $json:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($json)
            }
        }
    };
}

schema!(Type, "FieldType", {
    "description": "How a value is written, such as `u16`, `f32` or `text`.",
    "type": "string",
});
schema!(Order, "FieldOrder", {
    "description": "`big`, `little`, `word-swapped`, `byte-swapped`, or letters such as `CDAB`.",
    "type": "string",
});
schema!(At, "Place", {
    "description": "An offset, the number of a column, a key or an expression.",
    "type": ["integer", "string"],
});
schema!(Amount, "Amount", {
    "description": "A number, an expression, or `rest`.",
    "type": ["integer", "string"],
});
schema!(Letter, "Letter", {
    "description": "A byte: a number, or an ASCII character.",
    "type": ["integer", "string"],
});
schema!(Factor, "Factor", { "description": "A number or an expression.", "type": ["number", "string"] });
schema!(Scalars, "Scalars", {
    "description": "A number, a text, or a list of them.",
    "type": ["number", "string", "boolean", "array"],
});
schema!(Labels, "Labels", {
    "description": "Numbers (or ranges such as `1..3`, or texts) and their names, or the numbers that they stand for.",
    "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] },
});
schema!(Flags, "Flags", {
    "description": "Names and their bits, or a list of names from bit 0 on.",
    "anyOf": [
        { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0, "maximum": 63 } },
        { "type": "array", "items": { "type": "string" } },
    ],
});
schema!(Count, "ColumnCount", {
    "description": "A number, or from and to.",
    "type": ["integer", "array"],
});
schema!(Zone, "Zone", { "description": "Minutes east of UTC, or `local`.", "type": ["integer", "string"] });

impl JsonSchema for Cases {
    fn schema_name() -> Cow<'static, str> {
        "Cases".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<Vec<Field>>();
        json_schema!({
            "description": "Values (or ranges, or `other`) and the fields for each.",
            "type": "object", "additionalProperties": fields,
        })
    }
}

impl JsonSchema for TimeForm {
    fn schema_name() -> Cow<'static, str> {
        "TimeForm".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let epoch = generator.subschema_for::<Epoch>();
        json_schema!({ "anyOf": [{ "type": "string" }, epoch] })
    }
}

impl JsonSchema for Unpacks {
    fn schema_name() -> Cow<'static, str> {
        "UnpackSteps".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let step = generator.subschema_for::<Unpack>();
        json_schema!({ "anyOf": [step.clone(), { "type": "array", "items": step }] })
    }
}
