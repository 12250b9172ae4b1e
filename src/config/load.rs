//! Reads a text into a type and finds every fault at once, although serde stops at the first.
//!
//! The text is parsed into a tree, and the type read from it. Where the reading stops, the fault is noted, the
//! bad value is left out (or something stands in for a missing one) and the type is read again, until nothing
//! more is wrong. What only follows from another fault is not told.

use super::error::{At, Error, Kind, Parts};
use super::fault::Fault;
use super::phantom::TRIES;
use super::reader::Reader;
use super::session::Session;
use super::suggest::nearest;
use super::syntax;
use super::tree::{Id, ROOT, Tree, Value};
use serde::de::DeserializeOwned;
use std::collections::HashSet;

/// After so many rounds the rest of the faults waits for the next time.
const ROUNDS: usize = 200;

/// A text that was read, as far as that was possible.
pub struct Loaded<T> {
    /// What it says. With faults, parts of it are left out or made up: to look for more faults in, no more.
    pub value: Option<T>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    tree: Tree,
    sound: Sound,
}

/// Which parts of the tree were read as they stand.
struct Sound {
    dropped: Vec<bool>,
    hurt: Vec<bool>,
    syntax: bool,
}

/// Reads a text into `T`.
pub fn load<T: DeserializeOwned>(text: &str) -> Loaded<T> {
    load_with(text, None)
}

/// Reads a text into `T`, whose JSON Schema helps to say what is missing.
pub(crate) fn load_with<T: DeserializeOwned>(
    text: &str,
    schema: Option<fn() -> serde_json::Value>,
) -> Loaded<T> {
    let parsed = syntax::parse(text);
    let session = Session::new(&parsed.tree, text, schema);
    for id in &parsed.bad {
        session.drop(*id);
    }
    let mut faults = parsed.faults;
    let broken = !faults.is_empty();
    let value = read(&session, broken, &mut faults);
    let mut listed = HashSet::new();
    for (id, known) in session.strangers().into_iter().take(ROUNDS) {
        let mut fault = session.stranger_fault(id, known);
        // One list of a table's keys is enough.
        fault.help.retain(|line| listed.insert(line.clone()));
        faults.push(fault);
    }
    let every = || parsed.tree.ids();
    let sound = Sound {
        dropped: every().map(|id| session.dropped(id)).collect(),
        hurt: every().map(|id| session.hurt(id)).collect(),
        syntax: broken,
    };
    Loaded {
        value,
        faults,
        tree: parsed.tree,
        sound,
    }
}

fn read<T: DeserializeOwned>(session: &Session<'_>, broken: bool, faults: &mut Vec<Fault>) -> Option<T> {
    for _ in 0..ROUNDS {
        let error = match T::deserialize(Reader::new(session, ROOT)) {
            Ok(value) => return Some(value),
            Err(Error(error)) => error,
        };
        match (error.at, &error.kind) {
            (Some(At::Value(table)), Kind::Missing(field)) => {
                if !broken && !explained(session, table, field) {
                    faults.push(session.fault(&error));
                }
                if !session.pretend(table, field, TRIES) && !give_up(session, table) {
                    break;
                }
            }
            (Some(At::Phantom(table, field)), _) => {
                if !session.pretend(table, field, TRIES) && !give_up(session, table) {
                    break;
                }
            }
            (Some(At::Key(id)), Kind::Field { known }) => session.stranger(id, known),
            (Some(At::Value(id) | At::Key(id)), _) => {
                if !follows(session, id, &error) {
                    faults.push(session.fault(&error));
                }
                // A variant's unknown name makes the whole choice unreadable, not only the name's own value.
                let whole = match (error.at, &error.kind) {
                    (Some(At::Key(id)), Kind::Variant { .. } | Kind::Shape { .. }) => {
                        session.tree.node(id).parent
                    }
                    _ => id,
                };
                if !give_up(session, whole) {
                    break;
                }
            }
            (None, _) => {
                faults.push(session.fault(&error));
                break;
            }
        }
    }
    None
}

/// Leaves the value out; `false` if it is the whole file or was left out before.
fn give_up(session: &Session<'_>, id: Id) -> bool {
    let new = id != ROOT && !session.dropped(id);
    session.drop(id);
    new
}

/// Whether a missing key is only another side of a fault that is told anyway.
fn explained(session: &Session<'_>, table: Id, field: &'static str) -> bool {
    let bad = session
        .tree
        .entry(table, field)
        .is_some_and(|id| session.dropped(id));
    let misspelt = session.strangers().into_iter().any(|(id, known)| {
        let node = session.tree.node(id);
        let name = node.key.as_ref().map_or("", |key| &key.name);
        node.parent == table && nearest(name, known.iter().copied()) == Some(field)
    });
    bad || misspelt
}

/// Whether an error about a value only follows from what was left out of it.
fn follows(session: &Session<'_>, id: Id, error: &Parts) -> bool {
    let about_parts = matches!(
        error.kind,
        Kind::Said(_) | Kind::Length { .. } | Kind::Value { .. }
    );
    session.hurt(id) && (about_parts || session.children(id).is_empty())
}

impl<T> Loaded<T> {
    /// The place of `port[2].publish[0].topic` in the text, or of the nearest table above it, counting list
    /// elements as `value` has them. None if what stands there was left out, or if something was left out of
    /// the table in which it is missed: then the words about it would be about our doing.
    pub(crate) fn place(&self, path: &str) -> Option<std::ops::Range<usize>> {
        let mut at = ROOT;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match step.strip_suffix(']') {
                Some(index) => {
                    let index = index.parse::<usize>().ok()?;
                    let kept = |id: &&Id| !self.sound.dropped[**id];
                    self.tree.children(at).iter().filter(kept).nth(index).copied()
                }
                None => self.tree.entry(at, step),
            };
            match next {
                Some(id) if self.sound.dropped[id] => return None,
                Some(id) => at = id,
                None if self.sound.hurt[at] => return None,
                None => break,
            }
        }
        let whole = matches!(self.tree.node(at).value, Value::Table(_) | Value::List(_));
        (!(whole && self.sound.hurt[at])).then(|| self.tree.node(at).span.clone())
    }

    /// Whether the text was good TOML, so that what is not there was not written.
    pub(crate) fn complete(&self) -> bool {
        !self.sound.syntax
    }
}
