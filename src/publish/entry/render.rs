//! From values to topics and payloads.

use super::super::gate::Content;
use super::super::scene::{Missing, Scene};
use super::super::{Chosen, Stale};
use super::{Entry, Unpublished, What};
use crate::field::Context;
use crate::field::record::Entry as Held;
use crate::template::{Text, Values};
use crate::topic::Topic;
use bytes::Bytes;

impl Entry {
    pub(super) fn stale(&self, stale: &Stale, scene: &Scene<'_>) -> Result<Bytes, Unpublished> {
        match (&stale.payload, &self.what) {
            (Some(text), _) => self.text(text, scene),
            (None, What::Values(_)) => self.payload(scene),
            (None, _) => Ok(Bytes::from_static(b"stale")),
        }
    }
}

impl Entry {
    pub(super) fn render_topic(&self, scene: &Scene<'_>) -> Result<Topic, Unpublished> {
        self.topic.render(scene).map_err(|source| Unpublished::Topic {
            template: self.topic.to_string(),
            source,
        })
    }

    pub(super) fn payload(&self, scene: &Scene<'_>) -> Result<Bytes, Unpublished> {
        let frame = scene.frame;
        match &self.what {
            What::Bytes(up) => {
                let context = Context {
                    port: &frame.of.port,
                    time: frame.time,
                    seq: frame.seq,
                };
                up.render(frame.bytes, &context)
                    .map_err(|source| Unpublished::Payload {
                        template: self.topic.to_string(),
                        source,
                    })
            }
            What::Value(None) => {
                let mut out = String::with_capacity(16);
                if let Some((_, entry)) = scene.one {
                    entry.write(&mut out);
                }
                Ok(out.into())
            }
            What::Value(Some(text)) | What::Text(text) => self.text(text, scene),
            What::Values(object) => {
                let mut out = String::with_capacity(128);
                let record = frame.record;
                if record.is_none() && matches!(scene.missing, Missing::Unread(_)) {
                    object.write(frame, &[], scene.missing, &mut out);
                }
                if let Some(record) = record {
                    let shown: Vec<(&str, Held<'_>)> = match &self.chosen {
                        None => {
                            let shown = record.iter().filter(|entry| !entry.info.hidden);
                            shown.map(|entry| (&*entry.info.name, entry)).collect()
                        }
                        Some(chosen) => {
                            let find = |one: &'_ Chosen| record.find(&one.name);
                            let found = chosen.iter().map(|one| (one.name.as_str(), find(one)));
                            found.filter_map(|(name, entry)| Some((name, entry?))).collect()
                        }
                    };
                    object.write(frame, &shown, scene.missing, &mut out);
                }
                Ok(out.into())
            }
        }
    }

    pub(super) fn text(&self, text: &Text, scene: &Scene<'_>) -> Result<Bytes, Unpublished> {
        let mut out = String::with_capacity(text.as_str().len() + 16);
        match text.render(scene as &dyn Values, &mut out) {
            Ok(()) => Ok(out.into()),
            Err(source) => Err(Unpublished::Text {
                template: self.topic.to_string(),
                source,
            }),
        }
    }

    /// What is looked at to find a change.
    pub(super) fn content(&self, scene: &Scene<'_>) -> Content {
        if let Some((_, entry)) = scene.one {
            return Content::Values(vec![entry.value.clone()]);
        }
        let Some(record) = scene.frame.record else {
            return Content::Bytes(Bytes::copy_from_slice(scene.frame.bytes));
        };
        let good = |entry: Held<'_>| entry.good().cloned().unwrap_or_default();
        Content::Values(match &self.chosen {
            None => record.iter().map(good).collect(),
            Some(chosen) => {
                let found = chosen.iter().map(|one| record.find(&one.name).map(good));
                found.map(Option::unwrap_or_default).collect()
            }
        })
    }
}
