//! Filters held against topics and against each other, as texts: for those who keep many and compare often.

/// Whether a message published to `topic` is for `filter` (MQTT section 4.7.1 and 4.7.2).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    overlap(filter, topic)
}

/// Whether some topic name would match both filters; a topic name is a filter for itself.
pub(super) fn overlap(own: &str, other: &str) -> bool {
    if apart(own, other) {
        return false;
    }
    let (mut left, mut right) = (own.split('/'), other.split('/'));
    loop {
        match (left.next(), right.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, _) | (_, None) => return false,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// The filter that matches what both match.
pub(crate) fn intersection(a: &str, b: &str) -> Option<String> {
    if apart(a, b) {
        return None;
    }
    let (mut left, mut right) = (a.split('/'), b.split('/'));
    let mut levels = Vec::new();
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            // "a/#" is for "a", too: where one has ended, the other's "#" adds nothing.
            (Some("#"), None) | (None, Some("#")) => break,
            (Some("#"), Some(rest)) => {
                levels.push(rest);
                levels.extend(right);
                break;
            }
            (Some(rest), Some("#")) => {
                levels.push(rest);
                levels.extend(left);
                break;
            }
            (Some("+"), Some(level)) | (Some(level), Some("+")) => levels.push(level),
            (Some(a), Some(b)) if a == b => levels.push(a),
            _ => return None,
        }
    }
    Some(levels.join("/"))
}

/// Whether `wide` matches everything that `narrow` matches. No may be wrong where a "+/#" stands against a "#".
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    if apart(wide, narrow) {
        return false;
    }
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (_, Some("#")) | (None, _) | (_, None) => return false,
            (Some("+"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// A wildcard in the first level is not for topics that begin with `$`.
fn apart(a: &str, b: &str) -> bool {
    let wild = |text: &str| text.starts_with(['+', '#']);
    let system = |text: &str| text.starts_with('$');
    wild(a) && system(b) || system(a) && wild(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_two_filters_share() {
        for (a, b, both) in [
            ("a/#", "a/+/b", Some("a/+/b")),
            ("a/#", "+/b/#", Some("a/b/#")),
            ("a/#", "a", Some("a")),
            ("a/#", "b", None),
            ("#", "+", Some("+")),
            ("#", "a/#", Some("a/#")),
            ("#", "$a", None),
            ("a/+", "a", None),
        ] {
            assert_eq!(intersection(a, b).as_deref(), both, "{a} {b}");
            assert_eq!(intersection(b, a).as_deref(), both, "{b} {a}");
        }
    }

    #[test]
    fn what_covers_what() {
        for (wide, narrow) in [
            ("#", "a/b"),
            ("a/#", "a"),
            ("a/#", "a/+/#"),
            ("+/b", "a/b"),
            ("a", "a"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("+", "#"), ("a/+", "a/#"), ("a", "+"), ("#", "$a"), ("a/b", "a")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn they_agree_with_matching(a in FILTER, b in FILTER, topic in "[ab$](/[ab]?){0,3}") {
            let both = matches(&a, &topic) && matches(&b, &topic);
            let shared = intersection(&a, &b);
            prop_assert_eq!(shared.is_some(), overlap(&a, &b));
            prop_assert_eq!(shared.is_some_and(|shared| matches(&shared, &topic)), both);
            if covers(&a, &b) && matches(&b, &topic) {
                prop_assert!(matches(&a, &topic));
            }
        }
    }

    const FILTER: &str = "#|[ab+$](/[ab+]?){0,3}(/#)?";
}
