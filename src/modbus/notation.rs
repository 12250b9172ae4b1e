//! Registers as data sheets number them: 40001 is the first holding register, 30001 the first input register.

use super::Table;
use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use std::borrow::Cow;

/// A number of a register, whose first digit tells the table: 0 coils, 1 discrete inputs, 3 input registers, 4
/// holding registers. The rest counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notation {
    /// The table.
    pub table: Table,
    /// The address as requests have it, from 0 on.
    pub address: u16,
}

impl Notation {
    /// Five digits, or six where there are more than 9,999.
    pub fn parse(text: &str) -> Option<Notation> {
        if !matches!(text.len(), 5 | 6) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (table, number) = text.split_at(1);
        let table = match table {
            "0" => Table::Coil,
            "1" => Table::Discrete,
            "3" => Table::Input,
            "4" => Table::Holding,
            _ => return None,
        };
        let number: u32 = number.parse().ok()?;
        let address = u16::try_from(number.checked_sub(1)?).ok()?;
        Some(Notation { table, address })
    }
}

read_any!(
    Notation,
    "a register's number of 5 or 6 digits, such as 30343 or 400001 (coils as text: \"00001\")",
    {
        fn visit_i64<E: de::Error>(self, n: i64) -> Result<Notation, E> {
            Notation::parse(&n.to_string()).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(n), &self))
        }
        fn visit_u64<E: de::Error>(self, n: u64) -> Result<Notation, E> {
            Notation::parse(&n.to_string())
                .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(n), &self))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Notation, E> {
            Notation::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
);

impl JsonSchema for Notation {
    fn schema_name() -> Cow<'static, str> {
        "RegisterNumber".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A register's number of 5 or 6 digits: 40001 is the first holding register.",
            "anyOf": [
                { "type": "integer", "minimum": 10001, "maximum": 465536 },
                { "type": "string", "pattern": "^[0134][0-9]{4,5}$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digit_tells_the_table() {
        let is = |text: &str, table, address| {
            assert_eq!(Notation::parse(text), Some(Notation { table, address }), "{text}");
        };
        is("40001", Table::Holding, 0);
        is("400001", Table::Holding, 0);
        is("465536", Table::Holding, 65_535);
        is("30343", Table::Input, 0x0156);
        is("10001", Table::Discrete, 0);
        is("00004", Table::Coil, 3);
        is("000004", Table::Coil, 3);
        for wrong in [
            "40000", "4001", "20001", "465537", "4000001", "+40001", "4OOO1", "",
        ] {
            assert_eq!(Notation::parse(wrong), None, "{wrong}");
        }
    }
}
