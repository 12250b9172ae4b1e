//! A parsed file as a flat tree: every value with its place in the text, its key's place and its parent.
//!
//! The reader walks it, marks parts of it as bad, and a path such as `port[2].baud` is looked up in it.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A value's number in its tree.
pub(super) type Id = usize;

/// The number of the table that is the whole file.
pub(super) const ROOT: Id = 0;

/// A file's values; the first is the table that is the whole file, and parents stand before children.
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// One value and where it stands.
pub(super) struct Node {
    /// The table or list that holds this value; the root is its own.
    pub(super) parent: Id,
    /// The key it has in its table; none in a list.
    pub(super) key: Option<Key>,
    /// Where the value stands: of a `[table]` this is its header.
    pub(super) span: Range<usize>,
    /// What it is.
    pub(super) value: Value,
}

/// A key and where it stands.
pub(super) struct Key {
    /// The key without quotes.
    pub(super) name: String,
    /// Where it stands.
    pub(super) span: Range<usize>,
}

/// What a value is.
pub(super) enum Value {
    /// A string.
    Text(String),
    /// A whole number; none if it is beyond all that a computer counts with.
    Whole(Option<i128>),
    /// A number with a fraction or an exponent.
    Decimal(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A date or a time.
    Date,
    /// The elements in order.
    List(Vec<Id>),
    /// The entries in the order of the text.
    Table(Vec<Id>),
}

impl Tree {
    /// Takes over what the parser made.
    pub(super) fn new(root: &DeTable<'_>) -> Tree {
        let mut tree = Tree { nodes: Vec::new() };
        tree.push(ROOT, None, 0..0, Value::Table(Vec::new()));
        let entries = tree.entries(ROOT, root);
        tree.nodes[ROOT].value = Value::Table(entries);
        tree
    }

    /// The node of this number.
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// Every number.
    pub(super) fn ids(&self) -> Range<Id> {
        0..self.nodes.len()
    }

    /// The entries of a table or the elements of a list.
    pub(super) fn children(&self, id: Id) -> &[Id] {
        match &self.nodes[id].value {
            Value::List(children) | Value::Table(children) => children,
            _ => &[],
        }
    }

    /// The entry of this name in a table.
    pub(super) fn entry(&self, table: Id, name: &str) -> Option<Id> {
        let named = |id: &&Id| self.nodes[**id].key.as_ref().is_some_and(|key| key.name == name);
        match &self.nodes[table].value {
            Value::Table(entries) => entries.iter().find(named).copied(),
            _ => None,
        }
    }

    /// The tables and lists that hold this value, the nearest first.
    pub(super) fn ancestors(&self, id: Id) -> impl Iterator<Item = Id> {
        let up = |id: Id| (id != ROOT).then(|| self.nodes[id].parent);
        std::iter::successors(up(id), move |id| up(*id))
    }

    /// The nearest key at or above this value, as a person would name the value.
    pub(super) fn key(&self, id: Id) -> Option<&Key> {
        let own = self.nodes[id].key.as_ref();
        own.or_else(|| self.ancestors(id).find_map(|up| self.nodes[up].key.as_ref()))
    }

    /// How a value's table is headed in the file, without numbers: `port.publish`; empty for the root.
    pub(super) fn heading(&self, id: Id) -> String {
        let mut keys: Vec<&str> = std::iter::once(id)
            .chain(self.ancestors(id))
            .filter_map(|id| self.nodes[id].key.as_ref())
            .map(|key| key.name.as_str())
            .collect();
        keys.reverse();
        keys.join(".")
    }

    fn push(&mut self, parent: Id, key: Option<Key>, span: Range<usize>, value: Value) -> Id {
        self.nodes.push(Node {
            parent,
            key,
            span,
            value,
        });
        self.nodes.len() - 1
    }

    fn entries(&mut self, parent: Id, table: &DeTable<'_>) -> Vec<Id> {
        let mut ordered: Vec<_> = table.iter().collect();
        ordered.sort_by_key(|(key, _)| key.span().start);
        ordered
            .into_iter()
            .map(|(key, value)| {
                let key = Key {
                    name: key.get_ref().to_string(),
                    span: key.span(),
                };
                self.add(parent, Some(key), value.span(), value.get_ref())
            })
            .collect()
    }

    fn add(&mut self, parent: Id, key: Option<Key>, span: Range<usize>, value: &DeValue<'_>) -> Id {
        let scalar = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(n) => Value::Whole(i128::from_str_radix(n.as_str(), n.radix()).ok()),
            DeValue::Float(n) => Value::Decimal(n.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(elements) => {
                let id = self.push(parent, key, span, Value::List(Vec::new()));
                let elements = elements
                    .iter()
                    .map(|e| self.add(id, None, e.span(), e.get_ref()))
                    .collect();
                self.nodes[id].value = Value::List(elements);
                return id;
            }
            DeValue::Table(table) => {
                let id = self.push(parent, key, span, Value::Table(Vec::new()));
                let entries = self.entries(id, table);
                self.nodes[id].value = Value::Table(entries);
                return id;
            }
        };
        self.push(parent, key, span, scalar)
    }
}

impl Value {
    /// The value's kind in a person's words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Whole(_) => "a whole number",
            Value::Decimal(_) => "a decimal number",
            Value::Bool(_) => "`true` or `false`",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The kind, and the value itself where it is short.
    pub(super) fn described(&self) -> String {
        match self {
            Value::Text(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
            Value::Whole(Some(n)) => format!("the number {n}"),
            Value::Decimal(n) => format!("the number {n:?}"),
            Value::Bool(truth) => format!("`{truth}`"),
            other => other.kind().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_places_and_parents() {
        let text = "z = 1\na = [0x10, \"x\"]\n[[port]]\nname = 'p'\n[[port.publish]]\n";
        let tree = Tree::new(DeTable::parse(text).unwrap().get_ref());
        let names: Vec<_> = tree
            .children(ROOT)
            .iter()
            .map(|id| &tree.node(*id).key.as_ref().unwrap().name)
            .collect();
        assert_eq!(names, ["z", "a", "port"]);
        let list = tree.entry(ROOT, "a").unwrap();
        let number = tree.children(list)[0];
        assert_eq!(&text[tree.node(number).span.clone()], "0x10");
        assert!(matches!(tree.node(number).value, Value::Whole(Some(16))));
        assert_eq!(tree.key(number).unwrap().name, "a");
        let port = tree.children(tree.entry(ROOT, "port").unwrap())[0];
        assert_eq!(&text[tree.node(port).span.clone()], "[[port]]");
        let publish = tree.children(tree.entry(port, "publish").unwrap())[0];
        assert_eq!(tree.heading(publish), "port.publish");
    }
}
