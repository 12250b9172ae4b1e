//! The parser's words, said again for a person who does not know TOML by heart.

use super::super::fault::Fault;
use super::Broken;

impl Broken {
    /// The fault as it is told.
    pub(super) fn fault(&self, text: &str) -> Fault {
        let raw = text.get(self.at.clone()).unwrap_or("");
        let line = text[self.line.clone()].trim();
        let rest = text[self.at.end.max(self.line.start)..]
            .split('\n')
            .next()
            .unwrap_or("")
            .trim();
        let key = line.split('=').next().unwrap_or("").trim();
        let heading = line.starts_with('[');
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
        let no_comment = || point("this is no comment", "a comment begins with `#`");
        let comment_like = |text: &str| {
            ["//", ";", "--", "/*"]
                .iter()
                .any(|start| text.starts_with(start))
        };
        match self.words.split(", expected").next().unwrap_or("") {
            "string values must be quoted" => self.unquoted(key, raw, rest),
            "duplicate key" => self.twice(text, line, raw),

            "key with no value" | "invalid unquoted key" if comment_like(line) => no_comment(),
            "key with no value" | "invalid unquoted key" if line.starts_with("- ") => {
                let (key, value) = line[2..].split_once(':').unwrap_or((&line[2..], " ..."));
                point("this is YAML, and the file is TOML", "a list is not written so").help(format!(
                    "each table of a list has a heading, such as `[[port]]`, and below it `{} = \"{}\"`",
                    key.trim(),
                    value.trim().trim_matches(['"', '\''])
                ))
            }
            "key with no value" | "invalid unquoted key" if line.contains(':') && !line.contains('=') => {
                let (key, value) = line.split_once(':').unwrap_or((line, ""));
                let (key, value) = (key.trim(), value.trim());
                let bare = value.starts_with(['"', '\'', '[', '{'])
                    || matches!(value, "true" | "false")
                    || value.parse::<f64>().is_ok();
                let help = match value {
                    "" => format!("a table has a heading: `[{key}]`, or `[[{key}]]` for one of several"),
                    value if bare => format!("write `{key} = {value}`"),
                    value => format!("write `{key} = \"{value}\"`"),
                };
                point("a key is followed by `=`", "expected `=`").help(help)
            }
            "key with no value" if line.ends_with('=') => {
                point("a key without a value", "expected a value").help(format!("write `{key} = ...`"))
            }
            "key with no value" if line.contains('=') => point(
                "several words before the `=`",
                "a key is one word, with `-` between its parts",
            ),
            "key with no value" => {
                let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, "..."));
                let title = if value == "..." {
                    "a key without a value"
                } else {
                    "the `=` is missing"
                };
                point(title, "expected `=`").help(format!("write `{key} = {}`", value.trim()))
            }
            "invalid unquoted key" => {
                let title = format!("`{}` cannot stand in a key", escaped(raw));
                point(&title, "a key has letters, digits, `-` and `_`")
            }
            "unquoted keys cannot be empty" if heading => {
                point("a heading without a name", "expected the name of a table")
            }
            "unquoted keys cannot be empty" => point("a key is missing", "expected a key"),

            "unclosed table" => point("this heading is never closed", "expected `]`"),
            "unclosed array table" => point("this heading is never closed", "expected `]]`"),
            "unexpected key or value" if comment_like(rest) => no_comment(),
            "unexpected key or value" if heading => {
                let name = line.trim_start_matches('[').split(']').next().unwrap_or("");
                point("something follows the heading", "expected the end of the line").help(format!(
                    "a heading is `[{name}]` for one table, `[[{name}]]` for one of several"
                ))
            }
            "unexpected key or value" => point("something follows the value", "expected the end of the line")
                .help("one key to a line; a comment begins with `#`"),

            "invalid basic string" | "invalid literal string"
                if self.words.ends_with("`\"`") || self.words.ends_with("`'`") =>
            {
                let quote = if self.words.ends_with("`'`") { "'" } else { "\"" };
                let other = if quote == "'" { '"' } else { '\'' };
                let mixed = format!("it begins with `{quote}` and ends with `{other}`: take one kind");
                point("this text is never closed", &format!("expected `{quote}`"))
                    .helps(line.ends_with(other).then_some(mixed))
            }
            "missing escaped value" | "invalid escape sequence" => point(
                "an unknown escape",
                "after `\\` expected `n`, `r`, `t`, `\"`, `\\`, `xHH` or `uHHHH`",
            )
            .help("for a plain backslash write `\\\\`, or put the text in single quotes: '...'"),
            "invalid basic string" | "invalid multi-line basic string" | "invalid literal string" => {
                let label = format!("`{}` must be written as an escape", escaped(raw));
                point("a character that cannot stand in text", &label)
            }

            "invalid boolean" => point("wrong value", "expected `true` or `false`, in lower case")
                .help(format!("write `{key} = {}`", raw.to_lowercase())),
            "unexpected leading zero" if usb_id(text, self.at.start).is_some() => {
                let (key, id) = usb_id(text, self.at.start).unwrap_or_default();
                point("a number with a leading zero", "a USB id is hexadecimal")
                    .help(format!("write `{key} = \"{id}\"` or `{key} = 0x{id}`"))
            }
            "unexpected leading zero" => point("a number with a leading zero", "take it away")
                .help("hexadecimal is `0x1f`, octal `0o17`, and text stands in quotes"),
            "`_` may only go between digits" => point("wrong number", "`_` may only stand between digits"),
            words if words.starts_with("invalid") && NUMBERS.iter().any(|part| words.ends_with(part)) => {
                let value = line.split_once('=').map_or(line, |(_, value)| value);
                let value = value.split('#').next().unwrap_or("").trim();
                point("wrong number", "this does not fit into a number")
                    .help(format!("if it is text, put it in quotes: `{key} = \"{value}\"`"))
            }

            "missing comma between key-value pairs" | "missing comma between array elements" => {
                point("a comma is missing", "expected `,`")
            }
            "extra comma in inline table" | "extra comma in array" => {
                point("a comma too many", "nothing stands before this comma")
            }
            "cannot recurse further; max recursion depth met" | "recursion limit" => {
                point("nested too deeply", "no setting of ours lies this deep")
            }
            _ => {
                let words = self.words.replace(", expected nothing", "");
                let (title, label) = words.split_once(", ").unwrap_or((words.as_str(), "not TOML"));
                point(title, label)
            }
        }
    }

    /// A value that was left without quotes.
    fn unquoted(&self, key: &str, raw: &str, rest: &str) -> Fault {
        let fault = |title: String, label: &str| Fault::at(self.at.clone(), title, label);
        let write = |value: &str| format!("write `{key} = {value}`");
        let number: String = raw
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        match raw.to_lowercase().as_str() {
            "" => fault("a key without a value".into(), "expected a value").help(write("...")),
            "yes" | "on" => {
                fault(format!("TOML has no `{raw}`"), "expected `true` or `false`").help(write("true"))
            }
            "no" | "off" => {
                fault(format!("TOML has no `{raw}`"), "expected `true` or `false`").help(write("false"))
            }
            "none" | "null" | "nil" => {
                fault(format!("TOML has no `{raw}`"), "text stands in quotes").help(format!(
                    "{}, or leave the line out if nothing is meant",
                    write(&format!("\"{raw}\""))
                ))
            }
            _ if rest.starts_with('=') => {
                fault("several keys on one line".into(), "expected one value").help("one key to a line")
            }
            _ if raw.contains(['"', '\'']) => fault("not a value that TOML knows".into(), "expected a value"),
            _ if key.contains(['[', '{']) || rest.starts_with([',', ']', '}']) => {
                fault(format!("`{raw}` is no value"), "expected one value")
                    .help("text stands in quotes; a comma stands between two values")
            }
            _ if !number.is_empty() => {
                let help = format!("a number: `{key} = {number}`; text: `{key} = \"{raw}\"`");
                fault(
                    format!("`{raw}` is neither a number nor text"),
                    "expected a value",
                )
                .help(help)
            }
            _ => fault(format!("`{raw}` must stand in quotes"), "text stands in quotes")
                .help(write(&format!("\"{raw}\""))),
        }
    }

    /// A key or a heading that stands twice.
    fn twice(&self, text: &str, line: &str, raw: &str) -> Fault {
        let fault = |title: String, label: &str| Fault::at(self.at.clone(), title, label);
        if !line.starts_with('[') {
            let fault = fault(format!("the key `{raw}` stands here twice"), "again here");
            return self.with_first(fault, "first here").help("keep one of them");
        }
        let name = line.trim_matches(['[', ']']);
        let first = self.first.as_ref().map(|first| text[first.clone()].trim());
        let itself =
            first.is_some_and(|first| first.trim_matches(['[', ']']) == name && first.starts_with('['));
        if !itself {
            let fault = fault(format!("the heading `{line}` comes too late"), "begins here");
            return self.with_first(fault, "but this is already in it").help(format!(
                "put `{line}` with its keys above the headings of what is in it"
            ));
        }
        let fault = fault(format!("the table `{name}` stands here twice"), "again here");
        let fault = self.with_first(fault, "first here");
        match line.starts_with("[[") || first.is_some_and(|first| first.starts_with("[[")) {
            true => fault.help(format!(
                "each of several is headed `[[{name}]]`, the only one `[{name}]`"
            )),
            false => fault.help("put the keys of both under one heading"),
        }
    }

    fn with_first(&self, fault: Fault, label: &str) -> Fault {
        match &self.first {
            Some(first) => fault.also(first.clone(), label),
            None => fault,
        }
    }
}

/// How the parser's words about numbers end.
const NUMBERS: [&str; 5] = ["float", "mantissa", "fraction", "exponent", "integer"];

/// What cannot be seen, as an escape.
fn escaped(raw: &str) -> String {
    raw.chars().flat_map(char::escape_debug).collect()
}

/// The key and the digits, if it is a USB id that stands here.
fn usb_id(text: &str, at: usize) -> Option<(&str, &str)> {
    let before = text.get(..at)?.trim_end().strip_suffix('=')?.trim_end();
    let key = ["vid", "pid"].into_iter().find(|key| before.ends_with(key))?;
    let rest = text.get(at..)?;
    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    Some((key, &rest[..end]))
}
