//! Texts with values in them, for topics and payloads alike: `home/{{ port }}/{{ field }}`, `{{ value | round(1) }}`.
//!
//! The language is Jinja's, as minijinja has it. What only puts values in is cut into pieces once and never meets
//! the engine; a formula is compiled once, and each use of it has a bound on its steps.

mod engine;
mod split;
mod text;

pub use engine::Mistake;
pub(crate) use engine::{Formula, formula};
pub use split::SplitError;
pub(crate) use split::{Part, split};
pub use text::{RenderError, Text};

/// What a template can be filled with.
pub(crate) trait Values {
    /// The value of this name as bytes, usually text; what has to be made is made in `scratch`, which is empty.
    fn bytes<'a>(&'a self, name: &str, scratch: &'a mut String) -> Option<&'a [u8]>;

    /// The value of this name, for a formula.
    fn value(&self, name: &str) -> Option<minijinja::Value>;
}
