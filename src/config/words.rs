//! What stopped the reading, said in a person's words, with what would be right.

use super::error::{At, Kind, Parts};
use super::fault::Fault;
use super::session::Session;
use super::suggest::{listed, nearest};
use super::tree::{Id, Value};

impl Session<'_> {
    /// The fault that this error is.
    pub(super) fn fault(&self, error: &Parts) -> Fault {
        let (Some(At::Value(id) | At::Key(id) | At::Phantom(id, _))) = error.at else {
            return Fault::whole(format!("{:?}", error.kind));
        };
        let node = self.tree.node(id);
        let span = match (error.at, &node.key) {
            (Some(At::Key(_)), Some(key)) => key.span.clone(),
            _ => node.span.clone(),
        };
        let named = self.named(id);
        match &error.kind {
            Kind::Type { expected } => {
                let found = node.value.described();
                let label = format!("expected {expected}, found {found}");
                let fault = Fault::at(span, format!("wrong type for {named}"), label);
                match self.mended(id, expected) {
                    Some(mended) => fault.help(mended),
                    None => fault,
                }
            }
            Kind::Value { expected } => Fault::at(
                span,
                format!("wrong value for {named}"),
                format!("expected {expected}"),
            ),
            Kind::Length { found, expected } => {
                let label = format!("expected {expected}, found {found}");
                Fault::at(span, format!("wrong length of {named}"), label)
            }
            Kind::Variant { found, known } => {
                let owner = match error.at {
                    Some(At::Key(id)) => self.named(node_parent(self, id)),
                    _ => named,
                };
                let label = match nearest(found, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "not one of the known words".to_string(),
                };
                Fault::at(span, format!("unknown value `{found}` for {owner}"), label)
                    .help(format!("known: {}", listed(known.iter().copied(), "and")))
            }
            Kind::Field { known } => self.stranger_fault(id, known),
            Kind::Missing(field) => {
                let label = match (&node.value, &node.key) {
                    (Value::Text(name), _) => format!("`{name}` cannot do without `{field}`"),
                    _ => format!("{} has no `{field}`", self.place(id)),
                };
                let help = match &node.value {
                    Value::Text(name) => format!("write `{{ {name} = {{ {field} = ... }} }}`"),
                    _ => format!("add `{field} = ...`"),
                };
                Fault::at(span, format!("missing key `{field}`"), label).help(help)
            }
            Kind::Said(words) => {
                let mut lines = words.lines();
                let first = lines.next().unwrap_or_default();
                let fault = match node.value {
                    Value::Table(_) => Fault::at(span, first, "in this table"),
                    _ => Fault::at(span, format!("wrong value for {named}"), first),
                };
                lines.fold(fault, |fault, line| fault.help(line.trim_start_matches("help: ")))
            }
            Kind::Shape { label, help } => {
                let owner = match error.at {
                    Some(At::Key(id)) => self.named(node_parent(self, id)),
                    _ => named,
                };
                Fault::at(span, format!("wrong form of {owner}"), label.as_str()).help(help.as_str())
            }
        }
    }

    /// The fault that an unknown key is.
    pub(super) fn stranger_fault(&self, id: Id, known: &[&'static str]) -> Fault {
        let Some(key) = &self.tree.node(id).key else {
            return Fault::whole("an unknown key");
        };
        let table = self.tree.node(id).parent;
        let place = self.place(table);
        let title = format!("unknown key `{}`", key.name);
        let heading = self.tree.heading(table);
        let home = self.home_of(&key.name, &heading);
        let list = format!("keys of {place}: {}", listed(known.iter().copied(), "and"));
        let label = format!("not a key of {place}");
        match (nearest(&key.name, known.iter().copied()), home) {
            (Some(meant), None) => {
                Fault::at(key.span.clone(), title, format!("did you mean `{meant}`?")).help(list)
            }
            (_, Some(home)) => {
                let right = self.headed(&home);
                let above = home.is_empty() || heading.starts_with(&format!("{home}."));
                let help = match above {
                    true => format!(
                        "`{}` is a key of {right}: it belongs above the line {place}",
                        key.name
                    ),
                    false => format!("`{}` is a key of {right}", key.name),
                };
                Fault::at(key.span.clone(), title, label).help(help)
            }
            (None, None) => Fault::at(key.span.clone(), title, label).help(list),
        }
    }

    /// The value by the key that a person wrote.
    fn named(&self, id: Id) -> String {
        match self.tree.key(id) {
            Some(key) => format!("`{}`", key.name),
            None => "the file".to_string(),
        }
    }

    /// The table as it is headed in the text.
    pub(super) fn place(&self, id: Id) -> String {
        let heading = self.tree.heading(id);
        match self.text.get(self.tree.node(id).span.clone()) {
            _ if heading.is_empty() => "the file's top".to_string(),
            Some(header) if header.starts_with('[') && header.ends_with(']') => format!("`{header}`"),
            _ => format!("`{heading}`"),
        }
    }

    /// The first table of this heading, as it is headed in the text.
    fn headed(&self, heading: &str) -> String {
        let same = |id: &Id| {
            matches!(self.tree.node(*id).value, Value::Table(_)) && self.tree.heading(*id) == heading
        };
        self.tree
            .ids()
            .find(same)
            .map_or_else(String::new, |id| self.place(id))
    }

    /// What the person should write instead, where the value itself tells.
    fn mended(&self, id: Id, expected: &str) -> Option<String> {
        let node = self.tree.node(id);
        let raw = self.text.get(node.span.clone())?;
        let key = self
            .tree
            .node(id)
            .key
            .as_ref()
            .map_or("", |key| key.name.as_str());
        let write = |value: &str| match key {
            "" => format!("`{value}`"),
            key => format!("`{key} = {value}`"),
        };
        let number = expected.contains("number");
        let text = expected.contains("text") || expected.contains("string");
        match &node.value {
            Value::Text(text) if number && text.trim().parse::<f64>().is_ok() => {
                Some(format!("take away the quotes: {}", write(text.trim())))
            }
            Value::Text(text) if expected.contains("`true`") => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" | "y" => Some(format!("write {}", write("true"))),
                "false" | "no" | "off" | "0" | "n" => Some(format!("write {}", write("false"))),
                _ => None,
            },
            Value::Whole(Some(0)) if expected.contains("`true`") => Some(format!("write {}", write("false"))),
            Value::Whole(Some(1)) if expected.contains("`true`") => Some(format!("write {}", write("true"))),
            Value::Whole(_) if expected.starts_with("a time") => {
                let (short, long) = (format!("\"{raw}ms\""), format!("\"{raw}s\""));
                Some(format!("say the unit: {} or {}", write(&short), write(&long)))
            }
            Value::Decimal(n) if number && n.fract() == 0.0 => {
                Some(format!("take away the fraction: {}", write(&format!("{n:.0}"))))
            }
            _ if expected.contains("a list") && !matches!(node.value, Value::List(_)) => {
                if raw.starts_with('[') {
                    Some(format!("there may be several: write `[{raw}]`"))
                } else if raw.len() <= 60 && !raw.contains('\n') && !raw.is_empty() {
                    Some(format!("put it in brackets: {}", write(&format!("[{raw}]"))))
                } else {
                    Some("put it in brackets".to_string())
                }
            }
            Value::List(_) if expected == "a table" && raw.starts_with("[[") && raw.ends_with("]]") => {
                Some(format!("there is only one: write `{}`", &raw[1..raw.len() - 1]))
            }
            Value::Whole(_) | Value::Decimal(_) | Value::Bool(_) | Value::Date(_)
                if text || expected.contains('"') || expected.contains(&format!("`{raw}`")) =>
            {
                Some(format!("put it in quotes: {}", write(&format!("\"{raw}\""))))
            }
            _ => None,
        }
    }
}

fn node_parent(session: &Session<'_>, id: Id) -> Id {
    session.tree.node(id).parent
}
