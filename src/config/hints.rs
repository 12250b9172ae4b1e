//! What a person should write instead: where the value itself tells, or the schema.

use super::session::Session;
use super::suggest::listed;
use super::tree::{Id, ROOT, Tree, Value};
use serde_json::Value as Json;

impl Session<'_> {
    /// The value as it should be written, where that is plain.
    pub(super) fn mended(&self, id: Id, expected: &str) -> Option<String> {
        let node = self.tree.node(id);
        let raw = self.text.get(node.span.clone())?;
        let key = node.key.as_ref().map_or("", |key| key.name.as_str());
        let write = |value: &str| match key {
            "" => format!("`{value}`"),
            key => format!("`{key} = {value}`"),
        };
        let truth = expected.contains("`true`");
        let texts = expected == "text" || expected.starts_with("a topic") || expected.starts_with("a path");
        let single = !expected.contains("a list") && !expected.contains("a table");
        let number = single && !texts && !truth && !expected.starts_with("one of");
        Some(match &node.value {
            Value::Text(text) if truth => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" | "y" => format!("write {}", write("true")),
                "false" | "no" | "off" | "0" | "n" => format!("write {}", write("false")),
                _ => return None,
            },
            Value::Text(text) if number && text.trim().parse::<f64>().is_ok() => {
                format!("take away the quotes: {}", write(text.trim()))
            }
            Value::Whole(Some(0)) if truth => format!("write {}", write("false")),
            Value::Whole(Some(1)) if truth => format!("write {}", write("true")),
            Value::Whole(_) if expected.starts_with("a time") => {
                let (short, long) = (format!("\"{raw}ms\""), format!("\"{raw}s\""));
                format!("say the unit: {} or {}", write(&short), write(&long))
            }
            Value::Decimal(n) if number && n.fract() == 0.0 => {
                format!("take away the fraction: {}", write(&format!("{n:.0}")))
            }
            Value::Whole(Some(0..=255)) if expected.contains("bytes such as") => {
                format!("a byte stands in brackets: {}", write(&format!("[{raw}]")))
            }
            Value::Text(word) if expected == "a table" => {
                let option = self.option_for(id, word)?;
                format!("write {}", write(&format!("{{ {option} = \"{word}\" }}")))
            }
            Value::List(_) if expected == "a table" && raw.starts_with("[[") && raw.ends_with("]]") => {
                format!("there is only one: write `{}`", &raw[1..raw.len() - 1])
            }
            Value::List(_) => return None,
            _ if expected == "a list" => {
                if raw.starts_with('[') {
                    format!("there may be several: write `[{raw}]`")
                } else if let (Some(tables), false) = (self.tables(id), raw.starts_with('{')) {
                    format!("each has a heading of its own: `[[{tables}]]`")
                } else if raw.len() <= 60 && !raw.contains('\n') && !raw.is_empty() {
                    format!("put it in brackets: {}", write(&format!("[{raw}]")))
                } else {
                    "put it in brackets".to_string()
                }
            }
            Value::Whole(_) | Value::Decimal(_) | Value::Bool(_) | Value::Date
                if texts || expected.contains(&format!("`{raw}`")) =>
            {
                format!("put it in quotes: {}", write(&format!("\"{raw}\"")))
            }
            _ => return None,
        })
    }

    /// The option of this table that takes such a word.
    fn option_for(&self, table: Id, word: &str) -> Option<&str> {
        let root = self.schema()?;
        let takes = |schema: &Json| {
            let schema = resolved(root, schema);
            let forms = schema["oneOf"].as_array().into_iter().flatten();
            let words = schema["enum"].as_array().into_iter().flatten();
            forms
                .map(|form| &form["const"])
                .chain(words)
                .any(|known| *known == word)
        };
        let options = options(root, self.of(table)?)?;
        options
            .iter()
            .find(|(_, schema)| takes(schema))
            .map(|(name, _)| name.as_str())
    }

    /// For a text that names no variant, but may be what stands in one: `{ regex = '^T' }`.
    pub(super) fn as_content(&self, id: Id, text: &str, known: &[&'static str]) -> Option<String> {
        let root = self.schema()?;
        let schema = self.of(id)?;
        let key = &self.tree.node(id).key.as_ref()?.name;
        let takes_text = |name: &&&str| {
            inside(root, schema, name).is_some_and(|schema| {
                let schema = resolved(root, schema);
                let forms = schema["anyOf"].as_array().into_iter().flatten();
                forms
                    .chain([schema])
                    .any(|form| form["type"] == "string" && form.get("enum").is_none())
            })
        };
        let quoted = if text.contains('\'') {
            format!("{text:?}")
        } else {
            format!("'{text}'")
        };
        let ways: Vec<String> = known
            .iter()
            .filter(takes_text)
            .map(|name| format!("{key} = {{ {name} = {quoted} }}"))
            .collect();
        (!ways.is_empty()).then(|| format!("write {}", listed(ways.iter().map(String::as_str), "or")))
    }

    /// For a choice with several keys: the option that stands beside its choice, and should stand in it.
    pub(super) fn beside(&self, id: Id) -> Option<String> {
        let root = self.schema()?;
        let key = |id: &Id| self.tree.node(*id).key.as_ref().map(|key| key.name.as_str());
        let keys: Vec<&str> = self.tree.children(id).iter().filter_map(key).collect();
        let of = |choice: &str| inside(root, self.of(id)?, choice);
        let choice = keys.iter().find(|key| of(key).is_some())?;
        let option = keys.iter().find(|key| {
            of(key).is_none() && of(choice).is_some_and(|choice| inside(root, choice, key).is_some())
        })?;
        Some(format!(
            "`{option}` is an option of `{choice}`: `{{ {choice} = {{ {option} = ... }} }}`"
        ))
    }

    /// The heading of this value's tables, if it should be a list of tables.
    fn tables(&self, id: Id) -> Option<String> {
        let schema = resolved(self.schema()?, self.of(id)?);
        let items = resolved(self.schema()?, schema.get("items")?);
        items.get("properties").map(|_| self.tree.heading(id))
    }

    /// A value that this missing key might have.
    pub(super) fn example(&self, table: Id, field: &str) -> String {
        let schema = self.schema().and_then(|root| {
            let property = self.property(table, field)?;
            let examples = |schema: &Json| schema["examples"].get(0).or(schema.get("const")).cloned();
            examples(property).or_else(|| examples(resolved(root, property)))
        });
        schema.map_or_else(|| "...".to_string(), |example| example.to_string())
    }

    /// The first sentence of what the key is for.
    pub(super) fn meaning(&self, table: Id, field: &str) -> Option<String> {
        let text = self.property(table, field)?["description"]
            .as_str()?
            .replace('\n', " ");
        let mut first = text.split(". ").next().unwrap_or("");
        for end in [": ", "; ", ", "] {
            if first.chars().count() > 110 {
                first = first.split(end).next().unwrap_or("");
            }
        }
        Some(format!("`{field}`: {}", first.trim_end_matches('.')))
    }

    fn property(&self, table: Id, field: &str) -> Option<&Json> {
        let root = self.schema()?;
        // A choice by its bare name has its options in the schema of the choice.
        let schema = match &self.tree.node(table).value {
            Value::Text(name) => inside(root, self.of(table)?, name)?,
            _ => self.of(table)?,
        };
        inside(root, schema, field)
    }

    /// The schema of this value.
    fn of(&self, id: Id) -> Option<&Json> {
        let root = self.schema()?;
        path(self.tree, id)
            .into_iter()
            .try_fold(root, |schema, key| inside(root, schema, key))
    }
}

/// The keys that lead to a value.
fn path(tree: &Tree, id: Id) -> Vec<&str> {
    let mut at = id;
    let mut keys = Vec::new();
    while at != ROOT {
        keys.extend(tree.node(at).key.as_ref().map(|key| key.name.as_str()));
        at = tree.node(at).parent;
    }
    keys.reverse();
    keys
}

/// What a schema says of a key, in whichever of its forms.
fn inside<'a>(root: &'a Json, schema: &'a Json, key: &str) -> Option<&'a Json> {
    let schema = resolved(root, schema);
    if let Some(found) = schema["properties"].get(key) {
        return Some(found);
    }
    let forms = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|form| schema[form].as_array())
        .flatten();
    forms
        .chain(schema.get("items"))
        .find_map(|form| inside(root, form, key))
}

/// The keys of a table's schema, in whichever of its forms.
fn options<'a>(root: &'a Json, schema: &'a Json) -> Option<&'a serde_json::Map<String, Json>> {
    let schema = resolved(root, schema);
    schema["properties"].as_object().or_else(|| {
        let forms = schema["anyOf"].as_array().into_iter().flatten();
        forms.filter_map(|form| options(root, form)).next()
    })
}

fn resolved<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    match schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(path) => root.pointer(path).unwrap_or(schema),
        None => schema,
    }
}
