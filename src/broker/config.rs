//! What a person may say about the broker: where it listens, who may connect, and how much memory it takes.

use crate::span::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The broker: its listeners, its users, its bounds.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Which broker runs inside. There is one: `"rumqttd"`, for networks that are trusted.
    pub engine: Engine,
    /// Where clients connect, one table per address. Default: MQTT 3.1.1 on 127.0.0.1:1883 and MQTT 5 on
    /// 127.0.0.1:1884, both for this machine only. Say `0.0.0.0` to let the network in.
    pub listener: Vec<Listener>,
    /// Who may connect. Default: nobody is listed, and everybody may. As soon as one is listed, a client
    /// must give a name and password of the list.
    pub user: Vec<User>,
    /// How many network clients may be connected at once. Default: 100. Each takes about 100 kB while it is busy.
    pub max_connections: usize,
    /// The longest packet that a client may send, in bytes. Default: 262144 (256 KiB). A longer one ends its connection.
    pub max_payload: usize,
    /// How many packets of one client may wait unhandled before no more are read from it. Default: 100.
    pub max_inflight: usize,
    /// How long a client may take to say who it is after it has connected. Default: "5s"; at most "60s".
    pub connect_timeout: Span,
    /// How many bytes of messages one segment holds. Default: 65536 (64 KiB); at least 1024. For each filter
    /// that is subscribed to, the broker keeps the newest messages in segments. Ports are held back for 0.3 s
    /// when a subscriber has not read the newer half of them; one that is still slower loses the oldest.
    pub segment_size: usize,
    /// How many segments are kept for each filter. Default: 16, with the default size 1 MiB of messages: a
    /// minute of one busy line at 115200 baud. Memory is taken only as messages come, and a message takes some
    /// 400 bytes more than what is counted. Fewer for small machines, more where subscribers stall for long.
    pub segments: usize,
    /// How many links of our own (one per port, and the gateway's) come on top of `max-connections`.
    #[serde(skip)]
    pub links: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            engine: Engine::default(),
            listener: vec![
                Listener::loopback(1883, Version::V3),
                Listener::loopback(1884, Version::V5),
            ],
            user: Vec::new(),
            max_connections: 100,
            max_payload: 256 * 1024,
            max_inflight: 100,
            connect_timeout: Span::millis(5000),
            segment_size: 64 * 1024,
            segments: 16,
            links: 64,
        }
    }
}

/// Which broker runs inside.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The crate `rumqttd`: MQTT 3.1.1 and 5, everything in memory, for networks that are trusted.
    #[default]
    Rumqttd,
}

/// One address where clients connect.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listener {
    /// Address and port, such as "127.0.0.1:1883" (this machine only), "0.0.0.0:1883" (everybody, IPv4) or
    /// `[::]:1883` (everybody). Port 0 takes a free one.
    pub address: Address,
    /// The protocol version: "3.1.1" (the default, every client speaks it) or "5". Each wants an address of its own.
    #[serde(default)]
    pub version: Version,
    /// "tcp" (the default) or "websocket" (for browsers; version "3.1.1" only).
    #[serde(default)]
    pub transport: Transport,
    /// Encrypts the connections. Default: they are not.
    #[serde(default)]
    pub tls: Option<Tls>,
}

impl Listener {
    /// Plain TCP on 127.0.0.1.
    pub fn loopback(port: u16, version: Version) -> Listener {
        Listener {
            address: Address(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            version,
            transport: Transport::Tcp,
            tls: None,
        }
    }
}

/// A version of the protocol.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// MQTT 3.1.1.
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V3 => "3.1.1",
            Version::V5 => "5",
        })
    }
}

/// What carries the protocol.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// WebSocket over TCP, for browsers.
    Websocket,
}

/// What a listener needs to encrypt its connections. Clients are not asked for certificates.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// The file with the server's certificate and those that signed it, in PEM.
    pub cert: PathBuf,
    /// The file with the certificate's private key, in PEM (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Somebody who may connect.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// The user name that the client gives.
    pub name: String,
    /// The password that the client gives. It stands here in clear: keep the file readable for mqttyd only.
    pub password: Password,
}

/// A password: never shown in logs.
#[derive(Deserialize, JsonSchema, Clone, PartialEq, Eq)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An address with its port, as a listener has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Address, AddrParseError> {
        let here = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        here.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .map_or_else(|| text.parse(), Ok)
            .map(Address)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Address;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address with its port, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::1]:1883\"",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                let number = text.trim_start_matches([':', '*']).parse::<u16>();
                match (text.parse(), number, text.parse::<IpAddr>()) {
                    (Ok(address), _, _) => Ok(address),
                    (_, Ok(number), _) => Err(E::custom(format!(
                        "an address is missing before the port; \
                         \"127.0.0.1:{number}\" is for this machine only, \"0.0.0.0:{number}\" for everybody"
                    ))),
                    (_, _, Ok(ip)) => Err(E::custom(format!(
                        "a port is missing behind the address; write \"{}\"",
                        SocketAddr::from((ip, 1883))
                    ))),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An address with its port: \"127.0.0.1:1883\", \"0.0.0.0:1883\", \"[::1]:1883\".",
            "type": "string",
            "examples": ["127.0.0.1:1883", "0.0.0.0:1883"],
        })
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
        if self.listener.is_empty() {
            fault(&["listener"], "the broker needs at least one listener".into());
        }
        for (i, listener) in self.listener.iter().enumerate() {
            let index = i.to_string();
            let (address, port) = (listener.address.0, listener.address.0.port());
            let taken = |other: &&Listener| {
                let other = other.address.0;
                let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
                let same_family = other.is_ipv4() == address.is_ipv4();
                port != 0 && other.port() == port && (other.ip() == address.ip() || everywhere && same_family)
            };
            if let Some(other) = self.listener[..i].iter().find(taken) {
                fault(
                    &["listener", &index, "address"],
                    format!(
                        "{address} is taken by the listener on {}: each needs a port of its own",
                        other.address
                    ),
                );
            }
            if listener.transport == Transport::Websocket && listener.version == Version::V5 {
                fault(
                    &["listener", &index, "version"],
                    "over websocket this broker speaks version \"3.1.1\" only".into(),
                );
            }
        }
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
        within("max-payload", self.max_payload, 128, 256 << 20);
        within("max-inflight", self.max_inflight, 1, 10_000);
        within("segment-size", self.segment_size, 1024, 1 << 30);
        within("segments", self.segments, 2, 10_000);
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
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|fault| fault.to_string())
    }

    #[test]
    fn nothing_said_is_loopback_for_both_versions() {
        let config = read("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.validate(), []);
        let listeners: Vec<_> = config
            .listener
            .iter()
            .map(|l| (l.address.to_string(), l.version))
            .collect();
        assert_eq!(
            listeners,
            [
                ("127.0.0.1:1883".into(), Version::V3),
                ("127.0.0.1:1884".into(), Version::V5)
            ]
        );
    }

    #[test]
    fn reads_every_key() {
        let config = read(
            r#"
            engine = "rumqttd"
            max-connections = 10
            max-payload = 1000
            max-inflight = 20
            connect-timeout = "2s"
            segment-size = 4096
            segments = 4
            [[listener]]
            address = "0.0.0.0:8883"
            version = "5"
            tls = { cert = "/a.pem", key = "/b.pem" }
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
    fn contradictions_are_all_found() {
        let config = read(
            r#"
            segments = 1
            connect-timeout = "2min"
            [[listener]]
            address = "127.0.0.1:1883"
            [[listener]]
            address = "0.0.0.0:1883"
            version = "5"
            transport = "websocket"
            [[user]]
            name = "a"
            password = "b"
            [[user]]
            name = "a"
            password = "c"
            "#,
        )
        .unwrap();
        let faults: Vec<String> = config.validate().iter().map(|f| f.path.join(".")).collect();
        assert_eq!(
            faults,
            [
                "listener.1.address",
                "listener.1.version",
                "user.1.name",
                "segments",
                "connect-timeout"
            ]
        );
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
}
