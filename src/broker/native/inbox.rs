//! Messages for a part of this program: bounded, the oldest goes when nobody takes them.

use crate::broker::Message;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The queue of one link.
#[derive(Debug)]
pub(crate) struct Inbox {
    depth: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    dropped: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl Inbox {
    /// A queue for at most `depth` messages.
    pub(crate) fn new(depth: usize) -> Inbox {
        Inbox {
            depth: depth.max(1),
            state: Mutex::default(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn push(&self, message: Message) {
        let waker = self.with(|state| {
            if state.messages.len() >= self.depth {
                state.messages.pop_front();
                state.dropped += 1;
            }
            state.messages.push_back(message);
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        let waker = self.with(|state| {
            state.closed = true;
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next message; `None` when none will come.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Option<Message>> {
        self.with(|state| match state.messages.pop_front() {
            Some(message) => Poll::Ready(Some(message)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.with(|state| state.dropped)
    }
}
