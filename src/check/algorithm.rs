//! Checksum algorithms by name.

use super::catalogue::{ALIASES, AMBIGUOUS, CRCS};
use super::own::Own;
use super::sum::{SUMS, Sum};
use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;

/// A checksum algorithm that is known by name: `CRC-16/MODBUS`, `sum8`, `xor8` ... Case does not matter, nor do
/// the signs between letters: `crc16_modbus` is the same.
#[derive(Clone, Copy)]
pub struct Algorithm(&'static Entry);

/// A name and what it stands for.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What is computed. CRCs are kept by the integer that holds them.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Crc8(&'static crc::Algorithm<u8>),
    Crc16(&'static crc::Algorithm<u16>),
    Crc32(&'static crc::Algorithm<u32>),
    Crc64(&'static crc::Algorithm<u64>),
    Crc128(&'static crc::Algorithm<u128>),
    Sum(Sum),
}

/// There is no algorithm of this name, or several go by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", told(name, *several), near.join(", "))]
pub struct Unknown {
    /// The name that was asked for.
    pub name: String,
    /// Whether several go by this name.
    pub several: bool,
    /// The names that come closest, or that may be meant.
    pub near: Vec<&'static str>,
}

fn told(name: &str, several: bool) -> String {
    if several {
        format!("several checksum algorithms are called \"{name}\"; which is meant")
    } else {
        format!("no checksum algorithm is called \"{name}\"; near it")
    }
}

/// The byte order in which a check is sent.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The most significant byte first.
    Big,
    /// The least significant byte first.
    Little,
}

impl Algorithm {
    /// Looks a name up.
    pub fn parse(name: &str) -> Result<Algorithm, Unknown> {
        let wanted = plain(name);
        if let Some((_, meant)) = AMBIGUOUS.iter().find(|(known, _)| plain(known) == wanted) {
            return Err(Unknown {
                name: name.to_owned(),
                several: true,
                near: meant.to_vec(),
            });
        }
        let find = |wanted: &str| entries().find(|entry| plain(entry.name) == wanted);
        let meant = ALIASES
            .iter()
            .find(|(alias, _)| plain(alias) == wanted)
            .map(|(_, name)| plain(name));
        match find(meant.as_deref().unwrap_or(&wanted)) {
            Some(entry) => Ok(Algorithm(entry)),
            None => Err(Unknown {
                name: name.to_owned(),
                several: false,
                near: near(&wanted),
            }),
        }
    }

    /// One that has no name in the catalogue.
    pub(super) fn of(entry: &'static Entry) -> Algorithm {
        Algorithm(entry)
    }

    /// Every algorithm, CRCs first.
    pub fn all() -> impl Iterator<Item = Algorithm> {
        entries().map(Algorithm)
    }

    /// Its name, as the CRC catalogue or this program writes it.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// How many bits its value has.
    pub fn bits(self) -> u32 {
        match self.0.kind {
            Kind::Crc8(crc) => crc.width.into(),
            Kind::Crc16(crc) => crc.width.into(),
            Kind::Crc32(crc) => crc.width.into(),
            Kind::Crc64(crc) => crc.width.into(),
            Kind::Crc128(crc) => crc.width.into(),
            Kind::Sum(sum) => sum.bits(),
        }
    }

    /// The order in which its bytes are sent by custom: a reflected CRC and Fletcher's sums with the low byte
    /// first, the others with the high byte first.
    pub fn order(self) -> Order {
        let little = match self.0.kind {
            Kind::Crc8(crc) => crc.refin && crc.refout,
            Kind::Crc16(crc) => crc.refin && crc.refout,
            Kind::Crc32(crc) => crc.refin && crc.refout,
            Kind::Crc64(crc) => crc.refin && crc.refout,
            Kind::Crc128(crc) => crc.refin && crc.refout,
            Kind::Sum(sum) => sum.low_byte_first(),
        };
        if little { Order::Little } else { Order::Big }
    }

    pub(super) fn kind(self) -> Kind {
        self.0.kind
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    CRCS.iter().chain(SUMS)
}

/// The letters and digits that make a name, whatever stands between them.
fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn near(wanted: &str) -> Vec<&'static str> {
    let part = |(known, meant): &(&str, &'static [&'static str])| {
        (known.ends_with("CCITT") && wanted.contains("ccitt")).then(|| meant.to_vec())
    };
    if let Some(meant) = AMBIGUOUS.iter().find_map(part) {
        return meant;
    }
    let mut all: Vec<_> = entries()
        .map(|entry| (strsim::jaro_winkler(&plain(entry.name), wanted), entry.name))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().take(3).map(|(_, name)| name).collect()
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        // Every algorithm is known once; two of a person's own may have one name.
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Algorithm {}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

read_any!(
    Algorithm,
    "the name of a checksum algorithm, such as \"CRC-16/MODBUS\" or \"sum8\"",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Algorithm, A::Error> {
            let own = Own::deserialize(de::value::MapAccessDeserializer::new(map))?;
            own.algorithm().map_err(de::Error::custom)
        }
        fn visit_str<E: de::Error>(self, name: &str) -> Result<Algorithm, E> {
            Algorithm::parse(name).map_err(E::custom)
        }
    }
);

impl JsonSchema for Algorithm {
    fn schema_name() -> Cow<'static, str> {
        "ChecksumAlgorithm".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own = generator.subschema_for::<Own>();
        let names: Vec<_> = Algorithm::all().map(Algorithm::name).collect();
        json_schema!({
            "description": "The name of a checksum algorithm; case and the signs between letters do not matter.",
            "anyOf": [{ "enum": names }, { "type": "string" }, own],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_whole_catalogue_is_there_and_no_two_names_are_alike() {
        assert_eq!(CRCS.len(), 113);
        let names: HashSet<_> = entries().map(|entry| plain(entry.name)).collect();
        let aliases: HashSet<_> = ALIASES.iter().map(|(alias, _)| plain(alias)).collect();
        assert_eq!(names.len(), CRCS.len() + SUMS.len());
        assert_eq!(aliases.len(), ALIASES.len());
        assert!(names.is_disjoint(&aliases));
        for (known, meant) in AMBIGUOUS {
            assert!(!names.contains(&plain(known)) && !aliases.contains(&plain(known)));
            for name in *meant {
                let name = name.split(' ').next().unwrap();
                assert_eq!(Algorithm::parse(name).unwrap().name(), name);
            }
        }
        for (alias, name) in ALIASES {
            assert_eq!(Algorithm::parse(alias).unwrap().name(), *name);
        }
    }

    #[test]
    fn a_name_may_be_written_in_many_ways() {
        for name in [
            "CRC-16/MODBUS",
            "crc-16/modbus",
            "CRC_16_MODBUS",
            "crc16-modbus",
            "Modbus",
        ] {
            assert_eq!(Algorithm::parse(name).unwrap().name(), "CRC-16/MODBUS");
        }
        assert_eq!(Algorithm::parse("SUM8").unwrap().name(), "sum8");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        let fault = Algorithm::parse("crc-16/modbuss").unwrap_err();
        assert_eq!(fault.near[0], "CRC-16/MODBUS");
        assert!(
            fault
                .to_string()
                .starts_with("no checksum algorithm is called \"crc-16/modbuss\"; near it: ")
        );
        assert!(Algorithm::parse("sum9").unwrap_err().near.contains(&"sum8"));
        assert_eq!(Algorithm::parse("").unwrap_err().near.len(), 3);
        let fault = Algorithm::parse("CRC-CCITT").unwrap_err().to_string();
        assert!(fault.contains("IBM-3740") && fault.contains("KERMIT"), "{fault}");
        for name in ["crc16", "CRC-8", "crc_32"] {
            let fault = Algorithm::parse(name).unwrap_err();
            assert!(fault.several && fault.near.len() > 2, "{fault}");
        }
    }
}
