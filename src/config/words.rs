//! What stopped the reading, said in a person's words.

use super::error::{At, Kind, Parts};
use super::fault::Fault;
use super::session::Session;
use super::suggest::{listed, nearest};
use super::tree::{Id, ROOT, Value};

impl Session<'_> {
    /// The fault that this error is.
    pub(super) fn fault(&self, error: &Parts) -> Fault {
        let Some(At::Value(id) | At::Key(id) | At::Phantom(id, _)) = error.at else {
            return Fault::whole(format!("{:?}", error.kind));
        };
        let node = self.tree.node(id);
        let (span, owner) = match (error.at, &node.key) {
            (Some(At::Key(_)), Some(key)) => (key.span.clone(), self.named(node.parent)),
            _ => (node.span.clone(), self.named(id)),
        };
        let at = |title: String, label: String| Fault::at(span.clone(), title, label);
        match &error.kind {
            Kind::Type { expected } => {
                let label = format!("expected {expected}, found {}", node.value.described());
                at(format!("wrong type for {owner}"), label).helps(self.mended(id, expected))
            }
            Kind::Value { expected } => {
                let units = expected.starts_with("a time with its unit");
                let help = "the units are `us`, `ms`, `s`, `min`, `h` and `d`".to_string();
                at(format!("wrong value for {owner}"), format!("expected {expected}"))
                    .helps(units.then_some(help))
            }
            Kind::Length { found, expected } => at(
                format!("wrong length of {owner}"),
                format!("expected {expected}, found {found}"),
            ),
            Kind::Variant { found, known } => {
                let label = match nearest(found, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "not one of the known words".to_string(),
                };
                at(format!("unknown value `{found}` for {owner}"), label)
                    .help(format!("known: {}", listed(known.iter().copied(), "and")))
                    .helps(match error.at {
                        Some(At::Value(id)) => self.as_content(id, found, known),
                        _ => None,
                    })
            }
            Kind::Field { known } => self.stranger_fault(id, known),
            Kind::Missing(field) => {
                let (label, help) = match &node.value {
                    Value::Text(name) => (
                        format!("`{name}` cannot do without `{field}`"),
                        format!(
                            "write `{{ {name} = {{ {field} = {} }} }}`",
                            self.example(id, field)
                        ),
                    ),
                    _ => (
                        format!("{} has no `{field}`", self.place(id)),
                        format!("add `{field} = {}`", self.example(id, field)),
                    ),
                };
                at(format!("missing key `{field}`"), label)
                    .help(help)
                    .helps(self.meaning(id, field))
            }
            Kind::Said(words) => {
                let (first, help) = apart(words);
                let fault = match &node.value {
                    Value::Table(entries) => {
                        let keys = entries.iter().filter_map(|id| self.tree.node(*id).key.as_ref());
                        let keys = listed(keys.map(|key| key.name.as_str()).take(5), "and");
                        at(
                            first,
                            if keys.is_empty() {
                                keys
                            } else {
                                format!("here: {keys}")
                            },
                        )
                    }
                    _ => at(format!("wrong value for {owner}"), first),
                };
                fault.helps(help).helps(self.beside(id))
            }
            Kind::Shape { label, help } => {
                at(format!("wrong form of {owner}"), label.clone()).help(help.as_str())
            }
        }
    }

    /// The fault that an unknown key is.
    pub(super) fn stranger_fault(&self, id: Id, known: &[&'static str]) -> Fault {
        let node = self.tree.node(id);
        let Some(key) = &node.key else {
            return Fault::whole("an unknown key");
        };
        let name = &key.name;
        let place = self.place(node.parent);
        let raw = self.text.get(node.span.clone()).unwrap_or("");
        let title = match &node.value {
            Value::Table(_) if is_heading(raw) => format!("unknown table `{raw}`"),
            Value::List(_) if is_heading(raw) && raw.starts_with("[[") => format!("unknown table `{raw}`"),
            _ => format!("unknown key `{name}`"),
        };
        let (label, list) = match node.parent {
            ROOT => ("not known here".to_string(), "known here".to_string()),
            _ => (format!("not a key of {place}"), format!("keys of {place}")),
        };
        let list = format!("{list}: {}", listed(known.iter().copied(), "and"));
        let meant = nearest(name, known.iter().copied());
        let label = meant.map_or(label, |meant| format!("did you mean `{meant}`?"));
        let fault = Fault::at(key.span.clone(), title, label);
        let heading = self.tree.heading(node.parent);
        match (self.home_of(name, &heading), meant) {
            (None, _) => fault.help(list),
            (Some(home), None) => {
                let right = self.headed(&home);
                let above = home.is_empty() || heading.starts_with(&format!("{home}."));
                let move_it = if above {
                    format!(": it belongs above the line {place}")
                } else {
                    String::new()
                };
                fault.help(format!("`{name}` is a key of {right}{move_it}"))
            }
            (Some(home), Some(_)) => fault
                .help(list)
                .help(format!("`{name}` is a key of {}", self.headed(&home))),
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
    fn place(&self, id: Id) -> String {
        let heading = self.tree.heading(id);
        let node = self.tree.node(id);
        match self.text.get(node.span.clone()) {
            _ if heading.is_empty() => "the top of the file".to_string(),
            Some(header) if is_heading(header) => format!("`{header}`"),
            // Made by a heading below it: `[[broker.user]]` makes `[broker]`.
            _ if node.key.as_ref().is_some_and(|key| key.span == node.span) => format!("`[{heading}]`"),
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
}

fn is_heading(raw: &str) -> bool {
    raw.starts_with('[') && raw.ends_with(']') && !raw.contains('\n')
}

/// Words as a label that fits beside a caret, and the rest of them as help.
pub(super) fn apart(words: &str) -> (String, Vec<String>) {
    let mut lines = words.lines();
    let first = lines.next().unwrap_or_default();
    let (first, mut help) = match first.split_once("; ") {
        Some((first, rest)) => (first, vec![rest.to_string()]),
        None => (first, Vec::new()),
    };
    let first = match first.split_once(": ") {
        Some((short, rest)) if first.chars().count() > 60 => {
            help.insert(0, rest.to_string());
            short
        }
        _ => first,
    };
    help.extend(lines.map(|line| line.trim_start_matches("help: ").to_string()));
    (first.to_string(), help)
}
