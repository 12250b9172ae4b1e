//! Who may connect, and what they may read and write.

use crate::broker::secret::{HashError, Secret};
use crate::read_any::read_any;
use crate::topic::Filter;
use schemars::JsonSchema;
use serde::{Deserialize, de};
use std::fmt;

/// Somebody who may connect.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// The user name that the client gives.
    pub name: String,
    /// The password that the client gives: a hash as `mqttyd passwd` prints it ("$argon2id$...", or mosquitto's
    /// "$7$..." and "$6$..."), or the password itself, in clear. In either case keep the file readable for mqttyd only.
    pub password: Password,
}

/// A password, or its hash: never shown in logs.
#[derive(JsonSchema, Clone, PartialEq, Eq)]
#[serde(transparent)]
pub struct Password(pub String);

impl Password {
    /// As it is compared with what a client gives.
    pub(crate) fn secret(&self) -> Result<Secret, HashError> {
        Secret::configured(&self.0)
    }

    /// Whether it is the password itself, and no hash.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self.secret(), Ok(Secret::Clear(_)))
    }
}

read_any!(
    Password,
    "a password, or a hash of one as `mqttyd passwd` prints it",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Password, E> {
            Secret::configured(text).map_err(E::custom)?;
            Ok(Password(text.to_owned()))
        }
    }
);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What somebody may do with the topics of a filter. As soon as there is one such entry, or an `acl-file`, all that
/// no entry allows is refused.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// The user that the entry is for. Default: everybody, those without a name too.
    #[serde(default)]
    pub user: Option<String>,
    /// The client id that the entry is for. Default: any.
    #[serde(default)]
    pub client: Option<String>,
    /// The topics, as a filter with `+` and `#`. `%u` stands for the user's name and `%c` for the client id;
    /// a client without that, or with `+`, `#` or `/` in it, is not meant.
    pub topic: Filter,
    /// What is allowed: "read" (receive), "write" (publish), "subscribe", "readwrite" (all three, the default) or
    /// "deny" (nothing, whatever other entries say). "read" allows to subscribe as well.
    #[serde(default)]
    pub access: Access,
}

/// What a rule allows.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// To receive messages.
    Read,
    /// To publish.
    Write,
    /// To subscribe: the messages are not thereby allowed.
    Subscribe,
    /// All of it.
    #[default]
    Readwrite,
    /// None of it.
    Deny,
}
