//! The brace language that templates share: `{name}` stands for a value, `{{` and `}}` for a brace.

/// A piece of a template, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text that is taken as it stands.
    Literal(String),
    /// The name of a value that is put in here.
    Name(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BraceError {
    /// A `{` without its `}`.
    #[error("'{{' is not closed: write '{{name}}' for a value, or '{{{{' for the brace itself")]
    Open,
    /// A `}` without its `{`.
    #[error("'}}' closes nothing: write '}}}}' for the brace itself")]
    Close,
    /// `{}`.
    #[error("'{{}}' names no value: write the name between the braces, as in '{{port}}'")]
    Nameless,
    /// A name with other characters than letters, digits, `_`, `-` and `.`.
    #[error("'{{{0}}}' is not a name: a name is made of letters, digits, '_', '-' and '.'")]
    Name(String),
}

/// Cuts a template into its parts. Two literals never follow each other, and none is empty.
pub(crate) fn split(text: &str) -> Result<Vec<Part>, BraceError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let found = &rest[at..];
        if let Some(after) = found.strip_prefix("{{") {
            literal.push('{');
            rest = after;
        } else if let Some(after) = found.strip_prefix("}}") {
            literal.push('}');
            rest = after;
        } else if let Some(inner) = found.strip_prefix('{') {
            let end = inner.find(['{', '}']).ok_or(BraceError::Open)?;
            let (name, after) = inner.split_at(end);
            rest = after.strip_prefix('}').ok_or(BraceError::Open)?;
            if name.is_empty() {
                return Err(BraceError::Nameless);
            }
            if !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
            {
                return Err(BraceError::Name(name.to_owned()));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Name(name.to_owned()));
        } else {
            return Err(BraceError::Close);
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

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

    #[test]
    fn cuts_text_and_names() {
        assert_eq!(split("").unwrap(), []);
        assert_eq!(split("a/b").unwrap(), [literal("a/b")]);
        assert_eq!(
            split("a/{x}/b").unwrap(),
            [literal("a/"), name("x"), literal("/b")]
        );
        assert_eq!(split("{x}{y-1.z_0}").unwrap(), [name("x"), name("y-1.z_0")]);
        assert_eq!(
            split("{{a}}{b}}}").unwrap(),
            [literal("{a}"), name("b"), literal("}")]
        );
        assert_eq!(split("{{{x}").unwrap(), [literal("{"), name("x")]);
    }

    #[test]
    fn refuses_what_a_person_cannot_have_meant() {
        assert_eq!(split("a{"), Err(BraceError::Open));
        assert_eq!(split("a{b{c}"), Err(BraceError::Open));
        assert_eq!(split("a}b"), Err(BraceError::Close));
        assert_eq!(split("{}"), Err(BraceError::Nameless));
        assert_eq!(split("{a b}"), Err(BraceError::Name("a b".to_owned())));
        assert_eq!(
            BraceError::Open.to_string(),
            "'{' is not closed: write '{name}' for a value, or '{{' for the brace itself"
        );
        assert_eq!(
            BraceError::Close.to_string(),
            "'}' closes nothing: write '}}' for the brace itself"
        );
        assert!(
            BraceError::Name("a b".to_owned())
                .to_string()
                .starts_with("'{a b}' is not a name")
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_doubled_braces_are_themselves(text in any::<String>(), odd in "[{}a/]{0,12}") {
            let _ = split(&odd);
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let parts = split(&doubled).unwrap();
            prop_assert_eq!(parts, if text.is_empty() { vec![] } else { vec![literal(&text)] });
        }
    }
}
