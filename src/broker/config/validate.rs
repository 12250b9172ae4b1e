//! What the types cannot say: contradictions in the broker's configuration, and what is doubtful.

use super::{Config, Engine, Listener, Tls, Transport, Version};

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
pub(in crate::broker) fn without(feature: &str) -> String {
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
            self.max_inflight_messages.unwrap_or(1).into(),
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
