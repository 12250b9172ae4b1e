//! The parser's faults, each told once and in plain words, and the tree of what is good around them.
//!
//! After the first fault of a line the rest of the line is not trusted: the line is blanked and the text parsed
//! again, so that a missing bracket does not spoil everything below it.

mod words;

use super::fault::Fault;
use super::tree::{Id, ROOT, Tree, Value};
use std::collections::HashSet;
use std::ops::Range;
use toml::de::DeTable;

/// After so many faults the text is probably no TOML at all.
const MOST: usize = 40;

/// A text as far as it is TOML.
pub(super) struct Parsed {
    /// What was understood.
    pub(super) tree: Tree,
    /// What was not.
    pub(super) faults: Vec<Fault>,
    /// Values whose lines have faults: not to be looked at further.
    pub(super) bad: Vec<Id>,
}

/// Parses as much as can be.
pub(super) fn parse(text: &str) -> Parsed {
    let mut work = text.to_string();
    let mut faults = Vec::new();
    let mut told = HashSet::new();
    let mut spoilt = HashSet::new();
    loop {
        let (root, errors) = DeTable::parse_recoverable(&work);
        let tree = Tree::new(root.get_ref());
        let next = if faults.len() < MOST {
            next(&errors, &work, &tree, &told)
        } else {
            None
        };
        let Some(broken) = next else {
            let bad = bad(text, &tree, &told, &spoilt);
            return Parsed { tree, faults, bad };
        };
        told.insert(broken.line.start);
        if broken.words == "duplicate key" {
            spoilt.insert(broken.line.start);
            spoilt.extend(
                broken
                    .first
                    .as_ref()
                    .map(|first| line_of(text, first.start).start),
            );
        }
        faults.push(broken.fault(text));
        broken.mend(&mut work);
    }
}

/// The values on the lines that faults were told of. A heading that was mended is none of them.
fn bad(text: &str, tree: &Tree, told: &HashSet<usize>, spoilt: &HashSet<usize>) -> Vec<Id> {
    let lines = Lines::new(text);
    let touched = |id: &Id| {
        let node = tree.node(*id);
        let heading = text
            .get(node.span.clone())
            .is_some_and(|raw| raw.starts_with('['))
            && matches!(node.value, Value::Table(_) | Value::List(_))
            && text[lines.around(node.span.start)].trim_start().starts_with('[');
        let empty = node.key.as_ref().is_some_and(|key| key.name.is_empty());
        let lines = [node.key.as_ref().map(|key| &key.span), Some(&node.span)]
            .into_iter()
            .flatten()
            .map(|span| lines.around(span.start).start);
        let bad = if heading && !empty { spoilt } else { told };
        *id != ROOT && lines.into_iter().any(|line| bad.contains(&line))
    };
    tree.ids().filter(touched).collect()
}

/// The first fault that is not told yet. Each line has only one.
fn next(errors: &[toml::de::Error], text: &str, tree: &Tree, told: &HashSet<usize>) -> Option<Broken> {
    let lines = Lines::new(text);
    let start = |error: &toml::de::Error| error.span().map_or(text.len(), |span| span.start);
    let mut ordered: Vec<&toml::de::Error> = errors.iter().collect();
    ordered.sort_by_key(|error| start(error));
    ordered.dedup_by_key(|error| lines.around(start(error)).start);
    let mut untold = ordered.into_iter().map(|error| Broken::new(error, text, tree));
    untold.find(|broken| !told.contains(&broken.line.start))
}

/// One fault of the parser.
struct Broken {
    words: String,
    at: Range<usize>,
    /// The line that is to blame.
    line: Range<usize>,
    /// Where the list, table or text begins that is never closed.
    opener: Option<Range<usize>>,
    /// The same key before, if this one stands twice.
    first: Option<Range<usize>>,
}

impl Broken {
    fn new(error: &toml::de::Error, text: &str, tree: &Tree) -> Broken {
        let words = error.message().to_string();
        let span = error.span().unwrap_or(text.len()..text.len());
        let mut at = span.start.min(text.len())..span.end.min(text.len());
        let mut opener = None;
        let unclosed = ["unclosed array,", "unclosed inline", "missing comma"];
        if unclosed.iter().any(|known| words.contains(known)) {
            opener = never_closed(text, tree, at.start);
        } else if words.contains("invalid multi-line") && at.start >= text.trim_end().len() {
            opener = open_text(tree, at.end);
        }
        // Noticed only at the start of a later line: it is the line before that ends too soon.
        if at.is_empty() && text[line_of(text, at.start).start..at.start].trim().is_empty() {
            let end = text[..at.start].trim_end().len();
            at = end..end;
        }
        let first = (words == "duplicate key")
            .then(|| first_of(text, tree, &at))
            .flatten();
        let line = line_of(text, opener.as_ref().map_or(at.start, |opener| opener.start));
        Broken {
            words,
            at,
            line,
            opener,
            first,
        }
    }

    /// Makes the text such that this fault is gone and no other comes of it. Places stay as they are.
    fn mend(&self, text: &mut String) {
        let keeps_shape = [
            "string values",
            "duplicate",
            "invalid boolean",
            "unexpected leading",
            "invalid float",
        ]
        .iter()
        .any(|known| self.words.starts_with(known));
        let header = text[self.line.clone()].trim_end().to_string();
        let heading = header.trim_start().starts_with('[');
        let close = match self.words.split(',').next() {
            Some("unclosed table") => "]",
            Some("unclosed array table") if header.ends_with(']') => "]",
            Some("unclosed array table") => "]]",
            _ => "",
        };
        let mut blanked = self.line.clone();
        if self.opener.is_none() && keeps_shape {
            return;
        }
        if !close.is_empty() && !header.contains('#') {
            // The bracket takes the place of the line's end; the line below it is lost.
            blanked.start += header.len();
            while blanked.len() < close.len() + 1 && blanked.end < text.len() {
                blanked.end = line_of(text, blanked.end + 1).end;
            }
        } else if heading && self.words.starts_with("unexpected key or value") {
            blanked.start = self.at.start;
        } else if heading && self.opener.is_none() {
            return;
        }
        let room = blanked.len().saturating_sub(close.len());
        let with = format!("{close}{}", " ".repeat(room));
        text.replace_range(blanked, &with);
    }
}

/// Where the lines of a text begin and end.
struct Lines {
    starts: Vec<usize>,
    len: usize,
}

impl Lines {
    fn new(text: &str) -> Lines {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        let starts = std::iter::once(0).chain(ends.map(|end| end + 1)).collect();
        Lines {
            starts,
            len: text.len(),
        }
    }

    /// The line around a place, with its end.
    fn around(&self, at: usize) -> Range<usize> {
        let after = self.starts.partition_point(|start| *start <= at);
        self.starts[after - 1]..self.starts.get(after).copied().unwrap_or(self.len)
    }
}

/// The line around a place, without its end.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    let bytes = text.as_bytes();
    let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |end| end + 1);
    start..memchr::memchr(b'\n', &bytes[at..]).map_or(text.len(), |end| at + end)
}

/// The bracket of the innermost list or inline table that begins before a place and has no end of its own.
fn never_closed(text: &str, tree: &Tree, at: usize) -> Option<Range<usize>> {
    let open = |id: &Id| {
        let node = tree.node(*id);
        let close = match (&node.value, text.as_bytes().get(node.span.start)) {
            (Value::List(_), Some(b'[')) => b']',
            (Value::Table(_), Some(b'{')) => b'}',
            _ => return false,
        };
        let closed = node.span.len() > 1 && text.as_bytes()[node.span.end - 1] == close;
        !closed && node.span.start < at
    };
    let id = tree
        .ids()
        .filter(open)
        .max_by_key(|id| tree.node(*id).span.start)?;
    let start = tree.node(id).span.start;
    Some(start..start + 1)
}

/// The quotes of the multi-line text that reaches this place.
fn open_text(tree: &Tree, end: usize) -> Option<Range<usize>> {
    let reaches = |id: &Id| {
        let node = tree.node(*id);
        matches!(node.value, Value::Text(_)) && node.span.end >= end
    };
    let id = tree
        .ids()
        .filter(reaches)
        .max_by_key(|id| tree.node(*id).span.start)?;
    let start = tree.node(id).span.start;
    Some(start..start + 3)
}

/// The place before this one where the same key or heading stands.
fn first_of(text: &str, tree: &Tree, again: &Range<usize>) -> Option<Range<usize>> {
    let name = &text[again.clone()];
    let keys = tree.ids().filter_map(|id| tree.node(id).key.as_ref());
    let before = keys.filter(|key| key.span.end <= again.start && &text[key.span.clone()] == name);
    let line = line_of(text, again.start);
    let header = text[line.clone()].trim();
    if !header.starts_with('[') {
        return before
            .max_by_key(|key| key.span.start)
            .map(|key| key.span.clone());
    }
    let bare = header.trim_matches(['[', ']']);
    let mut offset = 0;
    for line in text[..line.start].split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') && trimmed.trim_matches(['[', ']']) == bare {
            let start = offset + line.len() - line.trim_start().len();
            return Some(start..start + trimmed.len());
        }
        offset += line.len();
    }
    // Not itself, but as part of another heading: `[[port.publish]]` before `[[port]]`.
    before
        .min_by_key(|key| key.span.start)
        .map(|key| key.span.clone())
}
