//! Topics with values in them: `home/{{ port }}/state`. Parsed once, rendered often.
//!
//! Values come from configuration or from a serial line, so they are never trusted to make a topic:
//! what could add a level, a wildcard or a system topic is percent-encoded, and no two values give one text.

use super::{Error, Filter, MAX_LEN, Topic};
use crate::template::{Formula, Mistake, Part, SplitError, Values, formula, split};
use bytes::Bytes;
use std::fmt::{self, Write as _};

/// A topic name with placeholders such as `{{ port }}` or `{{ field | lower }}`.
#[derive(Clone)]
pub struct Template {
    text: String,
    parts: Vec<Piece>,
    /// The topic itself, where there is no placeholder.
    fixed: Option<Topic>,
    filter: Filter,
}

#[derive(Clone)]
enum Piece {
    Literal(String),
    Name(String),
    Formula(Formula),
}

/// Why a text is not a topic template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The braces are wrong.
    #[error(transparent)]
    Braces(#[from] SplitError),
    /// A single brace, or a statement.
    #[error(
        "a topic holds '{0}' only as part of '{{{{ name }}}}': write '{{{{ port }}}}' for the port's name"
    )]
    Brace(char),
    /// A formula is wrong.
    #[error("`{{{{ {0} }}}}` is wrong: {1}")]
    Formula(String, Mistake),
    /// What stands around the placeholders could not be a topic.
    #[error(transparent)]
    Topic(#[from] Error),
    /// `$x{{ name }}/...`: no filter but itself would match what it gives (MQTT-4.7.2-1).
    #[error("the first level of a topic that starts with '$' must not hold a placeholder")]
    System,
}

/// Why a template gave no topic for the values at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no value of this name.
    #[error("there is no value {{{{ {0} }}}} for the topic")]
    Missing(String),
    /// The value is empty, and would leave an empty level or another topic.
    #[error("the value of {{{{ {0} }}}} is empty, and a topic cannot be made with it")]
    Empty(String),
    /// A formula fails.
    #[error("{{{{ {0} }}}}: {1}")]
    Formula(String, Mistake),
    /// With the values put in, the topic is longer than MQTT allows.
    #[error("with its values the topic is longer than the 65535 bytes that MQTT allows")]
    TooLong,
}

impl Template {
    /// Takes a text whose literal part is a topic name and whose braces close.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let piece = |part| {
            Ok(match part {
                Part::Literal(literal) => match literal.chars().find(|c| matches!(c, '{' | '}')) {
                    Some(brace) => return Err(TemplateError::Brace(brace)),
                    None => Piece::Literal(literal),
                },
                Part::Name(name) => Piece::Name(name),
                Part::Formula(text) => match formula(&text) {
                    Ok(formula) => Piece::Formula(formula),
                    Err(mistake) => return Err(TemplateError::Formula(text, mistake)),
                },
            })
        };
        let parts = split(text)?
            .into_iter()
            .map(piece)
            .collect::<Result<Vec<_>, _>>()?;
        // Any value without special characters shows whether the text around the values is good.
        let mut example = String::with_capacity(text.len());
        for part in &parts {
            match part {
                Piece::Literal(literal) => example.push_str(literal),
                Piece::Name(_) | Piece::Formula(_) => example.push('v'),
            }
        }
        let example = Topic::parse(&example)?;
        let filter = filter(&parts)?;
        let fixed = parts.iter().all(|part| matches!(part, Piece::Literal(_)));
        Ok(Template {
            text: text.to_owned(),
            parts,
            fixed: fixed.then_some(example),
            filter,
        })
    }

    /// The names of the values that it needs, in order, each as often as it occurs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| match part {
            Piece::Name(name) => std::slice::from_ref(name).iter().map(String::as_str),
            Piece::Formula(formula) => formula.names().iter().map(String::as_str),
            Piece::Literal(_) => [].iter().map(String::as_str),
        })
    }

    /// The topic, with the values put in. Without names it costs no copy.
    pub(crate) fn render(&self, values: &dyn Values) -> Result<Topic, RenderError> {
        if let Some(topic) = &self.fixed {
            return Ok(topic.clone());
        }
        let mut out = String::with_capacity(self.text.len() + 32);
        let mut scratch = String::new();
        for part in &self.parts {
            scratch.clear();
            let (name, value) = match part {
                Piece::Literal(literal) => {
                    out.push_str(literal);
                    continue;
                }
                Piece::Name(name) => match values.bytes(name, &mut scratch) {
                    None => return Err(RenderError::Missing(name.clone())),
                    Some(value) => (name.as_str(), value),
                },
                Piece::Formula(formula) => {
                    let name = formula.as_str();
                    match formula.render(values, &mut scratch) {
                        Err(mistake) => return Err(RenderError::Formula(name.to_owned(), mistake)),
                        Ok(()) => (name, scratch.as_bytes()),
                    }
                }
            };
            if value.is_empty() {
                return Err(RenderError::Empty(name.to_owned()));
            }
            if value.len() > MAX_LEN {
                return Err(RenderError::TooLong);
            }
            encode(value, &mut out);
            if out.len() > MAX_LEN {
                return Err(RenderError::TooLong);
            }
        }
        Ok(Topic(Bytes::from(out)))
    }

    /// The filter that matches every topic it can give: `+` for each level that holds a placeholder.
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn filter(parts: &[Piece]) -> Result<Filter, TemplateError> {
    // The literal text so far, level by level; None: the level holds a placeholder.
    let mut levels = vec![Some(String::new())];
    for part in parts {
        match part {
            Piece::Name(_) | Piece::Formula(_) => {
                let first = levels.len() == 1;
                let level = levels.last_mut().expect("there is one from the start");
                if first && level.as_ref().is_some_and(|level| level.starts_with('$')) {
                    return Err(TemplateError::System);
                }
                *level = None;
            }
            Piece::Literal(literal) => {
                for (n, piece) in literal.split('/').enumerate() {
                    if n > 0 {
                        levels.push(Some(String::new()));
                    }
                    if let Some(Some(level)) = levels.last_mut() {
                        level.push_str(piece);
                    }
                }
            }
        }
    }
    let levels: Vec<&str> = levels
        .iter()
        .map(|level| level.as_deref().unwrap_or("+"))
        .collect();
    Ok(Filter::parse(&levels.join("/"))?)
}

/// Appends a value so that it stays within its level and can be read back: percent-encoding.
fn encode(value: &[u8], out: &mut String) {
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            if special(c) || (out.is_empty() && (c == '$' || !c.is_ascii())) {
                percent(c.encode_utf8(&mut [0; 4]).as_bytes(), out);
            } else {
                out.push(c);
            }
        }
        percent(chunk.invalid(), out);
    }
}

/// What a topic gives a meaning, what MQTT says a text should not hold (1.5.4), and the escape itself.
fn special(c: char) -> bool {
    let nonchar = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    matches!(c, '/' | '+' | '#' | '%') || c.is_control() || nonchar
}

fn percent(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        write!(out, "%{byte:02X}").expect("a String takes all");
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any name, or `v` alone, has this value.
    struct One<'v>(&'v [u8], bool);

    impl Values for One<'_> {
        fn bytes<'a>(&'a self, name: &str, _: &'a mut String) -> Option<&'a [u8]> {
            (self.1 || name == "v").then_some(self.0)
        }
        fn value(&self, _: &str) -> Option<minijinja::Value> {
            Some(String::from_utf8_lossy(self.0).into())
        }
    }

    fn render(template: &str, value: &[u8]) -> Result<String, RenderError> {
        let template = Template::parse(template).unwrap();
        Ok(template.render(&One(value, false))?.to_string())
    }

    #[test]
    fn puts_values_into_their_levels() {
        assert_eq!(render("home/{{ v }}/state", b"air").unwrap(), "home/air/state");
        assert_eq!(render("home/{{ v }}-{{ v }}/x", b"a").unwrap(), "home/a-a/x");
        assert_eq!(render("a/{{ v | upper }}/b", b"x/y").unwrap(), "a/X%2FY/b");
        let names = Template::parse("{{ a }}/b{{ c }}/{{ a }}").unwrap();
        assert_eq!(names.names().collect::<Vec<_>>(), ["a", "c", "a"]);
    }

    #[test]
    fn a_value_cannot_make_another_topic() {
        assert_eq!(render("a/{{ v }}", b"x/../+#%").unwrap(), "a/x%2F..%2F%2B%23%25");
        assert_eq!(render("a/{{ v }}", b"\0\r\xff").unwrap(), "a/%00%0D%FF");
        assert_eq!(
            render("a/{{ v }}", "gr\u{fc}n $".as_bytes()).unwrap(),
            "a/gr\u{fc}n $"
        );
        assert_eq!(render("{{ v }}/a", b"$SYS").unwrap(), "%24SYS/a");
        assert_eq!(
            render("{{ v }}/a", "\u{fc}\u{fc}".as_bytes()).unwrap(),
            "%C3%BC\u{fc}/a"
        );
        assert_eq!(render("a/{{ v }}", b""), Err(RenderError::Empty("v".to_owned())));
        assert_eq!(
            render("a/{{ w }}", b"x"),
            Err(RenderError::Missing("w".to_owned()))
        );
        assert_eq!(render("a/{{ v }}", &[b'x'; MAX_LEN]), Err(RenderError::TooLong));
        assert_eq!(
            render("a/{{ v }}", &vec![b'/'; MAX_LEN / 3]),
            Err(RenderError::TooLong)
        );
        assert_eq!(render("{{ v }}", &[b'x'; MAX_LEN]).unwrap().len(), MAX_LEN);
    }

    #[test]
    fn the_filter_has_a_plus_for_each_level_with_a_value() {
        let filter = |text: &str| Template::parse(text).unwrap().filter().to_string();
        assert_eq!(filter("home/air"), "home/air");
        assert_eq!(filter("home/{{ port }}/a-{{ x }}-b/{{ y }}"), "home/+/+/+");
        assert_eq!(filter("{{ a }}{{ b }}/c/"), "+/c/");
        assert_eq!(filter("$own/{{ b }}"), "$own/+");
    }

    #[test]
    fn refuses_what_is_no_topic() {
        let fault = |text: &str| Template::parse(text).unwrap_err();
        assert_eq!(fault(""), TemplateError::Topic(Error::Empty));
        assert_eq!(fault("a/+/{{ x }}"), TemplateError::Topic(Error::Wildcard('+')));
        assert_eq!(fault("a/{{ x"), TemplateError::Braces(SplitError::Open));
        assert_eq!(fault("${{ x }}/a"), TemplateError::System);
        assert_eq!(fault("a/{port}"), TemplateError::Brace('{'));
        assert!(matches!(fault("a/{{ x | }}"), TemplateError::Formula(..)));
    }

    fn decode(text: &str) -> Vec<u8> {
        let (mut bytes, mut out) = (text.bytes(), Vec::new());
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                out.push(byte);
            }
        }
        out
    }

    /// Values that are likely to hurt: any bytes, and texts of special characters.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..24),
            "[/+#%$a\u{fc}\u{0}\u{ffff}\u{85}2F]{1,12}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn a_value_stays_in_its_level_and_reads_back(value in value(), at in 0usize..3) {
            let template = Template::parse(["{{ v }}/b/c", "a/{{ v }}/c", "a/b/{{ v }}"][at]).unwrap();
            let topic = template.render(&One(&value, true)).unwrap();
            prop_assert_eq!(&Topic::parse(topic.as_str()).unwrap(), &topic);
            let levels: Vec<&str> = topic.as_str().split('/').collect();
            prop_assert_eq!(levels.len(), 3);
            for (n, plain) in ["a", "b", "c"].iter().enumerate() {
                if n != at {
                    prop_assert_eq!(&levels[n], plain);
                }
            }
            prop_assert_eq!(decode(levels[at]), value);
            prop_assert!(template.filter().matches(&topic));
            prop_assert!(!topic.as_str().starts_with(|c: char| c == '$' || !c.is_ascii()));
        }

        #[test]
        fn two_values_never_share_a_topic(a in value(), b in value()) {
            prop_assume!(a != b);
            prop_assert_ne!(render("x/p{{ v }}s/y", &a).unwrap(), render("x/p{{ v }}s/y", &b).unwrap());
            prop_assert_ne!(render("{{ v }}", &a).unwrap(), render("{{ v }}", &b).unwrap());
        }

        #[test]
        fn any_template_that_parses_gives_topics_that_its_filter_matches(
            text in "[a/{}x$\u{fc}]{0,14}", value in value(),
        ) {
            if let Ok(template) = Template::parse(&text) {
                let topic = template.render(&One(&value, true)).unwrap();
                prop_assert_eq!(&Topic::parse(topic.as_str()).unwrap(), &topic);
                prop_assert!(template.filter().matches(&topic));
            }
        }
    }
}
