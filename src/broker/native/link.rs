//! Links of this program's own parts to the hub: a publish is done when it returns.

use super::Shared;
use super::hub::{Holder, Key};
use super::inbox::Inbox;
use super::message::Message;
use crate::broker::{self, Died, PublishError, Qos, Refused};
use crate::topic::Filter;
use bytestring::ByteString;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// What both halves hold on to; the link ends with the last of them.
#[derive(Debug)]
struct Link {
    shared: Arc<Shared>,
    key: Key,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.hub().detach(self.key);
    }
}

/// The publishing half.
#[derive(Debug)]
pub(in super::super) struct Publisher {
    link: Arc<Link>,
    /// A subscriber that was behind the last time.
    held_by: Option<Key>,
}

/// The receiving half.
#[derive(Debug)]
pub(in super::super) struct Subscriber {
    _link: Arc<Link>,
    inbox: Arc<Inbox>,
}

pub(super) fn make(
    shared: &Arc<Shared>,
    name: &str,
    filters: &[(Filter, Qos)],
    depth: usize,
) -> (Publisher, Subscriber) {
    let inbox = Arc::new(Inbox::new(depth));
    let filters = filters
        .iter()
        .map(|(filter, qos)| (ByteString::from(filter.as_str()), *qos));
    let key = shared.hub().attach(name, filters, inbox.clone());
    let link = Arc::new(Link {
        shared: shared.clone(),
        key,
    });
    let publisher = Publisher {
        link: link.clone(),
        held_by: None,
    };
    (publisher, Subscriber { _link: link, inbox })
}

impl Publisher {
    pub(in super::super) fn offer(&mut self, message: broker::Message) -> Result<(), Refused> {
        let mut hub = self.link.shared.hub();
        if let Some(by) = self.held_by {
            if hub.is_held(by) {
                return Err(Refused::Full(message));
            }
            self.held_by = None;
        }
        let Ok(topic) = ByteString::try_from(message.topic.bytes()) else {
            let why = "it is not UTF-8";
            return Err(Refused::Topic {
                topic: message.topic,
                why,
            });
        };
        let message = Message {
            topic,
            payload: message.payload,
            qos: message.qos,
            retain: message.retain,
            expires: None,
            properties: message.beside.as_deref().and_then(super::beside::written),
        };
        self.held_by = hub.publish(message, Some(self.link.key), Instant::now()).held_by;
        hub.settle();
        Ok(())
    }

    pub(in super::super) async fn publish(&mut self, message: broker::Message) -> Result<(), PublishError> {
        let mut message = Some(message);
        poll_fn(|context| {
            if let Some(by) = self.held_by
                && self.link.shared.hub().holds(Holder::Reader(by), context.waker())
            {
                return Poll::Pending;
            }
            self.held_by = None;
            let Some(message) = message.take() else {
                return Poll::Ready(Ok(()));
            };
            match self.offer(message) {
                // Nobody is in the way: see above.
                Ok(()) | Err(Refused::Full(_)) => Poll::Ready(Ok(())),
                Err(Refused::Topic { topic, why }) => Poll::Ready(Err(PublishError::Topic { topic, why })),
                Err(Refused::Dead(died)) => Poll::Ready(Err(PublishError::Dead(died))),
            }
        })
        .await
    }

    pub(in super::super) async fn flush(&mut self) -> Result<(), Died> {
        Ok(())
    }

    pub(in super::super) fn depth(&self) -> usize {
        0
    }
}

impl Subscriber {
    pub(in super::super) async fn next(&mut self) -> Result<broker::Message, Died> {
        poll_fn(|context| self.inbox.poll(context)).await.ok_or(Died::Cut)
    }

    pub(in super::super) fn dropped(&self) -> u64 {
        self.inbox.dropped()
    }
}
