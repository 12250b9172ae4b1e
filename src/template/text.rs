//! A template for a payload: names and formulas put into text, or a whole template with statements.

use super::engine::{LONGEST, Page};
use super::{Formula, Mistake, Part, SplitError, Values, formula, split};
use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use std::borrow::Cow;
use std::fmt;

/// A text with values in it, compiled.
#[derive(Clone)]
pub struct Text {
    text: String,
    form: Form,
}

#[derive(Clone)]
enum Form {
    Pieces(Vec<Piece>),
    Page(Page),
}

#[derive(Clone)]
enum Piece {
    Literal(String),
    Name(String),
    Formula(Formula),
}

/// Why a template gave no text for the values at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no value of this name.
    #[error("there is no value {{{{ {0} }}}}")]
    Missing(String),
    /// A formula fails.
    #[error("{{{{ {0} }}}}: {1}")]
    Formula(String, Mistake),
    /// The template fails.
    #[error("{0}")]
    Page(Mistake),
    /// The text would be longer than 1 MiB.
    #[error("the text grows too long")]
    TooLong,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The braces are wrong.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A formula is wrong.
    #[error("`{{{{ {0} }}}}` is wrong: {1}")]
    Formula(String, Mistake),
    /// A statement is wrong.
    #[error("the template is wrong: {0}")]
    Page(Mistake),
}

impl Text {
    /// Compiles a template.
    pub fn parse(text: &str) -> Result<Text, ParseError> {
        let form = if text.contains("{%") || text.contains("{#") {
            Form::Page(Page::parse(text).map_err(ParseError::Page)?)
        } else {
            let piece = |part| {
                Ok(match part {
                    Part::Literal(literal) => Piece::Literal(literal),
                    Part::Name(name) => Piece::Name(name),
                    Part::Formula(text) => match formula(&text) {
                        Ok(formula) => Piece::Formula(formula),
                        Err(mistake) => return Err(ParseError::Formula(text, mistake)),
                    },
                })
            };
            Form::Pieces(split(text)?.into_iter().map(piece).collect::<Result<_, _>>()?)
        };
        Ok(Text {
            text: text.to_owned(),
            form,
        })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the values that it needs: paths where they are simple, or else their first step.
    pub fn names(&self) -> Vec<&str> {
        match &self.form {
            Form::Pieces(pieces) => pieces
                .iter()
                .flat_map(|piece| match piece {
                    Piece::Literal(_) => Vec::new(),
                    Piece::Name(name) => vec![name.as_str()],
                    Piece::Formula(formula) => formula.names().iter().map(String::as_str).collect(),
                })
                .collect(),
            Form::Page(page) => page.names().iter().map(String::as_str).collect(),
        }
    }

    /// Appends the text with the values put in.
    pub(crate) fn render(&self, values: &dyn Values, out: &mut String) -> Result<(), RenderError> {
        let pieces = match &self.form {
            Form::Page(page) => return page.render(values, out).map_err(RenderError::Page),
            Form::Pieces(pieces) => pieces,
        };
        let mut scratch = String::new();
        for piece in pieces {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Name(name) => {
                    scratch.clear();
                    let found = values.bytes(name, &mut scratch);
                    let found = found.ok_or_else(|| RenderError::Missing(name.clone()))?;
                    out.push_str(&String::from_utf8_lossy(found));
                }
                Piece::Formula(formula) => formula
                    .render(values, out)
                    .map_err(|mistake| RenderError::Formula(formula.as_str().to_owned(), mistake))?,
            }
            if out.len() > LONGEST {
                return Err(RenderError::TooLong);
            }
        }
        Ok(())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

read_any!(
    Text,
    "a text with values in it, such as \"{{ value }} {{ unit }}\"",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
            Text::parse(text).map_err(E::custom)
        }
    }
);

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "TextTemplate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text in which {{ name }} stands for a value and {{ name | round(1) }} for what Jinja \
                makes of it; {% if %} and {% for %} are known, too.",
            "type": "string",
            "examples": ["{{ value }} {{ unit }}"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    struct Map(BTreeMap<&'static str, minijinja::Value>);

    impl Values for Map {
        fn bytes<'a>(&'a self, name: &str, scratch: &'a mut String) -> Option<&'a [u8]> {
            scratch.push_str(&self.0.get(name)?.to_string());
            Some(scratch.as_bytes())
        }
        fn value(&self, name: &str) -> Option<minijinja::Value> {
            self.0.get(name).cloned()
        }
    }

    fn values() -> Map {
        Map(BTreeMap::from([
            ("t", minijinja::Value::from(21.456)),
            ("port", minijinja::Value::from("air")),
            ("cells", minijinja::Value::from(vec![1, 2, 3])),
        ]))
    }

    fn render(template: &str) -> Result<String, String> {
        let mut out = String::new();
        let template = Text::parse(template).map_err(|error| error.to_string())?;
        template
            .render(&values(), &mut out)
            .map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn names_formulas_and_statements() {
        assert_eq!(render("{{ t }} at {{port}}").unwrap(), "21.456 at air");
        assert_eq!(render("{\"t\": {{ t | round(1) }}}").unwrap(), "{\"t\": 21.5}");
        assert_eq!(render("{{ '%.2f' | format(t) }}").unwrap(), "21.46");
        assert_eq!(
            render("{% if t > 20 %}warm{% else %}cold{% endif %}").unwrap(),
            "warm"
        );
        assert_eq!(
            render("{% for c in cells %}{{ c }};{% endfor %}").unwrap(),
            "1;2;3;"
        );
        assert_eq!(
            render("{{ nothing }}").unwrap_err(),
            "there is no value {{ nothing }}"
        );
        assert!(render("{{ nothing | upper }}").is_err());
    }

    #[test]
    fn mistakes_are_told_when_it_is_read() {
        let fault = |text: &str| Text::parse(text).unwrap_err().to_string();
        assert!(
            fault("{{ t | }}").starts_with("`{{ t | }}` is wrong: "),
            "{}",
            fault("{{ t | }}")
        );
        assert!(fault("{% if t %}").starts_with("the template is wrong: "));
        for strange in [
            "{{ t | uper }}",
            "{{ t is odder }}",
            "{% if t %}{{ t | uper }}{% endif %}",
        ] {
            assert!(Text::parse(strange).is_err(), "{strange}");
        }
        assert!(fault("{{ t").starts_with("'{{' is not closed"));
        assert_eq!(
            Text::parse("{{ a + b.c }}{{ d.e }}").unwrap().names(),
            ["a", "b", "d.e"]
        );
        assert_eq!(
            Text::parse("{% for x in range(3) %}{{ x }}{{ y }}{% endfor %}")
                .unwrap()
                .names(),
            ["y"]
        );
    }

    #[test]
    fn no_template_runs_or_grows_without_end() {
        let begin = Instant::now();
        for greedy in [
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "{% for a in range(9000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 1000 }}{% endfor %}",
            "{{ ('x' * 60000) ~ range(9999) | join('y' * 60000) }}",
        ] {
            assert!(render(greedy).is_err(), "{greedy}");
        }
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[{}%a-c'|. (),0-9]{0,24}") {
            let _ = render(&text);
        }
    }
}
