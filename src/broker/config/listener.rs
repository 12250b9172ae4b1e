//! Where clients connect: addresses, what carries the protocol there, and how it is encrypted.

use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One address where clients connect.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listener {
    /// Address and port, such as "127.0.0.1:1883" (this machine only), "0.0.0.0:1883" (everybody, IPv4) or
    /// `[::]:1883` (everybody); port 0 takes a free one. Or a Unix socket: "unix:/run/mqttyd/mqtt.sock".
    pub address: Address,
    /// "tcp" (the default, also for a Unix socket) or "websocket" (for browsers).
    #[serde(default)]
    pub transport: Transport,
    /// The path that a WebSocket client asks for. Default: any.
    #[serde(default)]
    pub path: Option<String>,
    /// The pages whose scripts may connect by WebSocket, such as `https://panel.example`: a browser says which page it
    /// acts for. Clients that are no browsers say nothing, and are let in. Default: any page.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Encrypts the connections. Default: they are not.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Whether clients without a user name may connect here. Default: what `allow-anonymous` in `[broker]` says.
    #[serde(default)]
    pub allow_anonymous: Option<bool>,
    /// A file of users and hashed passwords for this listener, instead of all users of `[broker]`: nobody else has a
    /// name here. Default: the users of `[broker]`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file, in mosquitto's form, that says who may read and write which topics by this listener, instead of the
    /// rules of `[broker]`. Default: the rules of `[broker]`.
    #[serde(default)]
    pub acl_file: Option<PathBuf>,
    /// How many clients may be connected here at once. Default: as many as `max-connections` of `[broker]` allows.
    #[serde(default)]
    pub max_connections: Option<usize>,
    /// A prefix that the topics of this listener's clients get inside the broker and lose on the way out, such as
    /// "garden/": they see and reach only what is below it. Default: none.
    #[serde(default)]
    pub mount_point: Option<String>,
    /// For the engine "rumqttd" alone, which wants an address for each version: "3.1.1" (the default) or "5". The
    /// engine "native" speaks 3.1, 3.1.1 and 5 on every address.
    #[serde(default)]
    pub version: Version,
}

impl Listener {
    /// Plain TCP on 127.0.0.1.
    pub fn loopback(port: u16, version: Version) -> Listener {
        Listener {
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            transport: Transport::Tcp,
            path: None,
            allowed_origins: Vec::new(),
            tls: None,
            allow_anonymous: None,
            password_file: None,
            acl_file: None,
            max_connections: None,
            mount_point: None,
            version,
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
    /// TCP, or a Unix socket.
    #[default]
    Tcp,
    /// WebSocket, for browsers.
    Websocket,
}

/// What a listener needs to encrypt its connections. The files are read at start, and again when they change.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// The file with the server's certificate and those that signed it, in PEM.
    pub certfile: PathBuf,
    /// The file with the certificate's private key, in PEM (PKCS #8, PKCS #1 or SEC 1).
    pub keyfile: PathBuf,
    /// The file with the certificates, in PEM, of those who may sign clients' certificates. Needed by the next keys.
    #[serde(default)]
    pub cafile: Option<PathBuf>,
    /// The file with the revoked clients' certificates (a revocation list in PEM). Default: none is revoked.
    #[serde(default)]
    pub crlfile: Option<PathBuf>,
    /// Whether a client must show a certificate that `cafile` has signed. No by default.
    #[serde(default)]
    pub require_certificate: bool,
    /// Whether the common name of the client's certificate is its user name; it then needs no password. No by default.
    #[serde(default)]
    pub use_identity_as_username: bool,
    /// The same with the certificate's whole subject, such as "CN=air,O=Home" (RFC 4514). No by default.
    #[serde(default)]
    pub use_subject_as_username: bool,
}

impl Tls {
    /// Whether the user name comes from the client's certificate.
    pub fn names_user(&self) -> bool {
        self.use_identity_as_username || self.use_subject_as_username
    }
}

impl Tls {
    /// The files, by their keys, and what each holds.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static str, &Path)> {
        [
            ("certfile", "certificate", Some(&self.certfile)),
            ("keyfile", "key", Some(&self.keyfile)),
            ("cafile", "authority's certificate", self.cafile.as_ref()),
            ("crlfile", "revocation list", self.crlfile.as_ref()),
        ]
        .into_iter()
        .filter_map(|(key, what, path)| Some((key, what, path?.as_path())))
    }
}

/// Where a listener listens: an address with its port, or a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The IP address and port, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Whether only this machine can connect there.
    pub fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Address, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Ok(Address::Unix(path.into()));
        }
        let here = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        here.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .map_or_else(|| text.parse(), Ok)
            .map(Address::Tcp)
    }
}

read_any!(
    Address,
    "an address with its port, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::1]:1883\"",
    {
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
                _ if text.starts_with('/') => {
                    Err(E::custom(format!("for a Unix socket write \"unix:{text}\"")))
                }
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }
    }
);

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An address with its port: \"127.0.0.1:1883\", \"0.0.0.0:1883\", \"[::1]:1883\"; or a Unix socket: \"unix:/run/mqttyd/mqtt.sock\".",
            "type": "string",
            "examples": ["127.0.0.1:1883", "0.0.0.0:1883", "unix:/run/mqttyd/mqtt.sock"],
        })
    }
}
