//! mosquitto's two files: users with hashed passwords, and rules by topic. Read as mosquitto reads them, and what it
//! passes over in silence is told.

use super::hash::Secret;
use crate::broker::Access;
use crate::topic::Filter;

/// A line that says something else than its writer may think, or a line that can't be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    /// The line's number, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// A user of the password file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// None: the line has a name alone. A client certificate can be such a user, a password can't.
    pub(crate) secret: Option<Secret>,
}

/// The users of a password file, and the lines that were passed over: nobody can log in by one.
pub(crate) fn passwords(bytes: &[u8]) -> (Vec<Entry>, Vec<Remark>) {
    let (mut entries, mut remarks) = (Vec::<Entry>::new(), Vec::new());
    for (line, bytes) in numbered(bytes) {
        let mut remark = |what: String| remarks.push(Remark { line, what });
        let Ok(text) = std::str::from_utf8(bytes) else {
            remark("this is not UTF-8: the line is passed over".into());
            continue;
        };
        if text.starts_with('#') || text.trim().is_empty() {
            continue;
        }
        let Some((name, rest)) = text.split_once(':') else {
            remark("there is no ':' behind a user's name: the line is passed over".into());
            continue;
        };
        let name = name.trim();
        if name.is_empty() {
            remark("there is no name before the ':': the line is passed over".into());
            continue;
        }
        let hash = rest.split(':').next().unwrap_or_default().trim();
        let secret = match hash {
            "" => None,
            hash => match Secret::hashed(hash) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    remark(format!("\"{}\" can't log in: {error}", name.escape_debug()));
                    continue;
                }
            },
        };
        let name = name.to_owned();
        match entries.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => {
                remark(format!("\"{}\" is listed twice: this line counts", name.escape_debug()));
                entry.secret = secret;
            }
            None => entries.push(Entry { name, secret }),
        }
    }
    (entries, remarks)
}

/// Whom a line of an ACL file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those without a name: `topic` before the first `user`.
    Nameless,
    /// A user: `topic` behind his `user`.
    User(String),
    /// Everybody, with `%u` and `%c` put in: `pattern`.
    Everybody,
}

/// A line of an ACL file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) whom: Whom,
    pub(crate) access: Access,
    pub(crate) topic: Filter,
}

/// What an ACL file says.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) lines: Vec<Line>,
    /// Lines that are taken, and probably mean something else.
    pub(crate) remarks: Vec<Remark>,
    /// Lines that can't be. The file is not taken then: a rule that is left out may be one that denies.
    pub(crate) faults: Vec<Remark>,
}

/// Reads an ACL file.
pub(crate) fn rules(bytes: &[u8]) -> Rules {
    let mut rules = Rules::default();
    let mut whom = Whom::Nameless;
    for (line, bytes) in numbered(bytes) {
        let read = std::str::from_utf8(bytes)
            .map_err(|_| "this is not UTF-8".to_owned())
            .and_then(|text| rule(text.trim(), &mut whom));
        match read {
            Ok(None) => {}
            Ok(Some((rule, remark))) => {
                rules.lines.push(rule);
                rules.remarks.extend(remark.map(|what| Remark { line, what }));
            }
            Err(what) => rules.faults.push(Remark { line, what }),
        }
    }
    rules
}

fn rule(text: &str, whom: &mut Whom) -> Result<Option<(Line, Option<String>)>, String> {
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (word, rest) = first_word(text);
    let pattern = match word {
        "user" if rest.is_empty() => return Err("the user's name is missing".into()),
        "user" => {
            *whom = Whom::User(rest.to_owned());
            return Ok(None);
        }
        "topic" => false,
        "pattern" => true,
        _ => {
            let word = word.escape_debug();
            return Err(format!("a line begins with \"user\", \"topic\" or \"pattern\", not with \"{word}\""));
        }
    };
    if rest.is_empty() {
        return Err(format!("the topic is missing behind \"{word}\""));
    }
    let (access, topic) = match first_word(rest) {
        (topic, "") => (Access::Readwrite, topic),
        (access, topic) => (access_named(access)?, topic),
    };
    let filter = Filter::parse(topic).map_err(|error| error.to_string())?;
    let placeholder = topic.contains("%u") || topic.contains("%c");
    let remark = if topic == rest && access_named(topic).is_ok() {
        Some(format!("the topic is missing: this allows to read and write the topic \"{topic}\""))
    } else if pattern && !placeholder {
        Some("there is no %u and no %c in this pattern: it is for everybody".into())
    } else if !pattern && placeholder {
        Some("%u and %c stand for themselves here: a line with \"pattern\" puts the name in".into())
    } else {
        None
    };
    let whom = if pattern { Whom::Everybody } else { whom.clone() };
    let topic = filter;
    Ok(Some((Line { whom, access, topic }, remark)))
}

fn access_named(word: &str) -> Result<Access, String> {
    Ok(match word {
        "read" => Access::Read,
        "write" => Access::Write,
        "readwrite" => Access::Readwrite,
        "subscribe" => Access::Subscribe,
        "deny" => Access::Deny,
        _ => {
            let word = word.escape_debug();
            return Err(format!(
                "the access is \"read\", \"write\", \"readwrite\", \"subscribe\" or \"deny\", not \"{word}\""
            ));
        }
    })
}

fn first_word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn numbered(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n').enumerate().map(|(n, line)| (n + 1, line))
}
