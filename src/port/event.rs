//! The one place where a port waits, for whatever comes first.

use super::asking::Master;
use super::outbox::{Next, Outbox};
use super::{Attempt, Order, Parts, Port, now};
use crate::broker::{Message, PublishError, Publisher, Subscriber};
use crate::bus;
use crate::frame::Decoder;
use crate::serial;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, ReadBuf};

/// What a port waits for.
pub(super) enum Event {
    /// The gateway wants something; `None`: the gateway is gone.
    Order(Option<Order>),
    /// Device nodes have come or gone. It is kept while the port is open or being opened.
    Changed,
    /// The device was looked for.
    Attempted(Attempt),
    /// So many bytes were read into the decoder.
    Read(io::Result<usize>),
    /// So many bytes of the frame in hand were written.
    Wrote(io::Result<usize>),
    /// So many bytes were read, of a device that was asked.
    Heard(io::Result<usize>),
    /// So many bytes of a request were written.
    Asked(io::Result<usize>),
    /// A message for the device; `None`: the broker is no more.
    Message(Option<Message>),
    /// The broker has taken the first of the messages that were held, or never will.
    Handed(Result<(), PublishError>),
    /// One of the deadlines may have come.
    Time,
}

impl Port {
    /// Waits. With a `line`, for its bytes (if they are to be `read`) and for room in it, too.
    ///
    /// Every arm is cancel-safe: the two channels, the set of tasks and the subscriber by their own contracts,
    /// `publish` because it publishes nothing when it is dropped before its end, reading and writing because they
    /// are single system calls whose result is returned at once.
    pub(super) async fn event(
        &mut self,
        mut line: Option<&mut serial::Port>,
        read: bool,
        until: Option<Instant>,
    ) -> Event {
        let is_open = line.is_some();
        // While the broker is behind, and when the gateway stops, nothing more is asked.
        let begin = read && self.held.is_empty();
        let deadlines = [
            until,
            self.decoder.deadline().filter(|_| is_open),
            self.outbox.quiet(now()).filter(|_| is_open),
            self.outbox.expiry(),
            self.counters_due,
            self.publish_deadline().filter(|_| self.held.is_empty()),
            self.master.as_ref().and_then(|master| match is_open {
                true => master.bus.deadline(now(), begin),
                false => master.bus.expiry(),
            }),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        if let Some(deadline) = deadline {
            let deadline = tokio::time::Instant::from_std(deadline);
            // A timer that rings too early costs one round; setting it for each frame would cost more.
            if self.timer.is_elapsed() || self.timer.deadline() > deadline {
                self.timer.as_mut().reset(deadline);
            }
        }
        let read = read && self.held.is_empty();
        let Port {
            parts,
            held,
            decoder,
            outbox,
            timer,
            opening,
            master,
            ..
        } = self;
        let look = !is_open && opening.is_empty();
        let Parts {
            publisher,
            subscriber,
            changes,
            orders,
            ..
        } = parts;
        tokio::select! {
            order = orders.recv() => Event::Order(order),
            event = poll_fn(|cx| match (&mut line, master.as_deref_mut()) {
                (Some(line), Some(master)) => poll_bus(cx, line, master, begin),
                (Some(line), None) => poll_line(cx, line, decoder, outbox, read),
                (None, _) => Poll::Pending,
            }) => event,
            message = next_message(subscriber) => Event::Message(message),
            result = hand(publisher, held) => Event::Handed(result),
            Some(attempt) = opening.join_next() => Event::Attempted(attempt.unwrap_or_else(|lost| Attempt::Refused {
                state: "failing",
                why: lost.to_string(),
                soon: false,
            })),
            Ok(()) = changes.changed(), if look => Event::Changed,
            () = timer.as_mut(), if deadline.is_some() => Event::Time,
        }
    }
}

/// Waits until the broker has taken the first of the messages that are held.
async fn hand(publisher: &mut Publisher, held: &mut VecDeque<Message>) -> Result<(), PublishError> {
    let Some(message) = held.front() else {
        return pending().await;
    };
    let result = publisher.publish(message.clone()).await;
    held.pop_front();
    result
}

/// The next message, or `None` when the broker is no more.
async fn next_message(subscriber: &mut Option<Subscriber>) -> Option<Message> {
    match subscriber {
        None => pending().await,
        Some(subscriber) => subscriber.next().await.ok(),
    }
}

/// Reads what there is to read, so that nothing from before a request is taken for its reply; then writes.
fn poll_bus(cx: &mut Context<'_>, line: &mut serial::Port, master: &mut Master, begin: bool) -> Poll<Event> {
    let mut buffer = ReadBuf::new(&mut master.buffer);
    if let Poll::Ready(result) = Pin::new(&mut *line).poll_read(cx, &mut buffer) {
        return Poll::Ready(Event::Heard(result.map(|()| buffer.filled().len())));
    }
    loop {
        match master.bus.next(now(), begin) {
            bus::Next::Write(rest, wake) => {
                return line.poll_send(cx, rest, wake).map(Event::Asked);
            }
            bus::Next::Baud(baud) => {
                if let Err(error) = line.set_baud(baud) {
                    return Poll::Ready(Event::Asked(Err(error)));
                }
            }
            bus::Next::Idle => return settle(cx, line).map(|error| Event::Asked(Err(error))),
        }
    }
}

/// With no frame in hand: turns the line back. Ready only when that fails.
fn settle(cx: &mut Context<'_>, line: &mut serial::Port) -> Poll<io::Error> {
    match line.poll_settle(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(error),
        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
    }
}

/// Writes what there is to write, then reads what there is to read.
fn poll_line(
    cx: &mut Context<'_>,
    line: &mut serial::Port,
    decoder: &mut Decoder,
    outbox: &mut Outbox,
    read: bool,
) -> Poll<Event> {
    let written = match outbox.next(now()) {
        Next::Write(rest, wake) => line.poll_send(cx, rest, wake),
        Next::Wait(_) | Next::Idle => settle(cx, line).map(Err),
    };
    if let Poll::Ready(result) = written {
        return Poll::Ready(Event::Wrote(result));
    }
    if read {
        let mut buffer = ReadBuf::new(decoder.space());
        if let Poll::Ready(result) = Pin::new(line).poll_read(cx, &mut buffer) {
            return Poll::Ready(Event::Read(result.map(|()| buffer.filled().len())));
        }
    }
    Poll::Pending
}
