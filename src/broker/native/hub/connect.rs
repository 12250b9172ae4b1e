//! Clients that come and go: sessions begun, gone on with, taken over, ended; and their wills.

use super::super::message::{Message, Who};
use super::super::shown::Shown;
use super::super::wire::{Connack, Connect, Fault, Version, Will, reason};
use super::outlet::{End, Outlet};
use super::session::{Aliases, Connection, Endpoint, FOR_EVER, Session};
use super::{Hub, Key, Seat, Timer, filter};
use crate::broker::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client that has said who it is, and has been found to be it.
pub(crate) struct Arrival {
    pub(crate) connect: Connect,
    /// The name it is known by: of its password, or its certificate.
    pub(crate) user: Option<ByteString>,
    /// The name of its listener.
    pub(crate) listener: ByteString,
    pub(crate) outlet: Arc<Outlet>,
}

/// A client that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seated {
    pub(crate) seat: Seat,
    /// Its client id, given or its own.
    pub(crate) client: ByteString,
    /// In seconds; 0: none.
    pub(crate) keep_alive: u16,
}

/// Why a client is not taken in: the reason code of MQTT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u8,
    pub(crate) why: &'static str,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The client said good-bye: no will.
    Clean,
    /// It is gone, or has said another thing than a plain good-bye.
    Lost,
    /// Another connection of the same client goes on with the session.
    TakenOver,
}

/// A copy of its own: what a CONNECT holds is a part of what was read from the socket, which would be kept as long.
fn apart(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

const fn refuse<T>(code: u8, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { code, why })
}

impl Hub {
    /// Takes a client in, or refuses it; the CONNACK of one that is taken in is in its outlet.
    pub(crate) fn arrive(&mut self, arrival: Arrival, now: Instant) -> Result<Seated, Refusal> {
        let Arrival {
            connect,
            user,
            listener,
            outlet,
        } = arrival;
        let mount = self.settings.mounts.get(&listener).cloned();
        let five = connect.version.is_five();
        if connect.auth_method.is_some() {
            let why = "there is no enhanced authentication here";
            return refuse(reason::BAD_AUTHENTICATION_METHOD, why);
        }
        let assigned = connect.client.is_empty();
        let client = if assigned {
            self.given_id(&connect)?
        } else {
            apart(&connect.client)
        };
        let will = match connect.will {
            Some(will) => Some(self.checked_will(will, mount.as_ref())?),
            None => None,
        };
        let (keep_alive, server_keep_alive) = self.keep_alive(connect.version, connect.keep_alive)?;
        let expiry = match self.settings.longest_expiry {
            Some(longest) => connect.expiry.min(longest),
            None => connect.expiry,
        };

        let ack = Connack {
            session_present: false,
            assigned_client: assigned.then(|| client.clone()),
            server_keep_alive,
            receive_maximum: NonZeroU16::new(self.settings.max_inflight),
            maximum_packet: self.settings.told_packet,
            alias_maximum: self.settings.max_alias,
            maximum_qos: [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]
                [usize::from(self.settings.max_qos.min(2))],
            retain_available: self.settings.retain,
            expiry: (five && expiry != connect.expiry).then_some(expiry),
            ..Connack::default()
        };
        if let Some(longest) = connect.maximum_packet {
            let mut written = bytes::BytesMut::new();
            outlet.encoder.connack(&ack, &mut written);
            if written.len() > longest as usize {
                return refuse(
                    reason::PACKET_TOO_LARGE,
                    "it takes only packets that are shorter than a CONNACK",
                );
            }
        }

        let known = self.clients.get(&client).copied();
        if let Some(key) = known {
            self.take_over(key, connect.clean, now);
        }
        // Its session may have ended with that.
        let mut known = self.clients.get(&client).copied();
        if let Some(key) = known.filter(|key| connect.clean || self.sessions[*key].ghost) {
            // MQTT-3.1.3-9: the client is back before the delay of its will was over. Though its session ends with a clean start,
            // mosquitto, too, takes it for the same client.
            self.sessions[key].will = None;
            self.end_session(key, now);
            known = None;
        }
        let session_present = known.is_some();
        let key = known.unwrap_or_else(|| {
            let key = self.sessions.insert(Session::new(client.clone(), Endpoint::Away));
            self.clients.insert(client.clone(), key);
            self.offline += 1;
            key
        });

        self.serial += 1;
        let seat = Seat {
            key,
            serial: self.serial,
        };
        let window = connect.receive_maximum.min(self.settings.window);
        let who = Arc::new(Who {
            user: user.as_ref().map(apart),
            client: client.clone(),
            listener,
        });
        let grants = self.granted(&who);
        let session = &mut self.sessions[key];
        session.who = who;
        session.grants = grants;
        session.expiry = expiry;
        session.expiry_said = connect.expiry_said;
        session.will = will.map(Box::new);
        session.mount = mount;
        session.away_since = None;
        session.endpoint = Endpoint::Net(Connection {
            serial: self.serial,
            outlet: outlet.clone(),
            window: window.into(),
            longest: connect.maximum_packet.map_or(usize::MAX, |most| most as usize),
            aliases: (connect.alias_maximum > 0).then(|| {
                Box::new(Aliases {
                    most: connect.alias_maximum,
                    ..Aliases::default()
                })
            }),
        });
        if let Some(due) = session.forget_due.take() {
            self.timers.remove(&(due, Timer::Forget(key)));
        }
        if let Some(due) = session.will_due.take() {
            // MQTT-3.1.3-9: the client is back before its delay was over.
            self.timers.remove(&(due, Timer::Will(key)));
        }
        self.offline -= 1;
        self.connected += 1;
        self.stats.most_connected = self.stats.most_connected.max(self.connected);
        self.record_session(key, now);

        let ack = Connack {
            session_present,
            ..ack
        };
        self.say(key, |outlet, out| outlet.encoder.connack(&ack, out));
        self.resume(key, now);
        Ok(Seated {
            seat,
            client,
            keep_alive,
        })
    }

    /// An id for a client that has none.
    fn given_id(&self, connect: &Connect) -> Result<ByteString, Refusal> {
        let allowed = self.settings.zero_length_clientid && connect.version != Version::V31;
        if !allowed || !connect.clean {
            let five = connect.version.is_five();
            let code = if five {
                reason::UNSPECIFIED
            } else {
                reason::CLIENT_ID_NOT_VALID
            };
            return refuse(code, "an empty client id");
        }
        // Not to be guessed: who takes an id takes its session.
        let random = || RandomState::new().build_hasher().finish();
        let (high, low) = (random(), random());
        let prefix = &self.settings.auto_id_prefix;
        // A UUID of version 4 (RFC 9562 section 5.4).
        Ok(format!(
            "{prefix}{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        )
        .into())
    }

    fn checked_will(&self, mut will: Will, mount: Option<&ByteString>) -> Result<Will, Refusal> {
        if will.qos as u8 > self.settings.max_qos {
            return refuse(
                reason::QOS_NOT_SUPPORTED,
                "the will's quality of service is too high",
            );
        }
        if will.retain && !self.settings.retain {
            return refuse(
                reason::RETAIN_NOT_SUPPORTED,
                "the will is to be retained, and nothing is here",
            );
        }
        let too_large = self.settings.message_size != 0 && will.payload.len() > self.settings.message_size;
        if too_large {
            return refuse(reason::PACKET_TOO_LARGE, "the will's payload is too large");
        }
        if !filter::topic_has_few_levels(&will.topic) {
            return refuse(reason::TOPIC_NAME_INVALID, "the will's topic has too many levels");
        }
        if let Some(mount) = mount {
            if mount.len() + will.topic.len() > usize::from(u16::MAX) {
                let why = "the will's topic and the mount point are too long together";
                return refuse(reason::TOPIC_NAME_INVALID, why);
            }
            will.topic = format!("{mount}{}", will.topic).into();
        }
        will.topic = apart(&will.topic);
        will.payload = Bytes::copy_from_slice(&will.payload);
        Ok(will)
    }

    /// The keep alive that holds, and what an MQTT 5 client is told of it.
    fn keep_alive(&self, version: Version, asked: u16) -> Result<(u16, Option<u16>), Refusal> {
        let most = self.settings.max_keepalive;
        if most == 0 || asked != 0 && asked <= most {
            return Ok((asked, None));
        }
        if version.is_five() {
            return Ok((most, Some(most)));
        }
        refuse(
            reason::CLIENT_ID_NOT_VALID,
            "the keep alive is longer than is allowed",
        )
    }

    /// Ends the connection of a client that has come again.
    fn take_over(&mut self, key: Key, session_ends: bool, now: Instant) {
        let Some(connection) = self.sessions[key].connection() else {
            return;
        };
        let end = End {
            code: reason::SESSION_TAKEN_OVER,
            why: "another connection has its client id",
        };
        connection.outlet.close(end, false);
        let how = if session_ends { How::Lost } else { How::TakenOver };
        self.depart(key, how, now);
    }

    /// A client's DISCONNECT.
    pub(super) fn disconnect(
        &mut self,
        seat: Seat,
        code: u8,
        expiry: Option<u32>,
        now: Instant,
    ) -> Result<(), Fault> {
        let longest = self.settings.longest_expiry;
        let session = &mut self.sessions[seat.key];
        if let Some(expiry) = expiry {
            // MQTT-3.14.2-2 (and section 3.14.2.2.2).
            if session.expiry == 0 && expiry != 0 {
                return Err(Fault::protocol("a session expiry, after none in the CONNECT"));
            }
            session.expiry = longest.map_or(expiry, |longest| expiry.min(longest));
        }
        // MQTT-3.14.4-3: no other code takes the will back.
        let how = if code == reason::SUCCESS {
            How::Clean
        } else {
            How::Lost
        };
        self.depart(seat.key, how, now);
        Ok(())
    }

    /// A connection has ended without a good-bye.
    pub(crate) fn lost(&mut self, seat: Seat, now: Instant) {
        if self.sits(seat) {
            self.depart(seat.key, How::Lost, now);
        }
    }

    /// A connection has broken the rules, or the keep alive is over: says so, where the version can. The connection
    /// ends when that is written.
    pub(crate) fn fail(&mut self, seat: Seat, fault: Fault, now: Instant) {
        if !self.sits(seat) {
            return;
        }
        if let Some(connection) = self.sessions[seat.key].connection() {
            let end = End {
                code: fault.code,
                why: fault.what,
            };
            connection.outlet.close(end, fault.mute);
        }
        self.depart(seat.key, How::Lost, now);
    }

    /// The connection is no more; the session may be.
    fn depart(&mut self, key: Key, how: How, now: Instant) {
        let session = &mut self.sessions[key];
        session.endpoint = Endpoint::Away;
        session.pressure.release();
        session.pressure.slow = false;
        if let Some(since) = session.pressure.since.take() {
            self.timers
                .remove(&(since + super::deliver::PATIENCE, Timer::Patience(key)));
        }
        self.connected -= 1;
        self.offline += 1;
        if how == How::Clean {
            session.will = None;
        }
        if session.expiry == 0 {
            let delayed = session.will.as_ref().is_some_and(|will| will.delay > 0);
            match how {
                How::Lost if delayed && !session.expiry_said => return self.leave_ghost(key, now),
                // The client is back before the delay was over.
                How::TakenOver if delayed && !session.expiry_said => session.will = None,
                _ => {}
            }
            return self.end_session(key, now);
        }
        let (expiry, delay) = (session.expiry, session.will.as_ref().map(|will| will.delay));
        if !self.settings.queue_zero {
            session.queue.remove(|waiting| waiting.qos == Qos::AtMostOnce);
        }
        self.pass_on(key, now);
        match delay {
            // The session goes on at once: its will is not due (MQTT-3.1.2-8), as mosquitto has it, too.
            Some(_) if how == How::TakenOver => self.sessions[key].will = None,
            Some(0) => self.publish_will(key, now),
            Some(delay) => {
                let due = now + Duration::from_secs(delay.min(expiry).into());
                self.sessions[key].will_due = Some(due);
                self.arm(due, Timer::Will(key));
            }
            None => {}
        }
        if expiry != FOR_EVER {
            let due = now + Duration::from_secs(expiry.into());
            self.sessions[key].forget_due = Some(due);
            self.arm(due, Timer::Forget(key));
        }
        self.sessions[key].away_since = Some(now);
        self.record_session(key, now);
        if how != How::TakenOver {
            self.bound_offline(now);
        }
    }

    /// A client that has not said that its session is to be kept, and whose will has a delay: the session is over, and
    /// the will waits all the same, as mosquitto has it; a client that comes again in time cancels it.
    fn leave_ghost(&mut self, key: Key, now: Instant) {
        let session = &mut self.sessions[key];
        let (client, who) = (session.client.clone(), session.who.clone());
        let (grants, mount) = (session.grants.clone(), session.mount.clone());
        let Some(will) = session.will.take() else {
            return;
        };
        self.end_session(key, now);
        let due = now + Duration::from_secs(will.delay.into());
        let mut ghost = Session::new(client.clone(), Endpoint::Away);
        ghost.ghost = true;
        ghost.who = who;
        ghost.grants = grants;
        ghost.mount = mount;
        ghost.will = Some(will);
        ghost.will_due = Some(due);
        ghost.away_since = Some(now);
        // After the will, which has the lower name.
        ghost.forget_due = Some(due);
        let key = self.sessions.insert(ghost);
        self.clients.insert(client, key);
        self.offline += 1;
        self.arm(due, Timer::Will(key));
        self.arm(due, Timer::Forget(key));
        self.bound_offline(now);
    }

    /// Forgets the sessions that have been away longest, where there are too many: after a restart, all that were
    /// connected are.
    fn bound_offline(&mut self, now: Instant) {
        let most = self.settings.max_offline;
        while most != 0 && self.offline > most {
            let away = self
                .sessions
                .iter()
                .filter(|(_, session)| !session.is_over() && session.is_away());
            let Some((key, _)) = away.min_by_key(|(_, session)| session.away_since) else {
                return;
            };
            tracing::warn!(event = "session-forgotten", client = %Shown(&self.sessions[key].client), "session forgotten: too many clients are away");
            self.end_session(key, now);
        }
    }

    /// Forgets a session whose client is away, and publishes its will if it still has one.
    pub(super) fn end_session(&mut self, key: Key, now: Instant) {
        self.publish_will(key, now);
        self.pass_on(key, now);
        let session = self.clear_place(key, now);
        self.litter += session.queue.len();
        for (due, timer) in [
            (session.forget_due, Timer::Forget(key)),
            (session.will_due, Timer::Will(key)),
        ] {
            if let Some(due) = due {
                self.timers.remove(&(due, timer));
            }
        }
        if self.clients.get(&session.client) == Some(&key) {
            self.clients.remove(&session.client);
        }
        self.offline -= 1;
        if session.stored {
            self.record_forgotten(&session.client);
        }
        if self.sessions.len() < self.sessions.capacity() / 4 {
            self.sessions.shrink_to_fit();
        }
    }

    /// Publishes a session's will, if it has one.
    pub(super) fn publish_will(&mut self, key: Key, now: Instant) {
        let session = &mut self.sessions[key];
        if let Some(due) = session.will_due.take() {
            self.timers.remove(&(due, Timer::Will(key)));
        }
        let Some(will) = session.will.take() else {
            return;
        };
        if !session.grants.may_publish(session.below_mount(&will.topic)) {
            tracing::warn!(client = %Shown(&session.client), topic = %Shown(&will.topic), "will not published: not allowed");
            return;
        }
        let message = Message {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            expires: will
                .expiry
                .and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into()))),
            properties: will.properties,
        };
        self.publish(message, Some(key), now);
    }
}
