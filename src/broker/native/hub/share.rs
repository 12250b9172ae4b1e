//! Shared subscriptions: what one member does not acknowledge goes to another.

use super::publish::{Hit, Publication};
use super::session::{Flight, Waiting};
use super::tree::{Found, Sub};
use super::{Hub, Key};
use crate::broker::Qos;
use std::time::Instant;

impl Hub {
    /// Hands messages of shared subscriptions that a client has not acknowledged to others of the group: those of
    /// QoS 2 only if they were not on their way (MQTT 5 section 4.8.2). What nobody can take stays where it is.
    pub(super) fn pass_on(&mut self, key: Key, now: Instant) {
        let session = &mut self.sessions[key];
        let shared = |waiting: &Waiting| waiting.share.is_some();
        let flying = |flight: &Flight| flight.waiting.as_ref().is_some_and(shared);
        if !session.flights.iter().any(flying) && !session.queue.iter().any(shared) {
            return;
        }
        let mut flights = std::mem::take(&mut session.flights);
        let mut queue = std::mem::take(&mut session.queue);
        let again = std::mem::take(&mut session.again);
        let mut orphans = Vec::new();
        flights.retain(|flight| {
            let waiting = flight.waiting.as_ref();
            let free = waiting.filter(|_| flight.qos == Qos::AtLeastOnce);
            let heir = free.and_then(|waiting| Some((waiting.clone(), self.heir(key, waiting)?)));
            let stays = heir.is_none();
            orphans.extend(heir);
            stays
        });
        queue.remove(|waiting| {
            // One that waits to be sent again was on its way.
            let begun = waiting.id.is_some_and(|id| again.contains(&id));
            let free = Some(waiting).filter(|_| waiting.qos == Qos::AtLeastOnce || !begun);
            let heir = free.and_then(|waiting| self.heir(key, waiting));
            orphans.extend(heir.map(|heir| (waiting.clone(), heir)));
            heir.is_some()
        });
        let session = &mut self.sessions[key];
        (session.flights, session.queue, session.again) = (flights, queue, again);
        for (orphan, heir) in orphans {
            self.adopt(key, orphan, heir, now);
        }
    }

    /// The member of its group, other than this one, that is to have a message.
    fn heir(&mut self, key: Key, orphan: &Waiting) -> Option<Sub> {
        let share = orphan.share.as_ref()?;
        let mut heir = None;
        let sessions = &self.sessions;
        self.tree.matches(&orphan.message.topic, |found| {
            if let Found::Group(group) = found
                && (&group.name, &group.filter) == (&share.group, &share.filter)
                && heir.is_none()
            {
                let count = group.members.len();
                let here = |sub: &Sub| {
                    sub.key != key
                        && sub.sees(&orphan.message.topic)
                        && sessions.get(sub.key).is_some_and(|session| !session.is_away())
                };
                let mut turn = (0..count).map(|step| (group.next + step) % count);
                if let Some(at) = turn.find(|at| here(&group.members[*at])) {
                    group.next = (at + 1) % count;
                    heir = Some(group.members[at]);
                }
            }
        });
        heir
    }

    /// Another member of the group takes a message over.
    fn adopt(&mut self, key: Key, orphan: Waiting, heir: Sub, now: Instant) {
        self.sessions[key].frees_id(orphan.id);
        self.record_done(key, orphan.seq);
        let mut publication = Publication::new((*orphan.message).clone());
        let hit = Hit {
            key: heir.key,
            qos: heir.options.qos,
            as_published: heir.options.retain_as_published,
            id: heir.options.id,
            apart: true,
            share: orphan.share,
        };
        self.scratch.begin();
        self.deliver(&mut publication, &[hit], now);
    }
}
