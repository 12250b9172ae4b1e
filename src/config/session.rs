//! What is known of one file while it is read again and again: the parts found bad, and what stands in for
//! keys that are missing.

use super::tree::{Id, Tree};
use serde_json::Value;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

/// One file being read.
pub(super) struct Session<'a> {
    /// Its values.
    pub(super) tree: &'a Tree,
    /// Its text.
    pub(super) text: &'a str,
    /// What may stand in it, for help.
    make_schema: Option<fn() -> Value>,
    schema: OnceCell<Value>,
    marks: RefCell<Marks>,
}

#[derive(Default)]
struct Marks {
    /// Values that are left out from now on.
    dropped: HashSet<Id>,
    /// Tables and lists somewhere in which a value was left out or made up.
    hurt: HashSet<Id>,
    /// Keys that are missing from a table, and how often a stand-in was tried.
    phantoms: HashMap<Id, Vec<(&'static str, u8)>>,
    /// Unknown keys, and what is known where they stand.
    strangers: Vec<(Id, &'static [&'static str])>,
    /// The keys of every table that was read, by its heading.
    known: HashMap<String, &'static [&'static str]>,
}

impl<'a> Session<'a> {
    pub(super) fn new(tree: &'a Tree, text: &'a str, make_schema: Option<fn() -> Value>) -> Session<'a> {
        Session {
            tree,
            text,
            make_schema,
            schema: OnceCell::new(),
            marks: RefCell::default(),
        }
    }

    /// What may stand in the file. It takes a moment to make, so only a file with faults has it made.
    pub(super) fn schema(&self) -> Option<&Value> {
        self.make_schema.map(|make| self.schema.get_or_init(make))
    }

    /// Leaves a value out from now on.
    pub(super) fn drop(&self, id: Id) {
        let mut marks = self.marks.borrow_mut();
        marks.dropped.insert(id);
        marks.hurt.extend(self.tree.ancestors(id));
    }

    /// Whether a value is left out.
    pub(super) fn dropped(&self, id: Id) -> bool {
        self.marks.borrow().dropped.contains(&id)
    }

    /// Whether anything in this value was left out or made up.
    pub(super) fn hurt(&self, id: Id) -> bool {
        self.marks.borrow().hurt.contains(&id)
    }

    /// The children that are not left out.
    pub(super) fn children(&self, id: Id) -> Vec<Id> {
        let marks = self.marks.borrow();
        self.tree
            .children(id)
            .iter()
            .filter(|child| !marks.dropped.contains(child))
            .copied()
            .collect()
    }

    /// An unknown key: left out, and remembered. `known` is what may stand there.
    pub(super) fn stranger(&self, id: Id, known: &'static [&'static str]) {
        self.drop(id);
        self.marks.borrow_mut().strangers.push((id, known));
    }

    /// Every unknown key.
    pub(super) fn strangers(&self) -> Vec<(Id, &'static [&'static str])> {
        self.marks.borrow().strangers.clone()
    }

    /// Remembers the keys of the tables with this heading.
    pub(super) fn learn(&self, id: Id, fields: &'static [&'static str]) {
        self.marks
            .borrow_mut()
            .known
            .entry(self.tree.heading(id))
            .or_insert(fields);
    }

    /// The heading of a table that knows this key, the best for someone who wrote it under `heading`.
    pub(super) fn home_of(&self, key: &str, heading: &str) -> Option<String> {
        let marks = self.marks.borrow();
        let mut homes: Vec<&String> = marks
            .known
            .iter()
            .filter(|(_, keys)| keys.contains(&key))
            .map(|(home, _)| home)
            .collect();
        let apart = |home: &str| {
            let shared = home
                .split('.')
                .zip(heading.split('.'))
                .take_while(|(a, b)| a == b)
                .count();
            home.split('.').count() + heading.split('.').count() - 2 * shared
        };
        homes.sort_by_key(|home| (apart(home), home.as_str()));
        homes.first().map(|home| home.to_string())
    }

    /// The stand-ins of a table.
    pub(super) fn phantoms(&self, table: Id) -> Vec<(&'static str, u8)> {
        self.marks
            .borrow()
            .phantoms
            .get(&table)
            .cloned()
            .unwrap_or_default()
    }

    /// Lets something stand in for a missing key, or something else if it did before; `false`: all was tried.
    pub(super) fn pretend(&self, table: Id, field: &'static str, tries: u8) -> bool {
        let mut marks = self.marks.borrow_mut();
        marks.hurt.insert(table);
        marks.hurt.extend(self.tree.ancestors(table));
        let phantoms = marks.phantoms.entry(table).or_default();
        match phantoms.iter_mut().find(|(name, _)| *name == field) {
            None => phantoms.push((field, 0)),
            Some((_, tried)) => *tried += 1,
        }
        phantoms
            .iter()
            .any(|(name, tried)| *name == field && *tried < tries)
    }
}
