//! An error with its causes, in one line: `can't open the port: no permission: Permission denied`.

use std::error::Error;
use std::fmt;

/// Shows an error and, behind colons, what caused it.
pub struct Causes<'a>(pub &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read")]
    struct Failed(#[source] std::fmt::Error);

    #[test]
    fn causes_follow_behind_colons() {
        let error = Failed(std::fmt::Error);
        let text = Causes(&error).to_string();
        assert!(text.starts_with("failed to read: an error occurred"), "{text}");
    }
}
