//! The configuration file: the rooms' own settings put together, read so that every fault is told at once.

mod error;
mod fault;
mod file;
mod issue;
mod load;
mod phantom;
mod reader;
mod session;
mod suggest;
mod syntax;
mod tree;
mod words;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults};
pub use issue::Issue;
pub use load::{Loaded, load};
pub use suggest::nearest;
