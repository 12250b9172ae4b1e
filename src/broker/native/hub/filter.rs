//! Filters and topics as clients send them: what is allowed, and what matches.

use bytestring::ByteString;

/// More levels than this are refused, in topics and in filters: what walks along them may then be recursive.
pub(super) const MOST_LEVELS: usize = 201;

/// A filter, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The group of a shared subscription (MQTT 5 section 4.8.2).
    pub(super) group: Option<ByteString>,
    /// The filter without the group.
    pub(super) filter: ByteString,
}

/// Why a filter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is none by the standard's grammar.
    Filter,
    /// It begins as that of a shared subscription, and its group is none.
    Group,
}

/// Takes a filter apart; `shared` where the version has shared subscriptions.
pub(super) fn parse(text: &ByteString, shared: bool) -> Result<Parsed, Invalid> {
    let (group, filter) = match text.strip_prefix("$share/").filter(|_| shared) {
        Some(rest) => {
            let (group, filter) = rest.split_once('/').ok_or(Invalid::Group)?;
            // MQTT-4.8.2-1 and MQTT-4.8.2-2.
            if group.is_empty() || group.contains(['+', '#']) {
                return Err(Invalid::Group);
            }
            (Some(text.slice_ref(group)), text.slice_ref(filter))
        }
        None if &**text == "$share" && shared => return Err(Invalid::Group),
        None => (None, text.clone()),
    };
    if valid(&filter) {
        Ok(Parsed { group, filter })
    } else {
        Err(Invalid::Filter)
    }
}

fn valid(filter: &str) -> bool {
    if filter.is_empty() || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    let mut count = 0;
    while let Some(level) = levels.next() {
        count += 1;
        let hash = level.contains('#') && (level != "#" || levels.peek().is_some());
        if hash || level.contains('+') && level != "+" {
            return false;
        }
    }
    count <= MOST_LEVELS
}

/// Whether a topic may be published to: the wire has looked at wildcards and NUL already.
pub(super) fn topic_has_few_levels(topic: &str) -> bool {
    topic.len() < MOST_LEVELS || memchr::memchr_iter(b'/', topic.as_bytes()).count() < MOST_LEVELS
}

/// Whether a filter holds a wildcard.
pub(super) fn is_wild(filter: &str) -> bool {
    memchr::memchr2(b'+', b'#', filter.as_bytes()).is_some()
}

/// Whether a topic matches a filter (section 4.7).
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut left, mut right) = (filter.split('/'), topic.split('/'));
    loop {
        match (left.next(), right.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// The literal text before a filter's first wildcard: every topic that matches begins with it, or is it without its
/// last `/`.
pub(super) fn prefix(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    filter[..end].strip_suffix('/').unwrap_or(&filter[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ByteString {
        ByteString::from(text)
    }

    #[test]
    fn filters_are_valid_as_the_standard_says() {
        for good in [
            "a",
            "/",
            "+",
            "#",
            "a/#",
            "+/a/+",
            "/#",
            "a//b",
            "$SYS/#",
            "$shared/x",
            "日本/+",
        ] {
            assert!(parse(&text(good), true).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a#",
            "a/#/b",
            "a+",
            "+a/b",
            "a/b#",
            "#/",
            "$share",
            "$share/",
            "$share/g",
            "$share//a",
        ] {
            assert!(parse(&text(bad), true).is_err(), "{bad}");
        }
        for bad in ["$share/g/", "$share/+/a", "$share/g#/a", "$share/g/a#"] {
            assert!(parse(&text(bad), true).is_err(), "{bad}");
        }
        let deep = vec!["a"; MOST_LEVELS + 1].join("/");
        assert_eq!(parse(&text(&deep), true), Err(Invalid::Filter));
        assert!(!topic_has_few_levels(&deep));
    }

    #[test]
    fn a_shared_filter_has_a_group() {
        let parsed = parse(&text("$share/g/a/+"), true).unwrap();
        assert_eq!((parsed.group, parsed.filter), (Some(text("g")), text("a/+")));
        let parsed = parse(&text("$share/g/a"), false).unwrap();
        assert_eq!(parsed.group, None, "before MQTT 5 it is a filter like any other");
    }

    #[test]
    fn topics_match_as_the_standard_says() {
        for (filter, topic) in [
            ("sport/#", "sport"),
            ("sport/#", "sport/a/b"),
            ("#", "/a"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("a/+/c", "a//c"),
            ("$SYS/#", "$SYS/x"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
            assert!(topic.starts_with(prefix(filter)), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("+", "/finance"),
            ("sport/+", "sport"),
            ("sport/+", "sport/a/b"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a", "A"),
            ("a/b", "a"),
            ("a", "a/"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }
}
