//! The parser's faults, each told once and in plain words, and the tree of what is good around them.
//!
//! After the first fault of a line the rest of the line is not trusted: the line is blanked and the text parsed
//! again, so that a missing bracket does not spoil everything below it.

use super::fault::Fault;
use super::tree::{Id, Tree, Value};
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
    let mut faults: Vec<Fault> = Vec::new();
    let mut told: HashSet<usize> = HashSet::new();
    loop {
        let (root, errors) = DeTable::parse_recoverable(&work);
        let tree = Tree::new(root.get_ref());
        let mut errors: Vec<Broken> = errors.iter().map(|e| Broken::new(e, &work, &tree)).collect();
        errors.sort_by_key(|e| (e.line.start, e.at.start));
        errors.retain(|e| !told.contains(&e.line.start));
        let Some(error) = errors.into_iter().next().filter(|_| faults.len() < MOST) else {
            let touches = |id: &Id| {
                let node = tree.node(*id);
                let key = node.key.as_ref().map(|key| line_of(text, key.span.start).start);
                let own = line_of(text, node.span.start).start;
                *id != 0 && (key.is_some_and(|line| told.contains(&line)) || told.contains(&own))
            };
            let bad = tree.ids().filter(touches).collect();
            return Parsed { tree, faults, bad };
        };
        told.insert(error.line.start);
        faults.push(error.fault(text));
        error.mend(&mut work);
    }
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
        if words.contains("unclosed array,")
            || words.contains("unclosed inline")
            || words.contains("missing comma")
        {
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

    fn fault(&self, text: &str) -> Fault {
        let raw = text.get(self.at.clone()).unwrap_or("");
        let line = text[self.line.clone()].trim();
        let key = line.split('=').next().unwrap_or("").trim();
        let point = |title: &str, label: &str| Fault::at(self.at.clone(), title, label);
        if let Some(opener) = &self.opener {
            let (what, close) = match &text[opener.clone()] {
                "[" => ("list", "]"),
                "{" => ("inline table", "}"),
                quotes => ("text", quotes),
            };
            return Fault::at(
                opener.clone(),
                format!("this {what} is never closed"),
                "opened here",
            )
            .help(format!("close it with `{close}`"));
        }
        match self.words.split(", expected").next().unwrap_or("") {
            "string values must be quoted" => unquoted(self.at.clone(), key, raw),
            "duplicate key" => {
                let table = line.starts_with('[');
                let title = match table {
                    true => format!("the table `{}` stands here twice", line.trim_matches(['[', ']'])),
                    false => format!("the key `{raw}` stands here twice"),
                };
                let fault = point(&title, "again here");
                let fault = match &self.first {
                    Some(first) => fault.also(first.clone(), "first here"),
                    None => fault,
                };
                match (table, line.starts_with("[[")) {
                    (true, false) => fault.help("put the keys of both under one heading"),
                    (true, true) => fault.help("`[[...]]` for one of several, `[...]` for the only one"),
                    (false, _) => fault.help("keep one of them"),
                }
            }
            "key with no value"
                if line.starts_with("//") || line.starts_with(';') || line.starts_with("--") =>
            {
                point("this is no comment", "a comment begins with `#`")
            }
            "key with no value" if line.contains(':') && !line.contains('=') => {
                let (key, value) = line.split_once(':').unwrap_or((line, ""));
                let help = format!("write `{} = {}`", key.trim(), value.trim());
                point("a key is followed by `=`", "expected `=`").help(help)
            }
            "key with no value" if line.ends_with('=') => {
                point("a key without a value", "expected a value").help(format!("write `{key} = ...`"))
            }
            "key with no value" => {
                let help = format!(
                    "write `{} = ...`",
                    line.split_whitespace().next().unwrap_or("key")
                );
                point("a key without a value", "expected `=` and a value").help(help)
            }
            "invalid unquoted key" => {
                let shown: String = raw.chars().flat_map(char::escape_debug).collect();
                let title = format!("`{shown}` cannot stand in a key");
                if raw == ":" {
                    let (key, value) = line.split_once(':').unwrap_or((line, ""));
                    let help = format!("write `{} = {}`", key.trim(), value.trim());
                    return point("a key is followed by `=`", "expected `=`").help(help);
                }
                if raw == ";" || line.starts_with("//") {
                    return point("this is no comment", "a comment begins with `#`");
                }
                point(&title, "a key has letters, digits, `-` and `_`")
            }
            "unquoted keys cannot be empty" => point("a key is missing", "expected a key"),
            "unclosed table" => point("this heading is never closed", "expected `]`"),
            "unclosed array table" => point("this heading is never closed", "expected `]]`"),
            "unexpected key or value" => {
                let fault = point("something follows the value", "expected the end of the line");
                if line.starts_with('[') {
                    let name = line.trim_matches(['[', ']']);
                    fault.help(format!(
                        "a heading is `[{name}]` for one table, `[[{name}]]` for one of several"
                    ))
                } else {
                    fault.help("one key to a line; a comment begins with `#`")
                }
            }
            "invalid basic string" | "invalid literal string"
                if self.words.ends_with("`\"`") || self.words.ends_with("`'`") =>
            {
                let quote = if self.words.ends_with("`'`") { "'" } else { "\"" };
                point("this text is never closed", &format!("expected `{quote}`"))
            }
            "missing escaped value" | "invalid escape sequence" => point(
                "an unknown escape",
                "after `\\` expected `n`, `r`, `t`, `\"`, `\\`, `xHH` or `uHHHH`",
            )
            .help("for a plain backslash write `\\\\`, or put the text in single quotes: '...'"),
            "invalid basic string" | "invalid multi-line basic string" | "invalid literal string" => {
                let shown: String = raw.chars().flat_map(char::escape_debug).collect();
                point(
                    "a character that cannot stand in text",
                    &format!("`{shown}` must be written as an escape"),
                )
            }
            "invalid boolean" => point("wrong value", "expected `true` or `false`, in lower case")
                .help(format!("write `{key} = {}`", raw.to_lowercase())),
            "unexpected leading zero" => point("a number with a leading zero", "take it away")
                .help("hexadecimal is `0x1f`, octal `0o17`, and text stands in quotes"),
            "missing comma between key-value pairs" | "missing comma between array elements" => {
                point("a comma is missing", "expected `,`")
            }
            "extra comma in inline table" | "extra comma in array" => {
                point("a comma too many", "nothing stands before this comma")
            }
            "cannot recurse further; max recursion depth met" | "recursion limit" => {
                point("nested too deeply", "no setting of ours lies this deep")
            }
            "`_` may only go between digits" => point("wrong number", "`_` may only stand between digits"),
            _ => {
                let words = self.words.replace(", expected nothing", "");
                let (title, label) = words.split_once(", ").unwrap_or((words.as_str(), "not TOML"));
                point(title, label)
            }
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
        if keeps_shape && self.opener.is_none() {
            return;
        }
        let header = text[self.line.clone()].trim_end().to_string();
        let close = match self.words.split(',').next() {
            Some("unclosed table") => "]",
            Some("unclosed array table") if header.ends_with(']') => "]",
            Some("unclosed array table") => "]]",
            _ => "",
        };
        let mut blanked = self.line.clone();
        if !close.is_empty() && !header.contains('#') {
            // The bracket takes the place of the line's end; the line below it is lost.
            blanked.start += header.len();
            while blanked.len() < close.len() + 1 && blanked.end < text.len() {
                blanked.end = line_of(text, blanked.end + 1).end;
            }
        }
        let with = format!("{close:width$}", width = blanked.len());
        text.replace_range(blanked, &with);
    }
}

/// The value that was left without quotes.
fn unquoted(at: Range<usize>, key: &str, raw: &str) -> Fault {
    let fault = |label: &str| Fault::at(at.clone(), format!("`{raw}` must stand in quotes"), label);
    match raw.to_lowercase().as_str() {
        "yes" | "on" => Fault::at(at, format!("TOML has no `{raw}`"), "expected `true` or `false`")
            .help(format!("write `{key} = true`")),
        "no" | "off" => Fault::at(at, format!("TOML has no `{raw}`"), "expected `true` or `false`")
            .help(format!("write `{key} = false`")),
        "none" | "null" | "nil" => fault("text stands in quotes").help(format!(
            "write `{key} = \"{raw}\"`, or leave the line out if nothing is meant"
        )),
        _ if raw.contains(['"', '\'']) => fault("not a value that TOML knows"),
        _ => fault("text stands in quotes").help(format!("write `{key} = \"{raw}\"`")),
    }
}

/// The line around a place, without its end.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    let start = text.as_bytes()[..at]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |n| n + 1);
    let end = text.as_bytes()[at..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |n| at + n);
    start..end
}

/// The bracket of the innermost list or inline table around a place that begins on an earlier line and has no
/// end of its own.
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
    let header = text[line_of(text, again.start)].trim();
    if header.starts_with('[') {
        let bare = header.trim_matches(['[', ']']);
        let mut offset = 0;
        for line in text[..line_of(text, again.start).start].split_inclusive('\n') {
            let trimmed = line.trim();
            if trimmed.starts_with('[') && trimmed.trim_matches(['[', ']']) == bare {
                let start = offset + line.len() - line.trim_start().len();
                return Some(start..start + trimmed.len());
            }
            offset += line.len();
        }
        return None;
    }
    let keys = tree.ids().filter_map(|id| tree.node(id).key.as_ref());
    let before = keys.filter(|key| key.span.end <= again.start && &text[key.span.clone()] == name);
    before
        .max_by_key(|key| key.span.start)
        .map(|key| key.span.clone())
}
