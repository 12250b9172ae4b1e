//! The links of this program's own parts: sessions without a connection.

use super::super::inbox::Inbox;
use super::super::message::Options;
use super::session::{Endpoint, Session, Subscription};
use super::{Hub, Key};
use crate::broker::Qos;
use bytestring::ByteString;
use std::sync::Arc;

impl Hub {
    /// Joins an inbox to these filters. Its key publishes: what it publishes itself does not come back to it.
    pub(crate) fn attach(
        &mut self,
        name: &str,
        filters: impl IntoIterator<Item = (ByteString, Qos)>,
        inbox: Arc<Inbox>,
    ) -> Key {
        let key = self
            .sessions
            .insert(Session::new(name.into(), Endpoint::Local(inbox)));
        for (filter, qos) in filters {
            let options = Options {
                qos,
                no_local: true,
                ..Options::default()
            };
            let subscription = Subscription {
                options,
                group: None,
                filter: filter.clone(),
            };
            self.enter_subscription(key, filter, subscription);
        }
        key
    }

    /// Ends a link.
    pub(crate) fn detach(&mut self, key: Key) {
        let local = |session: &&Session| matches!(session.endpoint, Endpoint::Local(_));
        if self.sessions.get(key).filter(local).is_none() {
            return;
        }
        let session = self.sessions.remove(key);
        if let Endpoint::Local(inbox) = &session.endpoint {
            inbox.close();
        }
        for subscription in session.subscriptions.values() {
            self.take_out(key, subscription);
        }
    }
}
