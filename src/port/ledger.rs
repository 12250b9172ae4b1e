//! The life of commands as it is told: to a result topic, and to the response topic of a request of MQTT 5.

use crate::broker::{Beside, Message, Qos, Sent};
use crate::field::timestamp;
use crate::topic::Topic;
use bytes::Bytes;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// So many commands are remembered, to know one that comes twice.
const REMEMBERED: usize = 256;
/// So long one is remembered that its sender may send again because no acknowledgement came: ids are used again.
const AGAIN: Duration = Duration::from_secs(60);

/// The commands of a port that have not ended, and some that have.
#[derive(Debug)]
pub(super) struct Ledger {
    port: Arc<str>,
    /// What tells the commands of this run from those of others.
    run: String,
    next: u64,
    open: BTreeMap<u64, Account>,
    remembered: VecDeque<(Topic, Topic, Bytes)>,
    acknowledged: VecDeque<Taken>,
    /// Hashes of its own, so that nobody outside can make two commands look the same.
    hashes: RandomState,
}

/// A command of quality of service 1, as its sender has numbered it.
#[derive(Debug)]
struct Taken {
    client: Bytes,
    id: u16,
    /// A hash of topic and payload: what is sent again is the same.
    what: u64,
    at: SystemTime,
}

/// One command.
#[derive(Debug)]
struct Account {
    topic: Topic,
    device: Option<Arc<str>>,
    /// Where its life is told.
    result: Option<Topic>,
    /// Where its end is told, with what tells requests apart there.
    response: Option<(Topic, Option<Bytes>)>,
    queued: SystemTime,
    sent: Option<SystemTime>,
    tries: u32,
}

/// A step in a command's life.
#[derive(Debug, Default)]
pub(super) struct Step<'a> {
    /// Its name.
    pub(super) state: &'a str,
    /// Whether it is the last one.
    pub(super) end: bool,
    pub(super) reason: Option<String>,
    /// Values that the device gave.
    pub(super) values: Option<Map<String, Json>>,
}

impl Ledger {
    pub(super) fn new(port: Arc<str>, now: SystemTime) -> Ledger {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ledger {
            port,
            run: format!("{:x}", since.as_millis()),
            next: 0,
            open: BTreeMap::new(),
            remembered: VecDeque::new(),
            acknowledged: VecDeque::new(),
            hashes: RandomState::new(),
        }
    }

    /// Whether a message has been taken already: by its response topic and correlation data, or because its sender
    /// says that it sends it again.
    pub(super) fn is_twice(&mut self, message: &Message, now: SystemTime) -> bool {
        let Some(beside) = &message.beside else {
            return false;
        };
        if let Some(sent) = &beside.sent
            && self.is_again(message, sent, now)
        {
            return true;
        }
        let (Some(response), Some(correlation)) = (&beside.response, &beside.correlation) else {
            return false;
        };
        let key = (message.topic.clone(), response.clone(), correlation.clone());
        if self.remembered.contains(&key) {
            return true;
        }
        if self.remembered.len() >= REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(key);
        false
    }

    /// Whether this was taken not long ago, from the same client, under the same id. If not, it is remembered in place
    /// of what came under that id before.
    fn is_again(&mut self, message: &Message, sent: &Sent, now: SystemTime) -> bool {
        let what = self.hashes.hash_one((&message.topic, &message.payload));
        let same = |taken: &Taken| taken.client == sent.client && taken.id == sent.id;
        if let Some(at) = self.acknowledged.iter().position(same) {
            let known = &self.acknowledged[at];
            let young = now.duration_since(known.at).is_ok_and(|age| age < AGAIN);
            if sent.again && young && known.what == what {
                return true;
            }
            self.acknowledged.remove(at);
        }
        if self.acknowledged.len() >= REMEMBERED {
            self.acknowledged.pop_front();
        }
        self.acknowledged.push_back(Taken {
            client: sent.client.clone(),
            id: sent.id,
            what,
            at: now,
        });
        false
    }

    /// A command has come: the ticket by which its life is told. The response topic is the publisher's choice, so it
    /// is asked whether it `may` be used.
    pub(super) fn open(
        &mut self,
        message: &Message,
        device: Option<Arc<str>>,
        result: Option<Topic>,
        may: impl Fn(&Topic) -> bool,
        now: SystemTime,
    ) -> u64 {
        self.next += 1;
        let beside = message.beside.as_deref();
        let response = beside.and_then(|beside| {
            let topic = beside.response.clone().filter(|topic| may(topic))?;
            Some((topic, beside.correlation.clone()))
        });
        let account = Account {
            topic: message.topic.clone(),
            device,
            result,
            response,
            queued: now,
            sent: None,
            tries: 0,
        };
        self.open.insert(self.next, account);
        self.next
    }

    /// The topic that a command came on, until it has ended.
    pub(super) fn topic(&self, ticket: u64) -> Option<&Topic> {
        Some(&self.open.get(&ticket)?.topic)
    }

    /// What is to be published of a step in a command's life. After its end there is none.
    pub(super) fn step(&mut self, ticket: u64, step: Step<'_>, now: SystemTime) -> Vec<Message> {
        let Some(account) = self.open.get_mut(&ticket) else {
            return Vec::new();
        };
        if step.state == "sent" {
            account.sent.get_or_insert(now);
            // What ends as sent has been counted.
            account.tries += u32::from(!step.end || account.tries == 0);
        }
        let mut messages = Vec::new();
        if account.result.is_some() || account.response.is_some() && step.end {
            let payload: Bytes = account.json(&self.port, &self.run, ticket, &step, now).into();
            let message = |topic: &Topic, beside| Message {
                topic: topic.clone(),
                payload: payload.clone(),
                qos: Qos::AtLeastOnce,
                retain: false,
                beside,
            };
            messages.extend(account.result.as_ref().map(|topic| message(topic, None)));
            if let (Some((topic, correlation)), true) = (&account.response, step.end) {
                let beside = Beside {
                    correlation: correlation.clone(),
                    ..Beside::default()
                };
                messages.push(message(topic, Some(Box::new(beside))));
            }
        }
        if step.end {
            self.open.remove(&ticket);
        }
        messages
    }

    /// How many have not ended.
    #[cfg(test)]
    fn living(&self) -> usize {
        self.open.len()
    }
}

impl Account {
    fn json(&self, port: &str, run: &str, ticket: u64, step: &Step<'_>, now: SystemTime) -> String {
        let mut all = Map::new();
        let mut put = |name: &str, value: Json| all.insert(name.to_owned(), value);
        put("id", format!("{port}-{run}-{ticket}").into());
        put("state", step.state.into());
        put("final", step.end.into());
        if let Some(reason) = &step.reason {
            put("reason", reason.as_str().into());
        }
        put("topic", self.topic.as_str().into());
        put("port", port.into());
        if let Some(device) = &self.device {
            put("device", (&**device).into());
        }
        put("queued", timestamp(self.queued).into());
        if let Some(sent) = self.sent {
            put("sent", timestamp(sent).into());
            put("tries", self.tries.into());
        }
        put("time", timestamp(now).into());
        if let Some(values) = &step.values {
            put("values", Json::Object(values.clone()));
        }
        Json::Object(all).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(correlation: Option<&'static [u8]>) -> Message {
        Message {
            topic: Topic::parse("home/set").unwrap(),
            payload: Bytes::from_static(b"1"),
            qos: Qos::AtLeastOnce,
            retain: false,
            beside: correlation.map(|data| {
                Box::new(Beside {
                    response: Topic::parse("answers").ok(),
                    correlation: Some(Bytes::from_static(data)),
                    ..Beside::default()
                })
            }),
        }
    }

    #[test]
    fn the_result_topic_hears_each_step_and_the_response_topic_the_end() {
        let now = SystemTime::UNIX_EPOCH;
        let mut ledger = Ledger::new("bus".into(), now);
        let result = Topic::parse("home/set/result").ok();
        let ticket = ledger.open(&request(Some(b"c")), Some("one".into()), result, |_| true, now);
        let step = |state, end| Step {
            state,
            end,
            ..Step::default()
        };
        assert_eq!(ledger.step(ticket, step("queued", false), now).len(), 1);
        assert_eq!(ledger.step(ticket, step("sent", false), now).len(), 1);
        let end = ledger.step(ticket, step("answered", true), now);
        let topics: Vec<&str> = end.iter().map(|message| message.topic.as_str()).collect();
        assert_eq!(topics, ["home/set/result", "answers"]);
        let json: Json = serde_json::from_slice(&end[1].payload).unwrap();
        assert_eq!(
            (&json["state"], &json["final"], &json["tries"]),
            (&"answered".into(), &true.into(), &1.into())
        );
        assert_eq!(json["id"], "bus-0-1");
        let beside = end[1].beside.as_deref().unwrap();
        assert_eq!(beside.correlation.as_deref(), Some(&b"c"[..]));
        assert_eq!(
            ledger.step(ticket, step("timed-out", true), now),
            [],
            "there is one end"
        );
        assert_eq!(ledger.living(), 0);
        // Nobody has the gateway speak where it should not.
        let ticket = ledger.open(&request(Some(b"d")), None, None, |_| false, now);
        assert_eq!(ledger.step(ticket, step("answered", true), now), []);
    }

    #[test]
    fn a_request_that_comes_twice_is_known_by_its_correlation_data() {
        let mut ledger = Ledger::new("bus".into(), SystemTime::UNIX_EPOCH);
        let mut twice = |request: &Message| ledger.is_twice(request, SystemTime::UNIX_EPOCH);
        assert!(!twice(&request(Some(b"a"))));
        assert!(twice(&request(Some(b"a"))));
        assert!(!twice(&request(Some(b"b"))));
        assert!(!twice(&request(None)) && !twice(&request(None)));
    }

    #[test]
    fn what_its_sender_sends_again_is_known_by_its_id() {
        let mut ledger = Ledger::new("bus".into(), SystemTime::UNIX_EPOCH);
        let mut twice = |client: &'static str, id, again, payload: &'static str, second| {
            let sent = Some(Sent {
                client: client.into(),
                id,
                again,
            });
            let message = Message {
                payload: payload.into(),
                beside: Some(Box::new(Beside {
                    sent,
                    ..Beside::default()
                })),
                ..request(None)
            };
            ledger.is_twice(&message, SystemTime::UNIX_EPOCH + Duration::from_secs(second))
        };
        assert!(
            !twice("a", 1, true, "on", 0),
            "the first has been lost on its way"
        );
        assert!(twice("a", 1, true, "on", 1));
        assert!(twice("a", 1, true, "on", 2), "as often as it likes");
        assert!(!twice("b", 1, true, "on", 3), "of another client");
        assert!(!twice("a", 2, true, "on", 4), "another one that says the same");
        assert!(!twice("a", 1, false, "on", 5), "the id is used again");
        assert!(
            !twice("a", 1, true, "off", 6),
            "and again, and the first has been lost"
        );
        assert!(twice("a", 1, true, "off", 7));
        assert!(!twice("a", 1, true, "off", 80), "nobody waits so long");
    }
}
