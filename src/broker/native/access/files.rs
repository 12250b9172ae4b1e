//! mosquitto's two files: users with hashed passwords, and rules by topic. Read as mosquitto reads them, and what it
//! passes over in silence is told.

use crate::broker::Access;
use crate::broker::secret::Secret;
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
    /// None: the line has a name alone. No password opens that.
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
                remark(format!(
                    "\"{}\" is listed twice: this line counts",
                    name.escape_debug()
                ));
                entry.secret = secret;
            }
            None => entries.push(Entry { name, secret }),
        }
    }
    (entries, remarks)
}

/// The password file with a user's hash put in, or without the user; all other lines stay as they are. None: the
/// user that is to go isn't there.
pub(crate) fn with_password(bytes: &[u8], name: &str, hash: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + 128);
    let mut new = hash.map(|hash| format!("{name}:{hash}\n"));
    let mut found = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(line)
            .ok()
            .filter(|text| !text.starts_with('#'));
        let of = text
            .and_then(|text| text.split_once(':'))
            .map(|(name, _)| name.trim());
        if of == Some(name) {
            found = true;
            out.extend(new.take().unwrap_or_default().into_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    if let Some(new) = new {
        if out.last().is_some_and(|last| *last != b'\n') {
            out.push(b'\n');
        }
        out.extend(new.into_bytes());
    } else if !found && hash.is_none() {
        return None;
    }
    Some(out)
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
            return Err(format!(
                "a line begins with \"user\", \"topic\" or \"pattern\", not with \"{word}\""
            ));
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
        Some(format!(
            "the topic is missing: this allows to read and write the topic \"{topic}\""
        ))
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
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(n, line)| (n + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "$6$njERlZMi/7DzNB9E$iiavfuXvUm8iyDZArTy7smTxh07GXXOrOsqxfW6gkOYVXHGk+W+i/8d3xDxrMwEPygEBhoA8A/gjQC0N2M4Lkw==";

    fn users(text: &str) -> (Vec<(String, bool)>, Vec<usize>) {
        let (entries, remarks) = passwords(text.as_bytes());
        let entries = entries
            .into_iter()
            .map(|entry| (entry.name, entry.secret.is_some()));
        (
            entries.collect(),
            remarks.into_iter().map(|remark| remark.line).collect(),
        )
    }

    #[test]
    fn a_password_file_as_mosquitto_passwd_writes_it() {
        let text = format!("# comment\n\nair:{HASH}\r\n two words :{HASH}:more\nbadge:\n");
        let known = [("air", true), ("two words", true), ("badge", false)];
        let known = known.map(|(name, secret)| (name.to_owned(), secret));
        assert_eq!(users(&text), (known.to_vec(), vec![]));
    }

    /// The lines of mosquitto's test `09-pwfile-parse-invalid`: the other users can log in all the same.
    #[test]
    fn a_line_that_cannot_be_is_passed_over_and_told() {
        let half = HASH.rsplit_once('$').unwrap().0;
        let lines = [
            "comment".to_owned(),
            "bad:bad".into(),
            "bad:$".into(),
            "bad:$6".into(),
            "bad:$6$".into(),
            format!("bad:{half}"),
            format!("bad:{half}$"),
            format!("bad:{}", HASH.replace("$6$", "$5$")),
            format!(":{HASH}"),
            format!("bad:{}", HASH.replace("njERl", "njER{")),
            format!("bad:{}", HASH.replace("Xv", "Xv{}")),
        ];
        for line in lines {
            let text = format!("{line}\ntest:{HASH}\n");
            assert_eq!(users(&text), (vec![("test".to_owned(), true)], vec![1]), "{line}");
        }
        let (entries, remarks) = passwords(b"a\xff:$6$\nb:\n");
        assert_eq!((entries.len(), remarks[0].line), (1, 1));
    }

    #[test]
    fn of_two_lines_for_a_user_the_last_counts() {
        assert_eq!(
            users(&format!("a:{HASH}\na:\n")),
            (vec![("a".to_owned(), false)], vec![2])
        );
    }

    #[test]
    fn a_user_is_put_in_replaced_and_taken_out() {
        let put = |text: &str, name, hash| {
            with_password(text.as_bytes(), name, hash).map(|out| String::from_utf8(out).unwrap())
        };
        assert_eq!(put("", "a", Some("1")).unwrap(), "a:1\n");
        assert_eq!(put("# a:\nb:2", "a", Some("1")).unwrap(), "# a:\nb:2\na:1\n");
        assert_eq!(
            put("a :0\r\n\n:x\na:9\nb:2\n", "a", Some("1")).unwrap(),
            "a:1\n\n:x\nb:2\n"
        );
        assert_eq!(put("a:0\nb:2\n", "a", None).unwrap(), "b:2\n");
        assert_eq!(put("ab:0\n#a:1\n", "a", None), None);
    }

    fn read(text: &str) -> Vec<(Whom, Access, String)> {
        let rules = rules(text.as_bytes());
        assert_eq!(rules.faults, [], "{text}");
        let line = |line: Line| (line.whom, line.access, line.topic.to_string());
        rules.lines.into_iter().map(line).collect()
    }

    #[test]
    fn an_acl_file_as_mosquitto_reads_it() {
        let text = "#comment\n\ntopic a/b\ntopic deny      a/c \nuser air \ntopic read a b/#\r\n  topic write\ta/+\n\
            pattern readwrite x/%u/#\nuser two words\ntopic subscribe d";
        let user = |name: &str| Whom::User(name.into());
        let lines = [
            (Whom::Nameless, Access::Readwrite, "a/b"),
            (Whom::Nameless, Access::Deny, "a/c"),
            (user("air"), Access::Read, "a b/#"),
            (user("air"), Access::Write, "a/+"),
            (Whom::Everybody, Access::Readwrite, "x/%u/#"),
            (user("two words"), Access::Subscribe, "d"),
        ];
        assert_eq!(
            read(text),
            lines.map(|(whom, access, topic)| (whom, access, topic.to_owned()))
        );
        assert_eq!(read("#comment\n\n"), []);
    }

    #[test]
    fn what_a_line_can_hardly_mean_is_told() {
        let remarks = |text: &str| rules(text.as_bytes()).remarks.len();
        assert_eq!(remarks("topic read\n"), 1);
        assert_eq!(remarks("topic a/%u\n"), 1);
        assert_eq!(remarks("pattern read a\n"), 1);
        assert_eq!(remarks("topic read a\npattern a/%c\n"), 0);
    }

    #[test]
    fn lines_that_cannot_be_are_all_found() {
        let text = b"topics a\ntopic\nuser\nuser  \ntopic reads a\ntopic read a/#/b\nok\xff\ntopic a\n";
        let faults = rules(text).faults;
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7]);
        assert!(faults[4].what.contains("not \"reads\""), "{faults:?}");
    }

    fn odd() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "((topic|pattern|user|a|#) ?(read|write|deny|readwrite)?[ \t]*[a/+#%uc:$6 ]{0,8}\r?\n){0,8}"
                .prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_each_line_is_spoken_of_once(bytes in odd()) {
            let count = bytes.split(|byte| *byte == b'\n').count();
            let (entries, remarks) = passwords(&bytes);
            prop_assert!(entries.len() + remarks.len() <= count);
            let read = rules(&bytes);
            prop_assert!(read.lines.len() + read.faults.len() <= count);
            prop_assert!(read.faults.iter().chain(&read.remarks).all(|remark| (1..=count).contains(&remark.line)));
        }

        #[test]
        fn who_is_put_in_is_found_and_nobody_else_is_touched(bytes in odd(), name in "[a-z]{1,3}") {
            let others = |bytes: &[u8]| -> Vec<Vec<u8>> {
                let own = |line: &[u8]| String::from_utf8(line.to_vec()).is_ok_and(|line| {
                    !line.starts_with('#') && line.split_once(':').is_some_and(|(of, _)| of.trim() == name)
                });
                bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !own(line)).map(<[u8]>::to_vec).collect()
            };
            let with = with_password(&bytes, &name, Some(HASH)).unwrap();
            let found = passwords(&with).0;
            prop_assert_eq!(found.iter().filter(|entry| entry.name == name && entry.secret.is_some()).count(), 1);
            prop_assert_eq!(others(&with), others(&bytes));
            let without = with_password(&with, &name, None).unwrap();
            prop_assert!(passwords(&without).0.iter().all(|entry| entry.name != name));
            prop_assert_eq!(others(&without), others(&bytes));
            prop_assert_eq!(with_password(&without, &name, None), None);
        }

        #[test]
        fn rules_read_back(rules in prop::collection::vec((0u8..3, 0usize..5, "[a-z]{1,4}( [a-z]{1,3})?(/[a-z+]){0,2}"), 0..8)) {
            let words = ["read", "write", "readwrite", "subscribe", "deny"];
            let kinds = [Access::Read, Access::Write, Access::Readwrite, Access::Subscribe, Access::Deny];
            let (mut text, mut whom, mut wanted) = (String::new(), Whom::Nameless, Vec::new());
            for (kind, access, topic) in rules {
                let Ok(filter) = Filter::parse(&topic) else { continue };
                if kind == 0 {
                    let name = topic.replace('/', "-");
                    text.push_str(&format!("user {name}\n"));
                    whom = Whom::User(name);
                    continue;
                }
                let word = if kind == 1 { "topic" } else { "pattern" };
                text.push_str(&format!("{word} {} {topic}\n", words[access]));
                let whom = if kind == 1 { whom.clone() } else { Whom::Everybody };
                wanted.push(Line { whom, access: kinds[access], topic: filter });
            }
            prop_assert_eq!(super::rules(text.as_bytes()).lines, wanted);
        }
    }
}
