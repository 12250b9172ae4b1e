//! Cuts a template into text and what stands in `{{ }}`.

/// A piece of a template, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text that is taken as it stands.
    Literal(String),
    /// The name of a value that is put in here.
    Name(String),
    /// What is to be computed: all that stands between the braces.
    Formula(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A `{{` without its `}}`.
    #[error("'{{{{' is not closed: write '{{{{ name }}}}' for a value")]
    Open,
    /// `{{ }}`.
    #[error("'{{{{ }}}}' names no value: write the name between the braces, as in '{{{{ port }}}}'")]
    Nameless,
}

/// Cuts a template into its parts. Two literals never follow each other, and none is empty.
pub(crate) fn split(text: &str) -> Result<Vec<Part>, SplitError> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let open = rest.find("{{");
        let literal = &rest[..open.unwrap_or(rest.len())];
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let Some(open) = open else { return Ok(parts) };
        let inner = &rest[open + 2..];
        let end = close(inner).ok_or(SplitError::Open)?;
        let formula = inner[..end].trim();
        if formula.is_empty() {
            return Err(SplitError::Nameless);
        }
        parts.push(if is_name(formula) {
            Part::Name(formula.to_owned())
        } else {
            Part::Formula(formula.to_owned())
        });
        rest = &inner[end + 2..];
    }
}

/// Where the `}}` is that ends a formula: not one within quotes, or of nested braces.
fn close(inner: &str) -> Option<usize> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0usize);
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            (Some(_), _) if std::mem::take(&mut escaped) => {}
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') if inner[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

/// Names, and paths of names and numbers: `port`, `modules.0.voltage`; and a number alone, which command templates
/// have for wildcards.
fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = text
        .split('.')
        .all(|step| !step.is_empty() && step.chars().all(word));
    let number = text.bytes().all(|byte| byte.is_ascii_digit());
    whole && (number || !text.starts_with(|c: char| c.is_ascii_digit())) && !KEYWORDS.contains(&text)
}

/// What is no name in Jinja.
const KEYWORDS: [&str; 9] = [
    "true", "false", "none", "True", "False", "None", "not", "and", "or",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(text: &str) -> Part {
        Part::Literal(text.to_owned())
    }

    fn name(text: &str) -> Part {
        Part::Name(text.to_owned())
    }

    fn formula(text: &str) -> Part {
        Part::Formula(text.to_owned())
    }

    #[test]
    fn cuts_text_names_and_formulas() {
        assert_eq!(split("").unwrap(), []);
        assert_eq!(split("a/{b}").unwrap(), [literal("a/{b}")]);
        assert_eq!(
            split("{\"a\":{\"b\":{{ t }}}}").unwrap(),
            [literal("{\"a\":{\"b\":"), name("t"), literal("}}")]
        );
        assert_eq!(
            split("a/{{ x }}/b").unwrap(),
            [literal("a/"), name("x"), literal("/b")]
        );
        assert_eq!(split("{{x}}{{y.0.z_0}}").unwrap(), [name("x"), name("y.0.z_0")]);
        assert_eq!(split("{{ x | round(1) }}").unwrap(), [formula("x | round(1)")]);
        assert_eq!(split("{{ '}}' }}").unwrap(), [formula("'}}'")]);
        assert_eq!(
            split(r#"{{ "\"}}" }}{{ {"a": {}} }}"#).unwrap(),
            [formula(r#""\"}}""#), formula(r#"{"a": {}}"#)]
        );
        assert_eq!(split("{{ true }}{{ 1 }}").unwrap(), [formula("true"), name("1")]);
    }

    #[test]
    fn refuses_what_a_person_cannot_have_meant() {
        assert_eq!(split("a{{"), Err(SplitError::Open));
        assert_eq!(split("a{{b}c"), Err(SplitError::Open));
        assert_eq!(split("{{ }}"), Err(SplitError::Nameless));
        assert_eq!(
            SplitError::Open.to_string(),
            "'{{' is not closed: write '{{ name }}' for a value"
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_plain_text_is_itself(text in "[^{}]*", odd in "[{}a/'\"\\\\ ü]{0,16}") {
            let _ = split(&odd);
            prop_assert_eq!(split(&text).unwrap(), if text.is_empty() { vec![] } else { vec![literal(&text)] });
        }
    }
}
