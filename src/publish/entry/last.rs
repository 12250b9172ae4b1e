//! What was said last of a key, for its silence.

use super::super::scene::{Frame, Origin, Scene};
use super::Last;
use crate::field::record::Entry as Held;

impl Last {
    pub(super) fn of(scene: &Scene<'_>) -> Last {
        Last {
            record: scene.frame.record.cloned(),
            bytes: scene.frame.bytes.to_vec(),
            groups: scene.groups.clone(),
            path: scene.one.map(|(path, _)| path.to_owned()),
            time: scene.frame.time,
            seq: scene.frame.seq,
        }
    }

    pub(super) fn frame<'a>(&'a self, of: &'a Origin) -> Frame<'a> {
        Frame {
            of,
            bytes: &self.bytes,
            record: self.record.as_ref(),
            time: self.time,
            seq: self.seq,
        }
    }

    pub(super) fn entry(&self) -> Option<Held<'_>> {
        self.record.as_ref()?.find(self.path.as_deref()?)
    }
}
