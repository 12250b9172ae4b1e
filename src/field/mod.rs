//! What stands in a message's payload: a frame's bytes as they are, as text, hex, base64 or JSON, and back.
//!
//! Nothing is guessed and nothing is lost: what an encoding cannot carry is an error that the caller counts.

pub mod cipher;
pub mod config;
pub(crate) mod decode;
mod dlms;
mod down;
pub(crate) mod encode;
pub(crate) mod expr;
mod named;
mod number;
pub(crate) mod plan;
pub mod record;
#[cfg(feature = "script")]
mod script;
mod split;
mod time;
mod unit;
pub(crate) mod unpack;
mod up;

pub use decode::{Fault, Traced};
pub use down::{Down, DownTemplate};
pub use encode::ParameterError;
pub use plan::Mistake;
pub(crate) use split::regex;
pub(crate) use up::timestamp;
pub use up::{Context, Data, Json, Up};

use crate::template::SplitError;

/// Why a payload was not made of a frame, or a frame not of a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not text.
    #[error(
        "the bytes are not UTF-8 text (the first {valid} of {len} are): use \"raw\", \"hex\" or \"base64\""
    )]
    NotText {
        /// How many bytes from the start are text.
        valid: usize,
        /// How many bytes there are.
        len: usize,
    },
    /// The payload is not hex digits in pairs.
    #[error("the payload is not hexadecimal: {why}")]
    NotHex {
        /// What is wrong, and where.
        why: String,
    },
    /// The payload is not base64.
    #[error("the payload is not base64: {why}")]
    NotBase64 {
        /// What is wrong, and where.
        why: String,
    },
    /// The braces of a command template are wrong.
    #[error(transparent)]
    Braces(#[from] SplitError),
    /// A command template asks for a value that does not exist.
    #[error(
        "there is no value `{{{{ {0} }}}}` for a command: `{{{{ payload }}}}`, `{{{{ topic }}}}` and `{{{{ 1 }}}}`, `{{{{ 2 }}}}` ... exist"
    )]
    UnknownName(String),
    /// A command template asks for more wildcards than the filter has.
    #[error("{{{{ {asked} }}}} stands for wildcard number {asked} of the filter, which has {there}")]
    NoWildcard {
        /// The number in the template.
        asked: usize,
        /// How many wildcards the filter has.
        there: usize,
    },
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|fault| Error::NotText {
        valid: fault.valid_up_to(),
        len: bytes.len(),
    })
}
