//! Topic names and topic filters: parsed once, then cloned and matched cheaply. No I/O.
//!
//! The rules are those of MQTT 3.1.1 and 5.0, section 4.7.

mod compare;
mod config;
mod template;

pub(crate) use compare::{covers, intersection, matches};

pub use template::{RenderError, Template, TemplateError};

use bytes::Bytes;
use std::fmt;

/// The longest topic name or filter, in bytes (MQTT section 1.5.3: a UTF-8 string's length is 16 bits).
pub const MAX_LEN: usize = 65_535;

/// A topic name that a message is published to: not empty, no wildcards, no NUL. A clone costs no copy.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Bytes);

/// A topic filter that a subscription asks for: like a name, and `+` and `#` may stand for levels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Bytes);

/// Why a text is not a topic name or filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// MQTT-4.7.3-1: at least one character.
    #[error("a topic must not be empty")]
    Empty,
    /// MQTT-4.7.3-3: at most 65,535 bytes.
    #[error("a topic of {0} bytes is longer than the 65535 that MQTT allows")]
    TooLong(usize),
    /// MQTT-4.7.3-2: no NUL.
    #[error("a topic must not hold the character NUL (U+0000)")]
    Nul,
    /// MQTT-4.7.1-1: wildcards are for filters.
    #[error("a topic name must not hold the wildcard '{0}': only filters may")]
    Wildcard(char),
    /// MQTT-4.7.1-3: `+` fills a whole level.
    #[error("'+' must fill a whole level of the filter, as in \"a/+/b\"")]
    PlusNotAlone,
    /// MQTT-4.7.1-2: `#` is the last level, alone.
    #[error("'#' must be the last level of the filter and stand alone, as in \"a/#\"")]
    HashNotLast,
}

fn common(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        Err(Error::Empty)
    } else if text.len() > MAX_LEN {
        Err(Error::TooLong(text.len()))
    } else if text.contains('\0') {
        Err(Error::Nul)
    } else {
        Ok(())
    }
}

impl Topic {
    /// Takes a text that is a topic name by MQTT's rules.
    pub fn parse(text: &str) -> Result<Topic, Error> {
        common(text)?;
        match text.chars().find(|c| matches!(c, '+' | '#')) {
            Some(c) => Err(Error::Wildcard(c)),
            None => Ok(Topic(Bytes::copy_from_slice(text.as_bytes()))),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a topic is made from a str")
    }

    /// The name as bytes, without a copy.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl Filter {
    /// Takes a text that is a topic filter by MQTT's rules.
    pub fn parse(text: &str) -> Result<Filter, Error> {
        common(text)?;
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return Err(Error::HashNotLast);
            }
            if level.contains('+') && level != "+" {
                return Err(Error::PlusNotAlone);
            }
        }
        Ok(Filter(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// The filter as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a filter is made from a str")
    }

    /// Whether a message published to `topic` is for this filter (MQTT section 4.7.1 and 4.7.2).
    pub fn matches(&self, topic: &Topic) -> bool {
        self.overlaps_text(topic.as_str())
    }

    /// Whether some topic name would match both filters.
    pub fn overlaps(&self, other: &Filter) -> bool {
        self.overlaps_text(other.as_str())
    }

    /// How many wildcards it has.
    pub fn wildcards(&self) -> usize {
        self.as_str()
            .split('/')
            .filter(|level| matches!(*level, "+" | "#"))
            .count()
    }

    /// What the `n`-th wildcard, from 1, stands for in a topic that matches: a level, or for `#` all that is
    /// left, which may be nothing.
    pub fn capture<'t>(&self, n: usize, topic: &'t Topic) -> Option<&'t str> {
        let mut rest = Some(topic.as_str());
        let mut count = 0;
        for level in self.as_str().split('/') {
            count += usize::from(matches!(level, "+" | "#"));
            if level == "#" {
                return (count == n).then(|| rest.unwrap_or_default());
            }
            let (here, after) = match rest?.split_once('/') {
                Some((here, after)) => (here, Some(after)),
                None => (rest?, None),
            };
            if level == "+" && count == n {
                return Some(here);
            }
            rest = after;
        }
        None
    }

    fn overlaps_text(&self, other: &str) -> bool {
        compare::overlap(self.as_str(), other)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        Filter::parse(filter)
            .unwrap()
            .matches(&Topic::parse(topic).unwrap())
    }

    #[test]
    fn matching_follows_the_standards_examples() {
        for topic in [
            "sport/tennis/player1",
            "sport/tennis/player1/ranking",
            "sport/tennis/player1/score/w",
        ] {
            assert!(matches("sport/tennis/player1/#", topic), "{topic}");
        }
        assert!(matches("sport/#", "sport"));
        assert!(matches("#", "a/b"));
        assert!(!matches("#", "$SYS/uptime"));
        assert!(!matches("+/monitor/Clients", "$SYS/monitor/Clients"));
        assert!(matches("$SYS/#", "$SYS/monitor"));
        assert!(matches("sport/tennis/+", "sport/tennis/player1"));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("sport/+", "sport/"));
        assert!(matches("+/+", "/finance"));
        assert!(!matches("+", "/finance"));
    }

    #[test]
    fn overlap_is_what_two_filters_share() {
        let overlap = |a: &str, b: &str| Filter::parse(a).unwrap().overlaps(&Filter::parse(b).unwrap());
        assert!(overlap("home/+/set", "home/air/+"));
        assert!(overlap("home/#", "home/air/state"));
        assert!(!overlap("home/+/set", "home/air/state"));
        assert!(!overlap("a/b", "a/b/c"));
    }

    #[test]
    fn a_wildcard_captures_what_it_stands_for() {
        let topic = Topic::parse("home/air/set/fan/speed").unwrap();
        let filter = Filter::parse("home/+/set/#").unwrap();
        assert_eq!(filter.wildcards(), 2);
        assert_eq!(filter.capture(1, &topic), Some("air"));
        assert_eq!(filter.capture(2, &topic), Some("fan/speed"));
        assert_eq!(
            (filter.capture(0, &topic), filter.capture(3, &topic)),
            (None, None)
        );
        let parent = Topic::parse("home/air/set").unwrap();
        assert!(filter.matches(&parent));
        assert_eq!(filter.capture(2, &parent), Some(""));
        let last = Topic::parse("/x").unwrap();
        assert_eq!(Filter::parse("+/+").unwrap().capture(1, &last), Some(""));
        assert_eq!(Filter::parse("+/+").unwrap().capture(2, &last), Some("x"));
    }

    #[test]
    fn refuses_what_the_standard_refuses() {
        assert_eq!(Topic::parse(""), Err(Error::Empty));
        assert_eq!(Topic::parse("a/+"), Err(Error::Wildcard('+')));
        assert_eq!(Topic::parse("a\0"), Err(Error::Nul));
        assert_eq!(Topic::parse(&"a".repeat(65_536)), Err(Error::TooLong(65_536)));
        assert_eq!(Filter::parse("a/#/b"), Err(Error::HashNotLast));
        assert_eq!(Filter::parse("a#"), Err(Error::HashNotLast));
        assert_eq!(Filter::parse("a+/b"), Err(Error::PlusNotAlone));
    }
}
