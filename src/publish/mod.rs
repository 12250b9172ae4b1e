//! Which messages the values of frames become, and when: what a `[[port.publish]]` entry says.
//!
//! Time is an argument, so that a recording gives the same messages as the line did.

mod aggregate;
mod config;
mod entry;
mod gate;
mod object;
mod payload;
mod scene;

pub use config::{Change, Chosen, Fields, Policy, Stale, Take, Window};
pub(crate) use entry::{Entry, Plan, Unpublished};
pub use object::{Object, Omitted};
pub use payload::Payload;
pub(crate) use scene::{DEVICE, Frame, Groups, Origin, PLAIN, words};

use crate::topic::Topic;
use bytes::Bytes;

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) topic: Topic,
    pub(crate) payload: Bytes,
}
