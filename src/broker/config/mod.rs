//! What a person may say about the broker: where it listens, who may connect, and what it may take.

mod access;
mod listener;
#[cfg(test)]
mod tests;
mod validate;

pub use access::{Access, Password, Rule, User};
pub use listener::{Address, Listener, Tls, Transport, Version};
pub use validate::Fault;
#[cfg(any(not(feature = "rumqttd"), not(feature = "tls")))]
pub(super) use validate::without;

use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// The broker: its listeners, who may do what there, its bounds, and what it remembers. Names are those of
/// mosquitto's configuration where they mean the same, with `-` for `_`.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Which broker runs inside: "native" (the default), or "rumqttd", for networks that are trusted. Of the
    /// keys here the latter knows `listener`, `user` (with passwords in clear), `max-connections`,
    /// `max-packet-size`, `connect-timeout` and `[broker.rumqttd]`.
    pub engine: Engine,
    /// Where clients connect, one table per address. Default: 127.0.0.1:1883, for this machine only (and for the
    /// engine "rumqttd" 127.0.0.1:1884 for MQTT 5). Say `0.0.0.0` to let the network in.
    pub listener: Vec<Listener>,

    /// Whether clients without a user name may connect. Default: as long as no user is listed, yes at listeners for
    /// this machine only; no in all other cases.
    pub allow_anonymous: Option<bool>,
    /// Who may connect with a name and a password. Default: nobody is listed.
    pub user: Vec<User>,
    /// A file of users and hashed passwords, as `mosquitto_passwd` or `mqttyd passwd --file` writes it. It is read
    /// at start and at each reload. A user who is listed here, too, has the password that stands here.
    pub password_file: Option<PathBuf>,
    /// Who may read and write which topics, in any order; all that no entry allows is refused. Default: who may
    /// connect may do everything.
    pub acl: Vec<Rule>,
    /// A file that says who may read and write which topics, in mosquitto's form. It is read at start and at each reload. Alone, without
    /// `acl`, it refuses no subscription, as in mosquitto: what the client may not read just does not come.
    pub acl_file: Option<PathBuf>,
    /// Whether a client may leave its id empty and is given one. Yes by default.
    pub allow_zero_length_clientid: bool,
    /// How the client ids that the broker gives begin. "auto-" by default.
    pub auto_id_prefix: String,

    /// How many network clients may be connected at once. Default: 1000.
    pub max_connections: usize,
    /// How many connections per second are taken; more wait. Default: 500. 0: as many as come.
    pub max_connect_rate: u32,
    /// How long a client may take for the TLS and WebSocket handshakes and until its CONNECT is there. Default: "10s".
    pub connect_timeout: Span,
    /// The longest packet that a client may send, in bytes; a longer one ends its connection. MQTT 5 clients are told
    /// it. Default: 16 MiB, without a word to them.
    pub max_packet_size: Option<usize>,
    /// The longest payload of a message, in bytes; longer ones are not taken. Default: 0, no bound but `max-packet-size`.
    pub message_size_limit: usize,
    /// How many QoS 1 and 2 messages may be on their way to one client, or from it, without an acknowledgement, 1 to
    /// 65535. Default: 20 from it, which MQTT 5 clients are told, and 100 to it, if it does not ask for fewer.
    pub max_inflight_messages: Option<u16>,
    /// How many messages may wait for one client beyond those on their way. Default: 1000. 0: no bound on their number.
    pub max_queued_messages: usize,
    /// How many bytes of messages may wait for one client. Default: 1048576 (1 MiB). 0: no bound on their size.
    pub max_queued_bytes: usize,
    /// Which message goes when a client's queue is full: "drop-newest" (the one that comes, the default) or
    /// "drop-oldest". Either is counted (`$SYS/broker/publish/messages/dropped`) and warned of.
    pub when_queue_full: WhenQueueFull,
    /// Whether QoS 0 messages, too, wait for a client that is away. No by default.
    pub queue_qos0_messages: bool,
    /// How many subscriptions one client may have. Default: 10000. 0: no bound.
    pub max_subscriptions: usize,
    /// How many retained messages are kept; a new topic beyond them is not retained. Default: 100000. 0: no bound.
    pub max_retained_messages: usize,
    /// How many sessions are kept of clients that are away; beyond them the one that has been away longest is
    /// forgotten. Default: 10000. 0: no bound.
    pub max_offline_sessions: usize,
    /// The longest keep alive, in seconds, that a client may ask for. An MQTT 5 client with a longer one, or none, is
    /// told this; an older client is refused. Default: 0, no bound.
    pub max_keepalive: u16,
    /// How many topic aliases an MQTT 5 client may use. Default: 10. 0: none.
    pub max_topic_alias: u16,
    /// The highest quality of service that clients may publish with: 0, 1 or 2 (the default).
    pub max_qos: u8,
    /// Whether messages may be retained. Yes by default.
    pub retain_available: bool,
    /// Whether a retained message is given only while its publisher may still write to its topic. Yes by default.
    pub check_retain_source: bool,
    /// Whether messages are delivered with the subscription's quality of service though published with a lower
    /// one. No by default; the standard wants the lower of both.
    pub upgrade_outgoing_qos: bool,
    /// Whether MQTT 5 clients are told in words, too, why something is refused or their connection ends, unless they
    /// have said that they do not want it. No by default: there are clients that compare bytes.
    pub reason_strings: bool,
    /// How long the session of a client that is away is kept at most. Default: as long as the client asks for,
    /// which for MQTT 3.1.1 without clean session is for ever.
    pub persistent_client_expiration: Option<Span>,
    /// Whether small messages are sent at once, and not gathered by the kernel (TCP_NODELAY). Yes by default.
    pub set_tcp_nodelay: bool,
    /// How often the `$SYS/broker/...` topics are published. "10s" by default; "0s" turns them off.
    pub sys_interval: Span,

    /// Whether retained messages and sessions are kept on disk. Default: yes if there is a folder for it.
    pub persistence: Option<bool>,
    /// The folder for it. Default: the service's state folder (`/var/lib/mqttyd`), and none without a service manager.
    pub persistence_location: Option<PathBuf>,
    /// How often at most the disk is asked to make sure of what was written. Default: "5s". What a client has an
    /// acknowledgement for survives the end of the process in any case; a power cut may take what was
    /// acknowledged in this time. "0s": nothing acknowledged is lost, and each acknowledgement waits for the disk.
    /// Retained messages of QoS 0 (those of serial ports too) are written at most so often.
    pub sync_interval: Span,

    /// What only the engine "rumqttd" has.
    pub rumqttd: Rumqttd,
    /// How many links of our own (one per port, and the gateway's) come on top of `max-connections`.
    #[serde(skip)]
    pub links: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            engine: Engine::default(),
            listener: Vec::new(),
            allow_anonymous: None,
            user: Vec::new(),
            password_file: None,
            acl: Vec::new(),
            acl_file: None,
            allow_zero_length_clientid: true,
            auto_id_prefix: "auto-".into(),
            max_connections: 1000,
            max_connect_rate: 500,
            connect_timeout: Span::millis(10_000),
            max_packet_size: None,
            message_size_limit: 0,
            max_inflight_messages: None,
            max_queued_messages: 1000,
            max_queued_bytes: 1024 * 1024,
            when_queue_full: WhenQueueFull::default(),
            queue_qos0_messages: false,
            max_subscriptions: 10_000,
            max_retained_messages: 100_000,
            max_offline_sessions: 10_000,
            max_keepalive: 0,
            max_topic_alias: 10,
            max_qos: 2,
            retain_available: true,
            check_retain_source: true,
            upgrade_outgoing_qos: false,
            reason_strings: false,
            persistent_client_expiration: None,
            set_tcp_nodelay: true,
            sys_interval: Span::millis(10_000),
            persistence: None,
            persistence_location: None,
            sync_interval: Span::millis(5_000),
            rumqttd: Rumqttd::default(),
            links: 64,
        }
    }
}

/// Which broker runs inside.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Our own: MQTT 3.1, 3.1.1 and 5 on one address, access control, a memory that survives a power cut.
    #[default]
    Native,
    /// The crate `rumqttd`: MQTT 3.1.1 and 5, everything in memory, for networks that are trusted.
    Rumqttd,
}

/// What happens to a message that finds its client's queue full.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum WhenQueueFull {
    /// It is not queued.
    #[default]
    DropNewest,
    /// The oldest that waits makes room.
    DropOldest,
}

/// The bounds of the engine "rumqttd".
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rumqttd {
    /// How many packets of one client may wait unhandled before no more are read from it. Default: 100.
    pub max_inflight: usize,
    /// How many bytes of messages one segment holds. Default: 65536 (64 KiB); at least 1024. For each filter
    /// that is subscribed to, the broker keeps the newest messages in segments. Ports are held back for 0.3 s
    /// when a subscriber has not read the newer half of them; one that is still slower loses the oldest.
    pub segment_size: usize,
    /// How many segments are kept for each filter. Default: 16, with the default size 1 MiB of messages: a
    /// minute of one busy line at 115200 baud. Memory is taken only as messages come, and a message takes some
    /// 400 bytes more than what is counted. Fewer for small machines, more where subscribers stall for long.
    pub segments: usize,
}

impl Default for Rumqttd {
    fn default() -> Rumqttd {
        Rumqttd {
            max_inflight: 100,
            segment_size: 64 * 1024,
            segments: 16,
        }
    }
}

impl Config {
    /// The listeners: those configured, or this machine's own where none is.
    pub fn listeners(&self) -> Vec<Listener> {
        match (self.listener.as_slice(), self.engine) {
            ([], Engine::Native) => vec![Listener::loopback(1883, Version::V3)],
            ([], Engine::Rumqttd) => vec![
                Listener::loopback(1883, Version::V3),
                Listener::loopback(1884, Version::V5),
            ],
            (listeners, _) => listeners.to_vec(),
        }
    }

    /// The longest packet that a client may send, in bytes.
    pub fn longest_packet(&self) -> usize {
        self.max_packet_size.unwrap_or(16 << 20)
    }

    /// The listeners by names that tell them apart: their addresses, and a number where two have the same, as they
    /// may if the system chooses their ports.
    pub fn named_listeners(&self) -> Vec<(String, Listener)> {
        let mut named: Vec<(String, Listener)> = Vec::new();
        for listener in self.listeners() {
            let address = listener.address.to_string();
            let name = match named
                .iter()
                .filter(|(_, other)| other.address == listener.address)
                .count()
            {
                0 => address,
                before => format!("{address} #{}", before + 1),
            };
            named.push((name, listener));
        }
        named
    }

    /// Whether somebody is listed, for all listeners, who may connect with a password.
    pub fn has_users(&self) -> bool {
        !self.user.is_empty() || self.password_file.is_some()
    }

    /// Whether somebody is listed who may connect with a password at this listener.
    pub fn has_users_at(&self, listener: &Listener) -> bool {
        self.has_users() || listener.password_file.is_some()
    }

    /// Whether clients without a user name may connect at this listener.
    pub fn anonymous_at(&self, listener: &Listener) -> bool {
        let said = listener.allow_anonymous.or(self.allow_anonymous);
        said.unwrap_or_else(|| listener.address.is_local() && !self.knows_clients_of(listener))
    }

    /// Whether clients of this listener can say who they are.
    fn knows_clients_of(&self, listener: &Listener) -> bool {
        let identity = listener.tls.as_ref().is_some_and(Tls::names_user);
        self.has_users_at(listener) || identity && self.engine == Engine::Native
    }

    /// The keys in which another configuration differs, and which a running broker can't change.
    pub fn fixed(&self, next: &Config) -> Vec<&'static str> {
        if self.engine == Engine::Rumqttd || next.engine == Engine::Rumqttd {
            let links = self.links;
            let mut next = next.clone();
            next.links = links;
            return if *self == next { vec![] } else { vec!["broker"] };
        }
        let mut keys = Vec::new();
        let mut compare = |key, same: bool| keys.extend((!same).then_some(key));
        compare("broker.persistence", self.persistence == next.persistence);
        compare(
            "broker.persistence-location",
            self.persistence_location == next.persistence_location,
        );
        compare("broker.sync-interval", self.sync_interval == next.sync_interval);
        // Clients have been told these, and may go by them.
        compare(
            "broker.max-inflight-messages",
            self.max_inflight_messages == next.max_inflight_messages,
        );
        compare(
            "broker.max-topic-alias",
            self.max_topic_alias == next.max_topic_alias,
        );
        compare("broker.max-qos", self.max_qos == next.max_qos);
        compare(
            "broker.retain-available",
            self.retain_available == next.retain_available,
        );
        keys
    }

    /// The folder in which sessions and retained messages are kept, if they are.
    pub fn store(&self) -> Option<PathBuf> {
        if self.persistence == Some(false) {
            return None;
        }
        // systemd joins several by colons; the first is ours.
        let service = || std::env::var("STATE_DIRECTORY").ok();
        let service = || service().and_then(|list| list.split(':').next().map(PathBuf::from));
        self.persistence_location.clone().or_else(service)
    }
}
