//! One `[[port.publish]]` entry at work.

mod last;
mod render;
mod unread;
mod window;

use super::aggregate::Aggregate;
use super::gate::Gate;
use super::scene::{Frame, Groups, Missing, Origin, Scene, VALUE};
use super::{Chosen, Out, Payload, Policy};
use crate::field::Up;
use crate::field::record::{Entry as Held, Info, Quality, Record, Shape, Value};
use crate::template::Text;
use crate::topic::{Template, Topic};
use crate::{field, template, topic};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// So many topics of one entry are remembered: with more, those that have been silent for longest are forgotten.
const TOPICS: usize = 1024;
/// So many kinds of frame have their plan kept.
const PLANS: usize = 64;

/// Why a frame did not become a message of one entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unpublished {
    /// The payload can't be made of these bytes.
    #[error("{template}: {source}")]
    Payload { template: String, source: field::Error },
    /// The values of the frame make no topic.
    #[error("{template}: {source}")]
    Topic {
        template: String,
        source: topic::RenderError,
    },
    /// The values of the frame make no payload.
    #[error("{template}: payload: {source}")]
    Text {
        template: String,
        source: template::RenderError,
    },
}

/// What an entry says, put together by the port.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) topic: Template,
    pub(crate) payload: Option<Payload>,
    pub(crate) fields: Option<Vec<Chosen>>,
    pub(crate) policy: Policy,
}

/// An entry with what it remembers.
#[derive(Debug)]
pub(crate) struct Entry {
    of: Arc<Origin>,
    topic: Template,
    what: What,
    chosen: Option<Vec<Chosen>>,
    policy: Policy,
    /// The policies of the chosen fields, by their number.
    own: Vec<Policy>,
    /// Whether all is published as it comes.
    plain: bool,
    /// Whether the topic is made of the port and the field alone.
    steady: bool,
    plans: Vec<(Arc<Shape>, Arc<[Place]>)>,
    keys: BTreeMap<Topic, Key>,
    next: Option<Instant>,
}

#[derive(Debug)]
enum What {
    /// The frame's bytes.
    Bytes(Up),
    /// A message for each value.
    Value(Option<Text>),
    /// A message for each frame.
    Values(super::Object),
    Text(Text),
}

/// A value that is published, by its place in the record.
#[derive(Debug, Clone)]
struct Place {
    place: usize,
    /// Which of the chosen fields asks for it.
    chosen: Option<usize>,
    topic: Option<Topic>,
}

/// What is remembered of one topic.
#[derive(Debug)]
struct Key {
    gate: Gate<Out>,
    chosen: Option<usize>,
    window: Option<Box<Gathered>>,
    /// What is said of silence, and where.
    silence: Option<(Topic, Box<Last>)>,
}

/// The values of a window that has begun.
#[derive(Debug)]
struct Gathered {
    until: Instant,
    values: Vec<(String, Aggregate)>,
    last: Last,
}

/// The last frame of a topic.
#[derive(Debug, Clone)]
struct Last {
    record: Option<Record>,
    bytes: Vec<u8>,
    groups: Groups,
    path: Option<String>,
    time: SystemTime,
    seq: u64,
}

impl Plan {
    /// Whether each value has a message of its own.
    pub(crate) fn per_value(&self) -> bool {
        let one = |name: &str| VALUE.contains(&name);
        match &self.payload {
            Some(Payload::Value) => true,
            Some(Payload::Template(text)) => text.names().into_iter().any(one) || self.topic.names().any(one),
            Some(_) => false,
            None => {
                self.topic.names().any(one) || self.fields.as_ref().is_some_and(|fields| fields.len() == 1)
            }
        }
    }

    /// Whether it needs values, and not only the frame's bytes.
    pub(crate) fn needs_values(&self) -> bool {
        self.per_value() || self.fields.is_some() || matches!(self.payload, Some(Payload::Values(_)))
    }
}

impl Entry {
    pub(crate) fn new(of: Arc<Origin>, plan: &Plan) -> Entry {
        let what = match &plan.payload {
            Some(Payload::Template(text)) if plan.per_value() => What::Value(Some(text.clone())),
            Some(Payload::Template(text)) => What::Text(text.clone()),
            Some(Payload::Values(object)) => What::Values(object.clone()),
            Some(payload) if payload.of_bytes().is_some() => {
                What::Bytes(payload.of_bytes().unwrap_or_default())
            }
            Some(_) => What::Value(None),
            None if plan.per_value() => What::Value(None),
            None if plan.fields.is_some() => What::Values(super::Object::default()),
            None => What::Bytes(Up::Raw),
        };
        let nothing = Chosen::default();
        let policy = plan.policy.with(&nothing);
        let own: Vec<Policy> = plan
            .fields
            .iter()
            .flatten()
            .map(|own| plan.policy.with(own))
            .collect();
        Entry {
            of,
            topic: plan.topic.clone(),
            what,
            chosen: plan.fields.clone(),
            plain: policy.is_plain() && own.iter().all(Policy::is_plain),
            policy,
            own,
            steady: plan
                .topic
                .names()
                .all(|name| matches!(name, "port" | "field" | "unit" | "device")),
            plans: Vec::new(),
            keys: BTreeMap::new(),
            next: None,
        }
    }

    /// The messages of one frame, as far as they are for now.
    pub(crate) fn frame(
        &mut self,
        frame: &Frame<'_>,
        groups: &Groups,
        now: Instant,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        let Some(record) = frame.record else {
            if matches!(self.what, What::Bytes(_) | What::Text(_)) {
                self.whole(frame, groups, now, send);
            }
            return;
        };
        if !matches!(self.what, What::Value(_)) {
            let any = |chosen: &Vec<Chosen>| chosen.iter().any(|one| record.find(&one.name).is_some());
            if self.chosen.as_ref().is_none_or(any) {
                self.whole(frame, groups, now, send);
            }
            return;
        }
        let nested = record
            .iter()
            .any(|entry| matches!(entry.value, Value::List(_) | Value::Record(_)))
            || record.iter().count() != record.shape().infos().len();
        if nested {
            let mut found = Vec::new();
            record.leaves(".", &mut |path, entry| {
                if let Some(chosen) = self.chooses(path, entry.info) {
                    found.push((path.to_owned(), entry, chosen));
                }
            });
            for (path, entry, chosen) in found {
                self.one(frame, groups, (&path, entry), chosen, None, now, send);
            }
            return;
        }
        for place in self.places(record).iter() {
            if let Some(entry) = record.at(place.place) {
                let one = (&*entry.info.name, entry);
                self.one(frame, groups, one, place.chosen, place.topic.as_ref(), now, send);
            }
        }
    }

    /// What time brings: ends of intervals and windows, and silence.
    pub(crate) fn time(&mut self, now: Instant, send: &mut dyn FnMut(Result<Out, Unpublished>)) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let mut keys = std::mem::take(&mut self.keys);
        let mut next: Option<Instant> = None;
        for key in keys.values_mut() {
            let policy = self.policy(key.chosen).clone();
            if key.window.as_ref().is_some_and(|window| window.until <= now)
                && let Some(window) = key.window.take()
            {
                self.gathered(key, *window, &policy, now, send);
            }
            if let Some(out) = key.gate.due(&policy, now) {
                send(Ok(out));
            }
            if key.gate.turns_stale(&policy, now) {
                self.silent(key, &policy, send);
            }
            let window = key.window.as_ref().map(|window| window.until);
            next = next
                .into_iter()
                .chain(window)
                .chain(key.gate.deadline(&policy))
                .min();
        }
        self.keys = keys;
        self.next = next;
    }

    /// When [`time`](Entry::time) is to be called at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// All that is held back, now: the gateway ends, or the recording.
    pub(crate) fn flush(&mut self, now: Instant, send: &mut dyn FnMut(Result<Out, Unpublished>)) {
        let mut keys = std::mem::take(&mut self.keys);
        for key in keys.values_mut() {
            let policy = self.policy(key.chosen).clone();
            if let Some(window) = key.window.take() {
                self.gathered(key, *window, &policy, now, send);
            }
            if let Some(out) = key.gate.flush(now) {
                send(Ok(out));
            }
        }
        self.keys = keys;
    }

    fn policy(&self, chosen: Option<usize>) -> &Policy {
        chosen.and_then(|n| self.own.get(n)).unwrap_or(&self.policy)
    }

    /// Which of the chosen fields asks for the value at this path: `Some(None)` where none is chosen and all are.
    fn chooses(&self, path: &str, info: &Info) -> Option<Option<usize>> {
        let Some(chosen) = &self.chosen else {
            return (!info.hidden).then_some(None);
        };
        let within = |name: &str| {
            path.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        chosen.iter().position(|one| within(&one.name)).map(Some)
    }

    /// The values of a kind of frame that are published: found once.
    fn places(&mut self, record: &Record) -> Arc<[Place]> {
        if let Some((_, places)) = self
            .plans
            .iter()
            .find(|(shape, _)| Arc::ptr_eq(shape, record.shape()))
        {
            return places.clone();
        }
        let shape = record.shape().clone();
        let mut places: Vec<Place> = Vec::new();
        for (place, info) in shape.infos().iter().enumerate() {
            if let Some(chosen) = self.chooses(&info.name, info)
                && let Some(entry) = record.at(place)
            {
                let topic = self.steady_topic(&info.name, entry);
                places.push(Place { place, chosen, topic });
            }
        }
        places.sort_by_key(|place| place.chosen);
        let places: Arc<[Place]> = places.into();
        if self.plans.len() < PLANS {
            self.plans.push((shape, places.clone()));
        }
        places
    }

    /// The topic of a field, where it is the same for every frame.
    fn steady_topic(&self, path: &str, entry: Held<'_>) -> Option<Topic> {
        let frame = Frame {
            of: &self.of,
            bytes: &[],
            record: None,
            time: SystemTime::UNIX_EPOCH,
            seq: 0,
        };
        let scene = Scene {
            frame: &frame,
            groups: &Vec::new(),
            one: Some((path, entry)),
            missing: Missing::No,
        };
        self.steady.then(|| self.topic.render(&scene).ok()).flatten()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a value is its frame, its path, its place and its time"
    )]
    fn one(
        &mut self,
        frame: &Frame<'_>,
        groups: &Groups,
        one: (&str, Held<'_>),
        chosen: Option<usize>,
        topic: Option<&Topic>,
        now: Instant,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        if one.1.quality != Quality::Good {
            return;
        }
        let scene = Scene {
            frame,
            groups,
            one: Some(one),
            missing: Missing::No,
        };
        let topic = match topic {
            Some(topic) => topic.clone(),
            None => match self.render_topic(&scene) {
                Ok(topic) => topic,
                Err(why) => return send(Err(why)),
            },
        };
        self.let_through(&scene, topic, chosen, now, send);
    }

    fn whole(
        &mut self,
        frame: &Frame<'_>,
        groups: &Groups,
        now: Instant,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        let scene = Scene {
            frame,
            groups,
            one: None,
            missing: Missing::No,
        };
        match self.render_topic(&scene) {
            Ok(topic) => self.let_through(&scene, topic, None, now, send),
            Err(why) => send(Err(why)),
        }
    }

    /// A message for a topic, through the rules for it.
    fn let_through(
        &mut self,
        scene: &Scene<'_>,
        topic: Topic,
        chosen: Option<usize>,
        now: Instant,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        if self.plain || self.policy(chosen).is_plain() {
            let made = self.payload(scene).map(|payload| Out { topic, payload });
            return send(made);
        }
        let mut keys = std::mem::take(&mut self.keys);
        if keys.len() >= TOPICS && !keys.contains_key(&topic) {
            self.forget(&mut keys, now, send);
        }
        let policy = self.policy(chosen);
        let key = keys.entry(topic.clone()).or_insert_with(|| Key {
            gate: Gate::new(now),
            chosen,
            window: None,
            silence: None,
        });
        if let Some(stale) = &policy.stale {
            let at = stale
                .topic
                .as_ref()
                .and_then(|template| template.render(scene).ok());
            key.silence = Some((at.unwrap_or_else(|| topic.clone()), Box::new(Last::of(scene))));
        }
        match policy.window {
            Some(window) => {
                key.gate.see(now);
                let until = now.checked_add(window.over.into()).unwrap_or(now);
                let gathered = key.window.get_or_insert_with(|| {
                    Box::new(Gathered {
                        until,
                        values: Vec::new(),
                        last: Last::of(scene),
                    })
                });
                gathered.add(scene, window.take);
            }
            None => {
                let out = key.gate.pass(
                    policy,
                    now,
                    || self.content(scene),
                    || match self.payload(scene) {
                        Ok(payload) => Some(Out { topic, payload }),
                        Err(why) => {
                            send(Err(why));
                            None
                        }
                    },
                );
                if let Some(out) = out {
                    send(Ok(out));
                }
            }
        }
        let window = key.window.as_ref().map(|window| window.until);
        let next = key.gate.deadline(policy).into_iter().chain(window);
        self.next = self.next.into_iter().chain(next).min();
        self.keys = keys;
    }

    /// Nothing has come for long.
    fn silent(&self, key: &Key, policy: &Policy, send: &mut dyn FnMut(Result<Out, Unpublished>)) {
        let (Some((topic, last)), Some(stale)) = (&key.silence, &policy.stale) else {
            return;
        };
        let frame = last.frame(&self.of);
        let scene = Scene {
            frame: &frame,
            groups: &last.groups,
            one: last.path.as_deref().zip(last.entry()),
            missing: Missing::Stale,
        };
        send(self.stale(stale, &scene).map(|payload| Out {
            topic: topic.clone(),
            payload,
        }));
    }

    /// Makes room for another topic.
    fn forget(
        &self,
        keys: &mut BTreeMap<Topic, Key>,
        now: Instant,
        send: &mut dyn FnMut(Result<Out, Unpublished>),
    ) {
        let oldest = keys.iter().min_by_key(|(_, key)| key.gate.seen());
        let Some(topic) = oldest.map(|(topic, _)| topic.clone()) else {
            return;
        };
        if let Some(mut key) = keys.remove(&topic) {
            let policy = self.policy(key.chosen).clone();
            if let Some(window) = key.window.take() {
                self.gathered(&mut key, *window, &policy, now, send);
            }
            if let Some(out) = key.gate.flush(now) {
                send(Ok(out));
            }
        }
    }
}
