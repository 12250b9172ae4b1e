//! A client's words in the log: nothing in them ends a line or moves a cursor, and what is long is cut.

use std::fmt::{self, Write as _};

/// How many characters are shown: an id or a topic may have 65,535 bytes.
const MOST: usize = 200;

/// A client id, a topic or a filter, to be shown.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MOST) {
            for escaped in character.escape_debug() {
                f.write_char(escaped)?;
            }
        }
        match characters.as_str().len() {
            0 => Ok(()),
            left => write!(f, "... and {left} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(Shown("a\n\u{1b}é").to_string(), "a\\n\\u{1b}é");
        let long = "é".repeat(300);
        assert_eq!(
            Shown(&long).to_string(),
            format!("{}... and 200 bytes", "é".repeat(200))
        );
    }
}
