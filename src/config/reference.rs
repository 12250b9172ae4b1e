//! The page that explains every key, written from the JSON Schema and so from the types' own comments.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// The head of the page.
const HEAD: &str = r##"# The configuration file, key by key

`config/mqttyd.toml` is a file to begin with, `config/examples/` has more, and `mqttyd check FILE` says what is
wrong with one. A time is text with its unit: `"20ms"`, `"2s"`, `"1min 30s"` (`us`, `ms`, `s`, `min`, `h`, `d`).
Bytes are text (`"\r\n"`) or a list of numbers (`[0x42, 0x4d]`).

This page is made from the comments of the types in `src/`: change those, not this page.

"##;

/// The reference as Markdown, from the schema of the configuration.
pub fn reference(schema: &Value) -> String {
    let mut page = Page {
        schema,
        out: HEAD.to_string(),
        done: Vec::new(),
        todo: Vec::new(),
    };
    page.todo.push(Section {
        heading: String::new(),
        schema,
        depth: 2,
    });
    while let Some(section) = page.todo.pop() {
        page.section(section);
    }
    let mut out = page.out.trim_end().to_string();
    out.push('\n');
    out
}

struct Page<'a> {
    schema: &'a Value,
    out: String,
    done: Vec<String>,
    /// What is still to be written, the next one last.
    todo: Vec<Section<'a>>,
}

/// Types that have a name of their own on the page.
const KINDS: [(&str, &str); 10] = [
    ("Address", "address"),
    ("ChecksumAlgorithm", "name"),
    ("Ends", "bytes, or a list of them"),
    ("Filter", "topic filter"),
    ("Marker", "bytes"),
    ("Octets", "bytes"),
    ("Pattern", "regular expression"),
    ("Span", "time"),
    ("Topic", "topic"),
    ("TopicTemplate", "topic"),
];

/// One of the names that a choice is between.
struct Variant<'a> {
    name: &'a str,
    /// Whether the name may stand alone.
    bare: bool,
    /// What may stand behind the name.
    options: Option<&'a Value>,
    meaning: &'a str,
}

struct Section<'a> {
    heading: String,
    schema: &'a Value,
    depth: usize,
}

impl<'a> Page<'a> {
    fn section(&mut self, section: Section<'a>) {
        if self.done.contains(&section.heading) {
            return;
        }
        self.done.push(section.heading.clone());
        let table = self.table(section.schema);
        let title = match section.heading.as_str() {
            "" => "At the top".to_string(),
            heading => format!("`{heading}`"),
        };
        let _ = writeln!(self.out, "{} {title}\n", "#".repeat(section.depth));
        for text in [section.schema, table]
            .into_iter()
            .filter_map(|s| s["description"].as_str())
            .take(1)
        {
            let _ = writeln!(self.out, "{}\n", paragraph(text));
        }
        let mut below = Vec::new();
        if let Some(variants) = self.variants(section.schema) {
            self.choices(&section, &variants, &mut below);
        } else if let Some(properties) = table["properties"].as_object() {
            self.rows(&section, table, properties, &mut below);
        }
        below.reverse();
        self.todo.append(&mut below);
    }

    fn rows(
        &mut self,
        section: &Section<'a>,
        table: &'a Value,
        properties: &'a Map<String, Value>,
        below: &mut Vec<Section<'a>>,
    ) {
        self.out
            .push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
        let required = |key: &str| {
            table["required"]
                .as_array()
                .is_some_and(|keys| keys.iter().any(|k| k.as_str() == Some(key)))
        };
        let (mut plain, mut nested): (Vec<_>, Vec<_>) = properties.iter().partition(|(_, value)| {
            let inner = value.get("items").unwrap_or(value);
            !self.has_keys(inner) && !self.has_options(inner)
        });
        plain.sort_by_key(|(key, _)| !required(key));
        nested.sort_by_key(|(key, _)| !required(key));
        for (key, value) in plain.into_iter().chain(nested) {
            let kind = self.kind(value);
            let default = match value.get("default") {
                _ if required(key) => "**required**".to_string(),
                Some(Value::Null) | None => String::new(),
                Some(Value::Array(list)) if list.is_empty() => String::new(),
                Some(Value::Object(_)) => String::new(),
                Some(default) => format!("`{default}`"),
            };
            let meaning = value["description"]
                .as_str()
                .or(self.resolve(value)["description"].as_str());
            let meaning = cell(meaning.unwrap_or(""));
            let _ = writeln!(self.out, "| `{key}` | {kind} | {default} | {meaning} |");
            let list = value.get("items");
            let inner = list.unwrap_or(value);
            if self.has_keys(inner) || self.has_options(inner) {
                let bare = section.heading.trim_matches(['[', ']']);
                let path = if bare.is_empty() {
                    key.clone()
                } else {
                    format!("{bare}.{key}")
                };
                let heading = match list {
                    Some(_) => format!("[[{path}]]"),
                    None if section.depth == 2 && section.heading.is_empty() => format!("[{path}]"),
                    None => path,
                };
                let depth = (section.depth + usize::from(!section.heading.is_empty())).min(5);
                below.push(Section {
                    heading,
                    schema: inner,
                    depth,
                });
            }
        }
        self.out.push('\n');
    }

    fn choices(&mut self, section: &Section<'a>, variants: &[Variant<'a>], below: &mut Vec<Section<'a>>) {
        self.out.push_str("| Choice | Meaning |\n|---|---|\n");
        for Variant {
            name,
            bare,
            options,
            meaning,
        } in variants
        {
            let forms = [
                bare.then(|| format!("`\"{name}\"`")),
                options.map(|_| format!("`{{ {name} = ... }}`")),
            ];
            let written: Vec<String> = forms.into_iter().flatten().collect();
            let _ = writeln!(self.out, "| {} | {} |", written.join(" or "), cell(meaning));
            if let Some(options) = options.filter(|options| self.has_keys(options)) {
                below.push(Section {
                    heading: format!("{}.{name}", section.heading.trim_matches(['[', ']'])),
                    schema: options,
                    depth: (section.depth + 1).min(5),
                });
            }
        }
        self.out.push('\n');
    }

    /// What a `$ref`, an optional value or a value with remarks really is.
    fn resolve(&self, value: &'a Value) -> &'a Value {
        if let Some(name) = value["$ref"]
            .as_str()
            .and_then(|path| path.strip_prefix("#/$defs/"))
        {
            return self.resolve(&self.schema["$defs"][name]);
        }
        let several = value["anyOf"].as_array().into_iter().flatten();
        let mut real = several.filter(|v| v["type"] != "null");
        match (real.next(), real.next()) {
            (Some(only), None) => self.resolve(only),
            _ => value,
        }
    }

    /// The name of a value's type.
    fn name(&self, value: &'a Value) -> Option<&'a str> {
        let several = value["anyOf"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|form| form["$ref"].as_str());
        value["$ref"].as_str().or(several)?.strip_prefix("#/$defs/")
    }

    /// The one form of a value that has keys.
    fn table(&self, value: &'a Value) -> &'a Value {
        let value = self.resolve(value);
        let forms = value["anyOf"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|form| self.resolve(form));
        forms
            .into_iter()
            .find(|form| form["properties"].is_object())
            .unwrap_or(value)
    }

    fn has_keys(&self, value: &'a Value) -> bool {
        self.variants(value).is_none() && self.table(value)["properties"].is_object()
    }

    fn has_options(&self, value: &'a Value) -> bool {
        self.variants(value)
            .is_some_and(|variants| variants.iter().any(|variant| variant.options.is_some()))
    }

    /// The variants, if this is a choice between names, of which some may have options.
    fn variants(&self, value: &'a Value) -> Option<Vec<Variant<'a>>> {
        let value = self.resolve(value);
        let mut variants: Vec<Variant<'a>> = Vec::new();
        let mut add = |name: &'a str, options: Option<&'a Value>, meaning: &'a str| {
            let known = variants.iter_mut().find(|known| known.name == name);
            match (known, options) {
                (Some(known), Some(_)) => (known.options, known.meaning) = (options, meaning),
                (Some(known), None) => known.bare = true,
                (None, _) => variants.push(Variant {
                    name,
                    bare: options.is_none(),
                    options,
                    meaning,
                }),
            }
        };
        let forms = match (value["oneOf"].as_array(), value["anyOf"].as_array()) {
            (Some(forms), _) | (_, Some(forms)) => forms.iter().collect(),
            _ => vec![value],
        };
        for form in forms.into_iter().map(|form| self.resolve(form)) {
            let meaning = form["description"].as_str().unwrap_or("");
            let properties = form["properties"].as_object();
            if let Some(name) = form["const"].as_str() {
                add(name, None, meaning);
            } else if let Some(names) = form["enum"].as_array() {
                names
                    .iter()
                    .try_for_each(|name| name.as_str().map(|name| add(name, None, meaning)))?;
            } else if let (Some((name, options)), Some(1)) = (
                properties.and_then(|all| all.iter().next()),
                properties.map(Map::len),
            ) && form["required"][0].as_str() == Some(name)
            {
                add(name, Some(options), meaning);
            } else {
                return None;
            }
        }
        (!variants.is_empty()).then_some(variants)
    }

    /// A value's type in a word or two.
    fn kind(&self, value: &'a Value) -> String {
        if let Some(known) = self
            .name(value)
            .and_then(|name| KINDS.iter().find(|(known, _)| *known == name))
        {
            return known.1.to_string();
        }
        let value = self.resolve(value);
        if let Some(items) = value.get("items") {
            return match self.has_keys(items) {
                true => "tables".to_string(),
                false => format!("list: {}", self.kind(items)),
            };
        }
        if self.has_keys(value) {
            let names = value["anyOf"].as_array().is_some();
            return if names { "text or table" } else { "table" }.to_string();
        }
        if let Some(variants) = self.variants(value) {
            if variants.len() > 12 {
                return "text".to_string();
            }
            let names: Vec<String> = variants
                .iter()
                .map(|variant| format!("`{}`", variant.name))
                .collect();
            return names.join(", ");
        }
        if let Some(several) = value["anyOf"].as_array() {
            let kinds: Vec<String> = several.iter().map(|form| self.kind(form)).collect();
            return kinds.join(" or ");
        }
        if let Some(values) = value["enum"].as_array() {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            return values.join(", ");
        }
        let range = match (value["minimum"].as_i64(), value["maximum"].as_i64()) {
            (Some(low), Some(high)) if high < i64::from(u32::MAX) => format!(", {low} to {high}"),
            (Some(low), _) => format!(", {low} or more"),
            _ => String::new(),
        };
        let types = match &value["type"] {
            Value::Array(types) => types.iter().find_map(|t| t.as_str().filter(|t| *t != "null")),
            one => one.as_str(),
        };
        match types {
            Some("string") => "text".to_string(),
            Some("integer") => format!("whole number{range}"),
            Some("number") => format!("number{range}"),
            Some("boolean") => "`true`, `false`".to_string(),
            Some("array") => "list".to_string(),
            Some("object") => "table".to_string(),
            _ => "any".to_string(),
        }
    }
}

/// A comment as one paragraph each.
fn paragraph(text: &str) -> String {
    text.split("\n\n")
        .map(|part| part.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// A comment as a cell of a table.
fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>")
        .replace('\n', " ")
        .replace('|', "\\|")
}
