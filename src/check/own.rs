//! Algorithms that have no name: a CRC by its parameters, a sum by its rule.

use super::algorithm::{Algorithm, Entry, Kind, Order};
use super::sum::{Finish, Sum};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// An algorithm by its parameters.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Own {
    /// A CRC by the parameters of the CRC catalogue.
    Crc(OwnCrc),
    /// A sum, or an exclusive or, of the bytes.
    Sum(OwnSum),
}

/// A CRC's parameters, as the CRC catalogue gives them.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OwnCrc {
    /// How many bits it has, 3 to 64.
    pub width: u8,
    /// The polynomial, without its highest term.
    pub poly: u64,
    /// What the register begins with. Default 0.
    #[serde(default)]
    pub init: u64,
    /// Whether the lowest bit of each byte goes first. Default false.
    #[serde(default)]
    pub refin: bool,
    /// Whether the register is turned round at the end. Default: what `refin` says.
    #[serde(default)]
    pub refout: Option<bool>,
    /// What the register is combined with at the end, by exclusive or. Default 0.
    #[serde(default)]
    pub xorout: u64,
}

/// A sum's rule: each byte times its weight is added to (or combined with) what `start` began.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OwnSum {
    /// How many bits of it are sent, 1 to 32.
    pub bits: u8,
    /// What it begins with: a seed. Default 0.
    #[serde(default)]
    pub start: u32,
    /// Whether bytes are combined by exclusive or instead of added. Default false.
    #[serde(default)]
    pub xor: bool,
    /// What each byte is multiplied with, in turn; the list goes round. Default 1.
    #[serde(default)]
    pub weights: Vec<u16>,
    /// The sum is divided by this, and the rest counts. Default: cut to `bits`.
    #[serde(default)]
    pub modulo: Option<u32>,
    /// What is sent of it: `plain`, `negated` (two's complement) or `complemented` (one's complement).
    #[serde(default)]
    pub finish: Finish,
    /// What it is combined with at the end, by exclusive or. Default 0.
    #[serde(default)]
    pub xorout: u32,
    /// Added at the very end, as 0x20 to make a printable character. Default 0.
    #[serde(default)]
    pub plus: u32,
    /// The byte that goes first where it has several. Default `big`.
    #[serde(default)]
    pub order: Option<Order>,
}

impl Own {
    /// The algorithm of these parameters, or what is wrong with them.
    pub(super) fn algorithm(&self) -> Result<Algorithm, &'static str> {
        static KNOWN: Mutex<Option<HashMap<String, &'static Entry>>> = Mutex::new(None);
        match self {
            Own::Crc(crc) if !(3..=64).contains(&crc.width) => {
                return Err("a CRC has a width of 3 to 64 bits");
            }
            Own::Crc(crc) if crc.width < 64 && (crc.poly | crc.init | crc.xorout) >> crc.width != 0 => {
                return Err("`poly`, `init` and `xorout` have no more bits than `width`");
            }
            Own::Sum(sum) if !(1..=32).contains(&sum.bits) => return Err("a sum has 1 to 32 bits"),
            Own::Sum(sum) if sum.modulo == Some(0) => return Err("nothing can be divided by 0"),
            _ => {}
        }
        // Algorithms live as long as the process, and there are as many as files ask for: the same one once.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known
            .get_or_insert_default()
            .entry(format!("{self:?}"))
            .or_insert_with(|| {
                let kind = match self {
                    Own::Crc(crc) => Kind::Crc64(Box::leak(Box::new(crc::Algorithm {
                        width: crc.width,
                        poly: crc.poly,
                        init: crc.init,
                        refin: crc.refin,
                        refout: crc.refout.unwrap_or(crc.refin),
                        xorout: crc.xorout,
                        check: 0,
                        residue: 0,
                    }))),
                    Own::Sum(sum) => Kind::Sum(Sum::Own(Box::leak(Box::new(sum.clone())))),
                };
                Box::leak(Box::new(Entry {
                    name: Box::leak(self.name().into_boxed_str()),
                    kind,
                }))
            });
        Ok(Algorithm::of(entry))
    }

    /// What messages call it.
    fn name(&self) -> String {
        match self {
            Own::Crc(crc) => format!("CRC of {} bits with poly 0x{:x}", crc.width, crc.poly),
            Own::Sum(sum) if sum.xor => format!("exclusive or of {} bits", sum.bits),
            Own::Sum(sum) => format!("sum of {} bits", sum.bits),
        }
    }
}

impl OwnSum {
    /// The value over the bytes.
    pub(super) fn compute(&self, bytes: impl Iterator<Item = u8>) -> u32 {
        let mut weights = self.weights.iter().cycle();
        let sum = bytes.fold(u64::from(self.start), |sum, byte| {
            let weight = weights.next().copied().unwrap_or(1);
            let item = u64::from(byte) * u64::from(weight);
            if self.xor {
                sum ^ item
            } else {
                sum.wrapping_add(item)
            }
        });
        let modulus = self.modulo.map_or(1 << self.bits, u64::from);
        let value = sum % modulus;
        let value = match self.finish {
            Finish::Plain => value,
            Finish::Negated => (modulus - value) % modulus,
            Finish::Complemented => !value,
        };
        let all = (1u64 << self.bits) - 1;
        let value = (value & all) ^ u64::from(self.xorout);
        (value.wrapping_add(self.plus.into()) & all) as u32
    }
}

#[cfg(test)]
mod tests {
    use crate::check::{Algorithm, Config};
    use crate::frame::Seal;

    fn check(algorithm: &str) -> crate::check::Check {
        let text = format!("algorithm = {algorithm}");
        toml::from_str::<Config>(&text).unwrap().build().unwrap()
    }

    fn value(algorithm: &str) -> Vec<u8> {
        let mut content = b"123456789".to_vec();
        check(algorithm).close(&mut content, 0);
        content.split_off(9)
    }

    #[test]
    fn a_crc_by_its_parameters_is_the_one_of_the_catalogue() {
        let modbus = "{ crc = { width = 16, poly = 0x8005, init = 0xffff, refin = true } }";
        assert_eq!(value(modbus), [0x37, 0x4b]);
        assert_eq!(value("{ crc = { width = 8, poly = 0x07 } }"), [0xf4]);
        assert_eq!(
            value("{ crc = { width = 16, poly = 0x1021, xorout = 0xffff } }"),
            [0xce, 0x3c]
        );
        let named = Algorithm::parse("modbus").unwrap();
        assert_ne!(
            toml::from_str::<Config>(&format!("algorithm = {modbus}"))
                .unwrap()
                .algorithm,
            named
        );
    }

    #[test]
    fn messages_call_it_by_a_name() {
        let algorithm = |text: &str| {
            let config: Config = toml::from_str(&format!("algorithm = {text}")).unwrap();
            config.algorithm
        };
        let sum = algorithm("{ sum = { bits = 7, finish = 'complemented' } }");
        assert_eq!(sum.to_string(), "sum of 7 bits");
        assert_ne!(sum, algorithm("{ sum = { bits = 7 } }"));
        let crc = algorithm("{ crc = { width = 8, poly = 0x9b } }");
        assert_eq!(crc.to_string(), "CRC of 8 bits with poly 0x9b");
    }

    #[test]
    fn sums_by_their_rules() {
        // The sum of "123456789" is 477 = 0x1dd.
        for (sum, wanted) in [
            ("bits = 8", 0xdd),
            ("bits = 8, start = 0x55", 0x32),
            ("bits = 8, finish = 'negated'", 0x23),
            ("bits = 8, finish = 'complemented'", 0x22),
            ("bits = 8, modulo = 10", 7),
            ("bits = 8, modulo = 11, finish = 'negated'", 7),
            ("bits = 8, xor = true", 0x31),
            ("bits = 8, xor = true, start = 0xff", 0xce),
            ("bits = 6, plus = 0x20", 0x3d),
            ("bits = 8, weights = [1, 3]", 0x85),
            ("bits = 8, xorout = 0xff", 0x22),
        ] {
            assert_eq!(value(&format!("{{ sum = {{ {sum} }} }}")), [wanted], "{sum}");
        }
        assert_eq!(value("{ sum = { bits = 16 } }"), [0x01, 0xdd]);
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for algorithm in [
            "{ crc = { width = 2, poly = 1 } }",
            "{ crc = { width = 8, poly = 0x107 } }",
            "{ sum = { bits = 0 } }",
            "{ sum = { bits = 8, modulo = 0 } }",
        ] {
            assert!(
                toml::from_str::<Config>(&format!("algorithm = {algorithm}")).is_err(),
                "{algorithm}"
            );
        }
    }
}
