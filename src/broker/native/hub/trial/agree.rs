//! What holds between the hub's tables at any time.

use super::super::{Hub, Seat, Timer};
use crate::broker::Qos;
use std::collections::BTreeSet;

pub(super) fn check(hub: &Hub) {
    let sessions = || hub.sessions.iter().map(|(_, session)| session);
    let leaving: usize = hub.leaving.iter().map(|leaving| leaving.left()).sum();
    let subscriptions: usize = sessions().map(|session| session.subscriptions.len()).sum();
    let (subscriptions, over) = (subscriptions + leaving, hub.leaving.len());
    assert_eq!(hub.tree.len(), subscriptions, "subscriptions");
    assert_eq!(hub.clients.len() + over, hub.sessions.len(), "names of sessions");
    assert_eq!(hub.connected + hub.offline + over, hub.sessions.len(), "sessions");
    let connected = sessions()
        .filter(|session| session.connection().is_some())
        .count();
    assert_eq!(hub.connected, connected, "connections");
    for (key, session) in hub.sessions.iter().filter(|(_, session)| !session.is_over()) {
        assert_eq!(hub.clients.get(&session.client), Some(&key));
        for (due, timer) in [
            (session.will_due, Timer::Will(key)),
            (session.forget_due, Timer::Forget(key)),
        ] {
            let armed = hub.timers.iter().filter(|(_, other)| *other == timer).count();
            assert_eq!(armed, usize::from(due.is_some()), "{timer:?}");
            assert!(
                due.is_none_or(|due| hub.timers.contains(&(due, timer))),
                "{timer:?}"
            );
        }
        assert!(
            session.will_due.is_none() || session.will.is_some(),
            "a will that is due, and none"
        );
        assert!(session.is_away() || session.forget_due.is_none() && session.will_due.is_none());
        messages(hub, session);
    }
}

/// When one has just left, no more sessions are away than are allowed.
pub(super) fn few_are_away(hub: &Hub) {
    let most = hub.settings.max_offline;
    assert!(
        most == 0 || hub.offline <= most,
        "{} sessions are away, of {most}",
        hub.offline
    );
}

/// A session's messages, their packet ids and sizes.
fn messages(hub: &Hub, session: &super::super::Session) {
    let queue = &session.queue;
    let bytes: usize = queue.iter().map(|waiting| waiting.size()).sum();
    let zeros = queue
        .iter()
        .filter(|waiting| waiting.qos == Qos::AtMostOnce)
        .count();
    assert_eq!(
        (queue.bytes(), queue.zeros()),
        (bytes, zeros),
        "what the queue holds"
    );
    let most = hub.settings.max_queued;
    // What was on its way may have to wait again.
    assert!(
        most == 0 || queue.len() <= most + usize::from(hub.settings.window),
        "{} wait",
        queue.len()
    );
    let mut ids = BTreeSet::new();
    for id in queue
        .iter()
        .filter_map(|waiting| waiting.id)
        .chain(session.flights.iter().map(|flight| flight.id))
    {
        assert!(ids.insert(id.get()), "the packet id {id} is used twice");
    }
    assert_eq!(session.ids_in_use(), ids, "packet ids in use");
    assert!(session.received.len() <= hub.settings.max_inflight.into());
}

/// Whether a session has nothing in it.
pub(super) fn is_blank(hub: &Hub, seat: Seat) -> bool {
    let session = &hub.sessions[seat.key];
    session.subscriptions.is_empty() && session.queue.is_empty() && session.flights.is_empty()
}

/// Sessions that are kept for ever may stay, and what is retained; no will, no timer of a session, no publisher that waits.
pub(super) fn nothing_but_what_stays(hub: &Hub) {
    for (_, session) in &hub.sessions {
        assert_eq!(session.expiry, super::super::session::FOR_EVER);
        assert!(session.will.is_none() && session.pressure.waiting.is_empty());
        assert!(!session.ghost);
    }
    let of_session = |timer: &Timer| matches!(timer, Timer::Will(_) | Timer::Forget(_) | Timer::Patience(_));
    assert!(
        !hub.timers.iter().any(|(_, timer)| of_session(timer)),
        "{:?}",
        hub.timers
    );
}
