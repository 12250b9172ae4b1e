//! What is said in the moment that a device can't be asked for its values.

use super::super::Out;
use super::super::scene::{Frame, Groups, Missing, Scene};
use super::{Entry, Unpublished, What};

impl Entry {
    /// Whether it says so.
    pub(crate) fn says_unread(&self) -> bool {
        matches!(&self.what, What::Values(object) if object.unread)
    }

    /// The object that says why the values of this frame, the last that came, can't be read now. What was held back
    /// of them is dropped, and the next that come are published at once.
    pub(crate) fn unread(
        &mut self,
        frame: &Frame<'_>,
        groups: &Groups,
        why: &str,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        let chosen = self.chosen.as_ref().zip(frame.record);
        if chosen.is_some_and(|(chosen, record)| chosen.iter().all(|one| record.find(&one.name).is_none())) {
            return;
        }
        let mut scene = Scene {
            frame,
            groups,
            one: None,
            missing: Missing::No,
        };
        let topic = match self.render_topic(&scene) {
            Ok(topic) => topic,
            // Before the first frame the topic may not be known.
            Err(_) if frame.record.is_none() => return,
            Err(why) => return send(Err(why)),
        };
        if let Some(key) = self.keys.get_mut(&topic) {
            key.gate.interrupt();
            key.window = None;
        }
        scene.missing = Missing::Unread(why);
        send(self.payload(&scene).map(|payload| Out { topic, payload }));
    }
}
