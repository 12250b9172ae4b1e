//! What a person may say about the broker: where it listens, who may connect, and what it may take.

mod access;
mod listener;

pub use access::{Access, Password, Rule, User};
pub use listener::{Address, Listener, Tls, Transport, Version};

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
    /// How many QoS 1 and 2 messages may be on their way to one client (or from it) without its acknowledgement, 1
    /// to 65535. Default: 20 to it.
    pub max_inflight_messages: u16,
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
            max_inflight_messages: 20,
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

/// A contradiction in the configuration, and where: `path` leads to the key, such as `["listener", "1", "tls"]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    /// The keys and indices that lead from `[broker]` to the value.
    pub path: Vec<String>,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// That a part of Cargo's features isn't there.
pub(super) fn without(feature: &str) -> String {
    format!("this mqttyd was built without it (feature `{feature}`)")
}

impl Config {
    /// What the types cannot say: every contradiction, in the order of the file.
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |path: &[&str], what: String| {
            faults.push(Fault {
                path: path.iter().map(|part| part.to_string()).collect(),
                what,
            });
        };
        for (i, listener) in self.listener.iter().enumerate() {
            let index = i.to_string();
            let clash = |other: &&Listener| match (other.address.tcp(), listener.address.tcp()) {
                (Some(other), Some(address)) => {
                    let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
                    let same_family = other.is_ipv4() == address.is_ipv4();
                    address.port() != 0
                        && other.port() == address.port()
                        && (other.ip() == address.ip() || everywhere && same_family)
                }
                _ => other.address == listener.address,
            };
            if let Some(other) = self.listener[..i].iter().find(clash) {
                fault(
                    &["listener", &index, "address"],
                    format!(
                        "{} is taken by the listener on {}: each needs a port of its own",
                        listener.address, other.address
                    ),
                );
            }
            self.check_engine(listener, &index, &mut fault);
            if let Some(tls) = &listener.tls
                && tls.cafile.is_none()
            {
                let needs = [
                    ("require-certificate", tls.require_certificate),
                    ("use-identity-as-username", tls.use_identity_as_username),
                    ("use-subject-as-username", tls.use_subject_as_username),
                    ("crlfile", tls.crlfile.is_some()),
                ];
                for (key, _) in needs.into_iter().filter(|(_, on)| *on) {
                    fault(
                        &["listener", &index, "tls", key],
                        format!("{key} needs a cafile: the certificates of those who sign the clients'"),
                    );
                }
            }
        }
        self.check_features(&mut fault);
        self.check_entrances(&mut fault);
        for (i, user) in self.user.iter().enumerate() {
            if user.name.is_empty() {
                fault(&["user", &i.to_string(), "name"], "a user needs a name".into());
            }
            if self.user[..i].iter().any(|other| other.name == user.name) {
                fault(
                    &["user", &i.to_string(), "name"],
                    format!("the user \"{}\" is listed twice", user.name),
                );
            }
        }
        let mut within = |key: &str, value: usize, least: usize, most: usize| {
            if !(least..=most).contains(&value) {
                fault(
                    &[key],
                    format!("{key} = {value} is out of bounds: {least} to {most}"),
                );
            }
        };
        within("max-connections", self.max_connections, 1, 10_000);
        within("max-packet-size", self.longest_packet(), 20, 256 << 20);
        within(
            "max-inflight-messages",
            self.max_inflight_messages.into(),
            1,
            65_535,
        );
        within("max-qos", self.max_qos.into(), 0, 2);
        let timeout = self.connect_timeout.0.as_millis();
        if !(100..=60_000).contains(&timeout) {
            fault(
                &["connect-timeout"],
                format!(
                    "connect-timeout = \"{}\" is out of bounds: \"100ms\" to \"60s\"",
                    self.connect_timeout
                ),
            );
        }
        if self.auto_id_prefix.len() > 64 || self.auto_id_prefix.contains('\0') {
            faults.push(Fault {
                path: vec!["auto-id-prefix".into()],
                what: "auto-id-prefix is too long: at most 64 bytes".into(),
            });
        }
        if self.engine == Engine::Rumqttd {
            // It would let everybody in.
            faults.extend(self.useless());
        }
        self.check_rumqttd(&mut faults);
        faults
    }

    /// What this mqttyd was built without.
    fn check_features(&self, fault: &mut impl FnMut(&[&str], String)) {
        if cfg!(not(feature = "rumqttd")) && self.engine == Engine::Rumqttd {
            fault(&["engine"], without("rumqttd"));
        }
        for (i, listener) in self.listener.iter().enumerate() {
            let index = i.to_string();
            if cfg!(not(feature = "tls")) && listener.tls.is_some() {
                fault(&["listener", &index, "tls"], without("tls"));
            }
            if cfg!(not(feature = "websocket")) && listener.transport == Transport::Websocket {
                fault(&["listener", &index, "transport"], without("websocket"));
            }
        }
    }

    /// Listeners that anybody could use though no word says so.
    fn check_entrances(&self, fault: &mut impl FnMut(&[&str], String)) {
        for (index, listener) in self.closed() {
            if listener.allow_anonymous.or(self.allow_anonymous).is_none() {
                let address = &listener.address;
                fault(
                    &["listener", &index, "address"],
                    format!(
                        "nothing says who may connect to the listener on {address}: the network is let in here"
                    ),
                );
            }
        }
    }

    /// What is doubtful, and can be meant: listeners that nobody can use, for so it is said.
    pub fn doubts(&self) -> Vec<Fault> {
        match self.engine {
            Engine::Native => self.useless(),
            Engine::Rumqttd => Vec::new(),
        }
    }

    /// Listeners that are said to be closed to those without a name, where nobody has one.
    fn useless(&self) -> Vec<Fault> {
        let mut found: Vec<Fault> = Vec::new();
        for (index, listener) in self.closed() {
            let path = match (listener.allow_anonymous, self.allow_anonymous) {
                (Some(_), _) => vec!["listener".into(), index, "allow-anonymous".into()],
                (None, Some(_)) => vec!["allow-anonymous".into()],
                (None, None) => continue,
            };
            let what = format!(
                "nobody may connect to the listener on {}: no user is listed",
                listener.address
            );
            if found.iter().all(|other| other.path != path) {
                found.push(Fault { path, what });
            }
        }
        found
    }

    /// Listeners where nobody is let in, by their places.
    fn closed(&self) -> impl Iterator<Item = (String, Listener)> {
        let listeners = self.listeners().into_iter().enumerate();
        listeners
            .filter(|(_, listener)| !self.anonymous_at(listener) && !self.knows_clients_of(listener))
            .map(|(i, listener)| (i.to_string(), listener))
    }

    /// What an engine can't do.
    fn check_engine(&self, listener: &Listener, index: &str, fault: &mut impl FnMut(&[&str], String)) {
        if self.engine == Engine::Native {
            let wants = [
                ("path", listener.path.is_some()),
                ("allowed-origins", !listener.allowed_origins.is_empty()),
            ];
            for (key, _) in wants
                .into_iter()
                .filter(|(_, on)| *on && listener.transport == Transport::Tcp)
            {
                let what = format!("{key} is for websocket: this listener's transport is \"tcp\"");
                fault(&["listener", index, key], what);
            }
            for (i, origin) in listener.allowed_origins.iter().enumerate() {
                // RFC 6454 section 6.2.
                let host = origin.split_once("://").map(|(_, host)| host);
                if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                    let what = format!(
                        "\"{}\" is not the beginning of a page's address: \"https://panel.example\" would be, without a path",
                        origin.escape_debug()
                    );
                    fault(&["listener", index, "allowed-origins", &i.to_string()], what);
                }
            }
            return;
        }
        if !listener.allowed_origins.is_empty() {
            let what = "the engine \"rumqttd\" asks for no origin: this needs \"native\"".into();
            fault(&["listener", index, "allowed-origins"], what);
        }
        if listener.transport == Transport::Websocket && listener.version == Version::V5 {
            let what = "over websocket this broker speaks version \"3.1.1\" only".into();
            fault(&["listener", index, "version"], what);
        }
        if listener.address.tcp().is_none() {
            let what = "the engine \"rumqttd\" has no Unix sockets: give an address and a port".into();
            fault(&["listener", index, "address"], what);
        }
        let tls = listener.tls.as_ref();
        let wants = [
            (
                "require-certificate",
                tls.is_some_and(|tls| tls.require_certificate),
            ),
            ("use-identity-as-username", tls.is_some_and(Tls::names_user)),
        ];
        for (key, _) in wants.into_iter().filter(|(_, on)| *on) {
            let what = "the engine \"rumqttd\" asks for no client certificates: this needs \"native\"".into();
            fault(&["listener", index, "tls", key], what);
        }
        for (key, file) in [
            ("password-file", &listener.password_file),
            ("acl-file", &listener.acl_file),
        ] {
            if file.is_some() {
                let what = "the engine \"rumqttd\" reads no such file: this needs \"native\"".into();
                fault(&["listener", index, key], what);
            }
        }
        if listener.mount_point.is_some() {
            let what = "the engine \"rumqttd\" has no mount points: this needs \"native\"".into();
            fault(&["listener", index, "mount-point"], what);
        }
    }

    /// What the engine "rumqttd" would pass over though it says who may do what.
    fn check_rumqttd_access(&self, faults: &mut Vec<Fault>) {
        if self.engine == Engine::Native {
            return;
        }
        let mut fault = |path: &[&str], what: &str| {
            faults.push(Fault {
                path: path.iter().map(|part| (*part).to_owned()).collect(),
                what: format!("the engine \"rumqttd\" {what}: this needs \"native\""),
            });
        };
        for (i, _) in self
            .user
            .iter()
            .enumerate()
            .filter(|(_, user)| !user.password.is_clear())
        {
            fault(
                &["user", &i.to_string(), "password"],
                "knows passwords in clear only",
            );
        }
        if self.password_file.is_some() {
            fault(&["password-file"], "reads no password file");
        }
        if !self.acl.is_empty() {
            fault(&["acl", "0", "topic"], "has no rules by topic");
        }
        if self.acl_file.is_some() {
            fault(&["acl-file"], "has no rules by topic");
        }
        let mixed = "lets in either everybody or listed users";
        if self.has_users() && self.allow_anonymous == Some(true) {
            fault(&["allow-anonymous"], mixed);
        }
        let words = self.listener.iter().enumerate();
        for (i, _) in words.filter(|(_, listener)| listener.allow_anonymous == Some(true) && self.has_users())
        {
            fault(&["listener", &i.to_string(), "allow-anonymous"], mixed);
        }
    }

    fn check_rumqttd(&self, faults: &mut Vec<Fault>) {
        self.check_rumqttd_access(faults);
        let bounds = [
            ("max-inflight", self.rumqttd.max_inflight, 1, 10_000),
            ("segment-size", self.rumqttd.segment_size, 1024, 1 << 30),
            ("segments", self.rumqttd.segments, 2, 10_000),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                faults.push(Fault {
                    path: vec!["rumqttd".into(), key.into()],
                    what: format!("{key} = {value} is out of bounds: {least} to {most}"),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|fault| fault.to_string())
    }

    #[test]
    #[cfg_attr(
        not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
        ignore = "speaks of what was left out"
    )]
    fn nothing_said_is_loopback() {
        let config = read("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.validate(), []);
        let addresses = |config: &Config| -> Vec<String> {
            let listeners = config.listeners();
            assert!(listeners.iter().all(|listener| config.anonymous_at(listener)));
            listeners
                .iter()
                .map(|l| format!("{} {}", l.address, l.version))
                .collect()
        };
        assert_eq!(addresses(&config), ["127.0.0.1:1883 3.1.1"]);
        let config = read("engine = \"rumqttd\"").unwrap();
        assert_eq!(config.validate(), []);
        assert_eq!(addresses(&config), ["127.0.0.1:1883 3.1.1", "127.0.0.1:1884 5"]);
    }

    #[test]
    #[cfg_attr(
        not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
        ignore = "speaks of what was left out"
    )]
    fn reads_every_key() {
        let config = read(
            r#"
            engine = "rumqttd"
            max-connections = 10
            max-packet-size = 1000
            connect-timeout = "2s"
            rumqttd = { segment-size = 4096, segments = 4, max-inflight = 20 }
            [[listener]]
            address = "0.0.0.0:8883"
            version = "5"
            tls = { certfile = "/a.pem", keyfile = "/b.pem" }
            [[listener]]
            address = "localhost:9001"
            transport = "websocket"
            [[user]]
            name = "air"
            password = "secret"
            "#,
        )
        .unwrap();
        assert_eq!(config.validate(), []);
        assert_eq!(config.listener[1].address.to_string(), "127.0.0.1:9001");
        assert!(!format!("{config:?}").contains("secret"));
    }

    /// The paths of what is wrong.
    fn faults(text: &str) -> Vec<String> {
        let faults = read(text).unwrap().validate();
        faults.iter().map(|fault| fault.path.join(".")).collect()
    }

    #[test]
    #[cfg_attr(
        not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
        ignore = "speaks of what was left out"
    )]
    fn the_network_is_let_in_by_a_word_or_with_a_name() {
        let open = "listener = [{ address = \"127.0.0.1:1\" }, { address = \"0.0.0.0:2\" }]\n";
        let user = "user = [{ name = \"a\", password = \"b\" }]\n";
        for engine in ["", "engine = \"rumqttd\"\n"] {
            assert_eq!(faults(&format!("{engine}{open}")), ["listener.1.address"]);
            assert_eq!(faults(&format!("{engine}{open}{user}")), [""; 0]);
            assert_eq!(faults(&format!("{engine}{open}allow-anonymous = true")), [""; 0]);
            let closed = format!("{engine}{open}allow-anonymous = false");
            let wrong: &[&str] = if engine.is_empty() {
                &[]
            } else {
                &["allow-anonymous"]
            };
            assert_eq!(faults(&closed), wrong);
            assert_eq!(faults(&format!("{engine}allow-anonymous = false")), wrong);
            let doubts = read(&closed).unwrap().doubts().len();
            assert_eq!(
                doubts + wrong.len(),
                1,
                "our own broker lets nobody in, and it is told"
            );
        }
        assert_eq!(faults(&format!("{open}password-file = \"/p\"")), [""; 0]);
        let word = open.replace(":2\"", ":2\", allow-anonymous = true");
        assert_eq!(faults(&word), [""; 0]);
        let doubts = read(&word.replace("true", "false")).unwrap().doubts();
        assert_eq!(doubts[0].path.join("."), "listener.1.allow-anonymous");
        let own = open.replace(":2\"", ":2\", password-file = \"/p\"");
        assert_eq!(faults(&own), [""; 0]);
        let own = read(&own).unwrap();
        let anonymous = own
            .listeners()
            .iter()
            .map(|listener| own.anonymous_at(listener))
            .collect::<Vec<_>>();
        assert_eq!(
            anonymous,
            [true, false],
            "who is listed for one listener is not for the other"
        );
        let socket = "listener = [{ address = \"unix:/s\" }]";
        assert_eq!(faults(socket), [""; 0]);
        let badge =
            "tls = { certfile = \"/a\", keyfile = \"/b\", cafile = \"/c\", use-identity-as-username = true }";
        let badges = format!("listener = [{{ address = \"0.0.0.0:2\", {badge} }}]");
        assert_eq!(faults(&badges), [""; 0]);
        let users = read(&format!("{open}{user}")).unwrap();
        assert!(
            users
                .listeners()
                .iter()
                .all(|listener| !users.anonymous_at(listener))
        );
    }

    #[test]
    fn an_origin_is_the_beginning_of_an_address() {
        let of = |transport: &str, origin: &str| {
            faults(&format!(
                "listener = [{{ address = \"127.0.0.1:1\", transport = \"{transport}\", allowed-origins = [\"https://a.example:8443\", \"{origin}\"] }}]"
            ))
        };
        assert_eq!(of("websocket", "http://b"), [""; 0]);
        for bad in ["b", "https://", "https://b/", "*", ""] {
            assert_eq!(of("websocket", bad), ["listener.0.allowed-origins.1"], "{bad}");
        }
        assert_eq!(of("tcp", "http://b"), ["listener.0.allowed-origins"]);
    }

    #[test]
    #[cfg_attr(
        not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
        ignore = "speaks of what was left out"
    )]
    fn rumqttd_does_not_pass_over_what_is_said_of_access() {
        let text = r#"
            engine = "rumqttd"
            password-file = "/p"
            acl-file = "/a"
            allow-anonymous = true
            acl = [{ topic = "a" }]
            [[user]]
            name = "a"
            password = "$7$1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
            [[listener]]
            address = "127.0.0.1:1"
            mount-point = "a/"
            acl-file = "/a"
            password-file = "/p"
            tls = { certfile = "/a", keyfile = "/b", cafile = "/c", require-certificate = true }
            "#;
        let wanted = [
            "listener.0.tls.require-certificate",
            "listener.0.password-file",
            "listener.0.acl-file",
            "listener.0.mount-point",
            "user.0.password",
            "password-file",
            "acl.0.topic",
            "acl-file",
            "allow-anonymous",
        ];
        assert_eq!(faults(text), wanted);
        assert_eq!(faults(&text.replace("\"rumqttd\"", "\"native\"")), [""; 0]);
    }

    #[test]
    fn a_password_that_looks_like_a_hash_must_be_one() {
        let fault = read("user = [{ name = \"a\", password = \"$2b$12$abc\" }]").unwrap_err();
        assert!(fault.contains("unknown kind"), "{fault}");
        assert!(read("user = [{ name = \"a\", password = \"$money\" }]").is_ok());
    }

    #[test]
    fn mistakes_read_well() {
        let fault = read("[[listener]]\naddress = \"127.0.0.1\"").unwrap_err();
        assert!(fault.contains("a port is missing"), "{fault}");
        let fault = read("[[listener]]\naddress = \"127.0.0.1:1\"\nversion = \"4\"").unwrap_err();
        assert!(fault.contains("3.1.1"), "{fault}");
        assert!(read("listeners = []").is_err());
        assert!(read("links = 3").is_err());
    }

    #[test]
    #[cfg_attr(
        not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
        ignore = "speaks of what was left out"
    )]
    fn contradictions_are_all_found() {
        let config = read(
            r#"
            engine = "rumqttd"
            allow-anonymous = true
            connect-timeout = "2min"
            rumqttd = { segments = 1 }
            [[listener]]
            address = "127.0.0.1:1883"
            [[listener]]
            address = "0.0.0.0:1883"
            version = "5"
            transport = "websocket"
            "#,
        )
        .unwrap();
        let faults: Vec<String> = config.validate().iter().map(|f| f.path.join(".")).collect();
        assert_eq!(
            faults,
            [
                "listener.1.address",
                "listener.1.version",
                "connect-timeout",
                "rumqttd.segments",
            ]
        );
    }

    #[test]
    fn listeners_have_names_of_their_own() {
        let addresses = ["127.0.0.1:0", "127.0.0.1:1", "127.0.0.1:0", "[::1]:0"];
        let listener = addresses.map(|address| format!("[[listener]]\naddress = \"{address}\"\n"));
        let config = read(&listener.concat()).unwrap();
        let names: Vec<String> = config
            .named_listeners()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["127.0.0.1:0", "127.0.0.1:1", "127.0.0.1:0 #2", "[::1]:0"]);
    }

    #[test]
    fn ports_that_are_chosen_by_the_system_do_not_clash() {
        let listener = vec![
            Listener::loopback(0, Version::V3),
            Listener::loopback(0, Version::V5),
        ];
        let config = Config {
            listener,
            ..Config::default()
        };
        assert_eq!(config.validate(), []);
    }

    #[test]
    fn a_user_is_listed_once_and_by_name() {
        let user = |name: &str| format!("[[user]]\nname = \"{name}\"\npassword = \"b\"\n");
        let text = [user("a"), user(""), user("a")].concat();
        assert_eq!(faults(&text), ["user.1.name", "user.2.name"]);
    }
}
