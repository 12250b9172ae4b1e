//! Reads the words that may be written in several ways: a number or an expression, one or several.

use super::types::{Amount, At, Epoch, Factor, Order, TimeForm, Type, Zone};
use super::unpack::{Letter, Unpack, Unpacks};
use super::{Cases, Count, Flags, Label, Labels, Scalar, Scalars};
use crate::read_any::read_any;
use serde::{Deserialize, Deserializer, de};

const TYPES: &str = "`u8` to `u64`, `i8` to `i64` (any number of bits), `f16`, `f32`, `f64`, `bool`, `uint`, `int`, `varint`, `bcd`, \
                     `bcd-swapped`, `text`, `bytes`, `decimal`, `hex`, `binary`, `octal`, `time` or `skip`";

read_any!(At, "an offset, the number of a column, a key or an expression", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<At, E> {
        match i32::try_from(n) {
            Ok(n) if n.unsigned_abs() <= 1 << 20 => Ok(At::Number(n)),
            _ => Err(E::custom("a place is at most 1048576")),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<At, E> {
        i64::try_from(n)
            .map_err(E::custom)
            .and_then(|n| self.visit_i64(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<At, E> {
        Ok(At::Key(text.to_owned()))
    }
});

read_any!(Amount, "a number, an expression, or \"rest\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Amount, E> {
        match i32::try_from(n) {
            Ok(n) if n.unsigned_abs() <= 1 << 20 => Ok(Amount::Number(n)),
            _ => Err(E::custom("it is at most 1048576")),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Amount, E> {
        i64::try_from(n)
            .map_err(E::custom)
            .and_then(|n| self.visit_i64(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        Ok(match text {
            "rest" => Amount::Rest,
            _ => Amount::Expression(text.to_owned()),
        })
    }
});

read_any!(Letter, "a byte such as 0x3f, or a character such as \"0\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Letter, E> {
        u8::try_from(n)
            .map(Letter)
            .map_err(|_| E::custom("a byte is 0 to 255"))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Letter, E> {
        u8::try_from(n)
            .map(Letter)
            .map_err(|_| E::custom("a byte is 0 to 255"))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Letter, E> {
        match text.as_bytes() {
            [byte] => Ok(Letter(*byte)),
            _ => Err(E::custom("one ASCII character, or a number")),
        }
    }
});

read_any!(Factor, "a number or an expression", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Factor, E> {
        Ok(Factor::Number(n as f64))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Factor, E> {
        Ok(Factor::Number(n as f64))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Factor, E> {
        Ok(Factor::Number(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Factor, E> {
        Ok(Factor::Expression(text.to_owned()))
    }
});

read_any!(Label, "a name, a number, true or false", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Label, E> {
        Ok(Label::Bool(yes))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Label, E> {
        Ok(Label::Int(n))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Label, E> {
        Ok(i64::try_from(n).map_or(Label::Float(n as f64), Label::Int))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Label, E> {
        Ok(Label::Float(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Label, E> {
        Ok(Label::Name(text.to_owned()))
    }
});

read_any!(Scalar, "a number, a text, true or false", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Scalar, E> {
        Ok(Scalar::Int(yes.into()))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(n))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(n).map_or(Scalar::Float(n as f64), Scalar::Int))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
});

read_any!(Scalars, "a number, a text, or a list of them", {
    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Int(yes.into())]))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Int(n)]))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Scalars, E> {
        Ok(Scalars(vec![
            i64::try_from(n).map_or(Scalar::Float(n as f64), Scalar::Int),
        ]))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Float(n)]))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalars, E> {
        Ok(Scalars(vec![Scalar::Text(text.to_owned())]))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalars, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Scalars(all))
    }
});

read_any!(
    Labels,
    "a table of numbers and their names, such as { 0 = \"off\" }",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut all = Vec::new();
            while let Some(pair) = map.next_entry()? {
                all.push(pair);
            }
            Ok(Labels(all))
        }
    }
);

read_any!(
    Cases,
    "a table of values and the fields for each, such as { 1 = [ { name = ... } ] }",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Cases, A::Error> {
            let mut all = Vec::new();
            while let Some(pair) = map.next_entry()? {
                all.push(pair);
            }
            Ok(Cases(all))
        }
    }
);

read_any!(
    Flags,
    "a table of names and bits, such as { alarm = 7 }, or a list of names from bit 0 on",
    {
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Flags, A::Error> {
            let mut all = Vec::new();
            while let Some((name, bit)) = map.next_entry::<String, u8>()? {
                if bit > 63 {
                    return Err(de::Error::custom("bits are counted from 0 to 63"));
                }
                all.push((name, bit));
            }
            Ok(Flags(all))
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Flags, A::Error> {
            let mut all = Vec::new();
            while let Some(name) = seq.next_element::<String>()? {
                let bit = u8::try_from(all.len()).ok().filter(|bit| *bit < 64);
                let bit = bit.ok_or_else(|| de::Error::custom("bits are counted from 0 to 63"))?;
                all.push((name, bit));
            }
            Ok(Flags(
                all.into_iter().filter(|(name, _)| !name.is_empty()).collect(),
            ))
        }
    }
);

read_any!(Count, "a number, or from and to: [8, 10]", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Count, E> {
        let n = usize::try_from(n).map_err(E::custom)?;
        Ok(Count(n, n))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Count, E> {
        let n = usize::try_from(n).map_err(E::custom)?;
        Ok(Count(n, n))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        match (
            seq.next_element::<usize>()?,
            seq.next_element::<usize>()?,
            seq.next_element::<usize>()?,
        ) {
            (Some(from), Some(to), None) if from <= to => Ok(Count(from, to)),
            _ => Err(de::Error::custom("from and to, the smaller first: [8, 10]")),
        }
    }
});

read_any!(
    TimeForm,
    "a pattern such as \"YYMMDDhhmmss\", or { epoch = \"unix\" }",
    {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeForm, E> {
            Ok(TimeForm::Pattern(text.to_owned()))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TimeForm, A::Error> {
            Epoch::deserialize(de::value::MapAccessDeserializer::new(map)).map(TimeForm::Count)
        }
    }
);

read_any!(Zone, "minutes east of UTC, or \"local\"", {
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Zone, E> {
        match i16::try_from(n) {
            Ok(minutes @ -900..=900) => Ok(Zone(Some(minutes))),
            _ => Err(E::custom("a zone is -900 to 900 minutes east of UTC")),
        }
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Zone, E> {
        i64::try_from(n)
            .map_err(E::custom)
            .and_then(|n| self.visit_i64(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Zone, E> {
        match text {
            "local" => Ok(Zone(None)),
            "utc" => Ok(Zone::default()),
            _ => Err(E::custom("minutes east of UTC, or \"local\"")),
        }
    }
});

read_any!(Unpacks, "one step such as \"hex\", or a list of steps", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Unpacks, E> {
        let step = Unpack::deserialize(de::value::StrDeserializer::new(text))?;
        Ok(Unpacks(vec![step]))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Unpacks, A::Error> {
        let step = Unpack::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Unpacks(vec![step]))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Unpacks, A::Error> {
        let mut all = Vec::new();
        while let Some(step) = seq.next_element()? {
            all.push(step);
        }
        Ok(Unpacks(all))
    }
});

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Type::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "there is no type `{}`; known: {TYPES}",
                text.escape_debug()
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = match text.as_str() {
            "big" => Some(Order::Big),
            "little" => Some(Order::Little),
            "word-swapped" => Some(Order::WordSwapped),
            "byte-swapped" => Some(Order::ByteSwapped),
            letters => {
                let ranks: Vec<u8> = letters.bytes().map(|letter| letter.wrapping_sub(b'A')).collect();
                let whole = (1..=8).contains(&ranks.len())
                    && (0..ranks.len()).all(|rank| ranks.contains(&(rank as u8)));
                whole.then_some(Order::Ranks(ranks))
            }
        };
        known.ok_or_else(|| {
            de::Error::custom(format!(
                "`{}` is no order: use big, little, word-swapped, byte-swapped, or letters with A for the most \
                 significant byte, each once: \"CDAB\"",
                text.escape_debug()
            ))
        })
    }
}
