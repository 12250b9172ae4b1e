//! `mqttyd schema`: the JSON Schema of the configuration, and the reference page that is made of it.

use crate::config::{Config, reference};
use std::io::{self, Write};

/// Writes the JSON Schema.
pub fn schema(mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{:#}", Config::schema())
}

/// Writes the reference of every key, as Markdown.
pub fn page(mut out: impl Write) -> io::Result<()> {
    out.write_all(reference(&Config::schema()).as_bytes())
}
