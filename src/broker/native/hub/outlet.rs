//! What waits to be written to one connection's socket: filled by the hub, emptied by the connection's task.

use super::super::wire::Encoder;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The hub stops filling an outlet that holds so much; what comes then waits in the session's queue, as messages.
pub(super) const FULL: usize = 64 * 1024;

/// Why a connection ends, as its task is told by the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The reason code of MQTT 5; it has been said to the client where its version knows of it.
    pub(crate) code: u8,
    /// For the log.
    pub(crate) why: &'static str,
}

/// A connection's outlet. The hub and the connection's task share it, and nobody else.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) encoder: Encoder,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) out: BytesMut,
    /// Bytes from here on wait until the store has written what they promise: places in `out`, and tickets.
    marks: VecDeque<(usize, u64)>,
    waker: Option<Waker>,
    /// Whether the hub has more for it when it is empty.
    pub(super) more: bool,
    /// Whether it has more to look for, though there is room: others come first.
    pub(super) again: bool,
    end: Option<End>,
}

impl Outlet {
    pub(crate) fn new(encoder: Encoder) -> Outlet {
        Outlet {
            encoder,
            state: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is to end when all that waits has been written, with a DISCONNECT where the version has one.
    pub(super) fn close(&self, end: End, mute: bool) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
            if !mute {
                self.encoder.disconnect(end.code, end.why, &mut state.out);
            }
        }
        state.wake();
    }
}

impl State {
    /// Wakes the connection's task, if it sleeps.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether the hub may put more in.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < FULL && self.end.is_none()
    }

    /// What is put in from now on waits for this ticket.
    pub(super) fn mark(&mut self, ticket: u64) {
        if self.marks.back().is_none_or(|(_, last)| *last < ticket) {
            self.marks.push_back((self.out.len(), ticket));
        }
    }

    /// Moves what may be written into `writing`, which is empty. Tells whether the hub has more.
    pub(crate) fn take(&mut self, committed: u64, writing: &mut BytesMut) -> bool {
        while self.marks.front().is_some_and(|(_, ticket)| *ticket <= committed) {
            self.marks.pop_front();
        }
        match self.marks.front() {
            None => std::mem::swap(&mut self.out, writing),
            Some((at, _)) => {
                let at = *at;
                *writing = self.out.split_to(at);
                for (place, _) in &mut self.marks {
                    *place -= at;
                }
            }
        }
        self.more
    }

    /// Whether something waits for more than what is committed.
    pub(super) fn is_gated(&self, committed: u64) -> bool {
        self.marks.back().is_some_and(|(_, ticket)| *ticket > committed)
    }

    /// Whether something may be written.
    pub(crate) fn is_ready(&self, committed: u64) -> bool {
        let first = self.marks.front();
        !self.out.is_empty() && first.is_none_or(|(place, ticket)| *place > 0 || *ticket <= committed)
    }

    /// Whether the hub is to be asked once more, when others have had their turn.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.again
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// To be woken when something comes.
    pub(crate) fn sleep(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }

    /// Whether, and why, the connection is to end.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }
}
