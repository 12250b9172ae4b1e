//! Values that are gathered over a window.

use super::super::aggregate::Aggregate;
use super::super::scene::{Missing, Scene};
use super::super::{Out, Policy, Take};
use super::{Entry, Gathered, Key, Last, Unpublished};
use crate::field::record::{Entry as Held, Quality, Record, Value};
use std::time::Instant;

impl Entry {
    /// A window has ended.
    pub(super) fn gathered(
        &self,
        key: &mut Key,
        window: Gathered,
        policy: &Policy,
        now: Instant,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        let seen = key.gate.seen();
        let Gathered { values, mut last, .. } = window;
        let take = policy.window.map(|window| window.take).unwrap_or_default();
        let mut alone = None;
        for (name, aggregate) in values {
            let value = aggregate.value(take);
            match &mut last.record {
                Some(record) if last.path.is_none() => {
                    if let Some(place) = record.shape().place(&name) {
                        record.set(place, value, Quality::Good);
                    }
                }
                _ => alone = Some(value),
            }
        }
        let frame = last.frame(&self.of);
        let info = last.entry().map(|entry| entry.info);
        let one = match (&last.path, &alone, info) {
            (Some(path), Some(value), Some(info)) => Some((
                path.as_str(),
                Held {
                    info,
                    value,
                    quality: Quality::Good,
                },
            )),
            _ => None,
        };
        let scene = Scene {
            frame: &frame,
            groups: &last.groups,
            one,
            missing: Missing::No,
        };
        let topic = self.render_topic(&scene);
        let out = key.gate.pass(
            policy,
            now,
            || self.content(&scene),
            || match topic.and_then(|topic| {
                let payload = self.payload(&scene)?;
                Ok(Out { topic, payload })
            }) {
                Ok(out) => Some(out),
                Err(why) => {
                    send(Err(why));
                    None
                }
            },
        );
        // Silence began with the last value, not with the end of the window.
        key.gate.see(seen);
        if let Some(out) = out {
            send(Ok(out));
        }
    }
}

impl Gathered {
    pub(super) fn add(&mut self, scene: &Scene<'_>, take: Take) {
        self.last = Last::of(scene);
        if let Some((path, entry)) = scene.one {
            return self.add_one(path, entry.value, take);
        }
        for entry in scene.frame.record.into_iter().flat_map(Record::iter) {
            if let Some(value) = entry.good() {
                self.add_one(&entry.info.name, value, take);
            }
        }
    }

    fn add_one(&mut self, name: &str, value: &Value, take: Take) {
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, aggregate)) => aggregate.add(value, take),
            None => {
                let mut aggregate = Aggregate::default();
                aggregate.add(value, take);
                self.values.push((name.to_owned(), aggregate));
            }
        }
    }
}
