//! Numbers of things, as they are said.

use std::fmt::Display;

/// `1 port`, `2 ports`.
pub(crate) fn counted(n: impl Display + PartialEq + From<bool>, what: &str) -> String {
    let plural = if n == true.into() { "" } else { "s" };
    format!("{n} {what}{plural}")
}
