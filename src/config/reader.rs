//! A serde deserializer over the tree that knows at every moment where it is.
//!
//! It takes care of what serde itself would do without a place or in the wrong words: unknown keys are noted
//! and passed over, a list is no table, and the bare name of a variant stands for all its defaults.

use super::error::{At, Error, Kind};
use super::phantom::Phantom;
use super::session::Session;
use super::suggest::listed;
use super::tree::{Id, Value};
use serde::de::{self, DeserializeSeed, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// Reads one value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    session: &'a Session<'a>,
    id: Id,
}

impl<'a> Reader<'a> {
    pub(super) fn new(session: &'a Session<'a>, id: Id) -> Reader<'a> {
        Reader { session, id }
    }

    fn value(&self) -> &'a Value {
        &self.session.tree.node(self.id).value
    }

    fn here(&self) -> At {
        At::Value(self.id)
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value() {
            Value::Text(text) => visitor.visit_str(text),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Decimal(number) => visitor.visit_f64(*number),
            Value::Whole(Some(number)) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(small), _) => visitor.visit_i64(small),
                (_, Ok(large)) => visitor.visit_u64(large),
                _ => Err(Error::invalid_value(Unexpected::Other("number"), &visitor)),
            },
            Value::Whole(None) => Err(Error::invalid_value(Unexpected::Other("number"), &visitor)),
            Value::Date => Err(Error::invalid_type(Unexpected::Other("date"), &visitor)),
            Value::List(_) => {
                let elements = self.session.children(self.id).into_iter();
                visitor.visit_seq(Elements {
                    session: self.session,
                    elements,
                })
            }
            Value::Table(_) => visitor.visit_map(self.entries()),
        }
    }

    fn entries(self) -> Entries<'a> {
        Entries {
            session: self.session,
            table: self.id,
            entries: self.session.children(self.id).into_iter(),
            phantoms: self.session.phantoms(self.id).into_iter(),
            next: None,
        }
    }

    fn table<'de, V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value() {
            Value::Table(_) => {
                self.session.learn(self.id, fields);
                for entry in self.session.children(self.id) {
                    let key = self.session.tree.node(entry).key.as_ref();
                    if key.is_some_and(|key| !fields.contains(&key.name.as_str())) {
                        self.session.stranger(entry, fields);
                    }
                }
                visitor.visit_map(self.entries())
            }
            Value::List(_) => Err(Error::new(Kind::Type {
                expected: "a table".to_string(),
            })),
            _ => self.any(visitor),
        }
    }

    fn choice<'de, V: Visitor<'de>>(
        self,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let one_of = || format!("one of {}", listed(variants.iter().copied(), "or"));
        match self.value() {
            Value::Text(name) => visitor.visit_enum(Bare {
                session: self.session,
                id: self.id,
                name,
            }),
            Value::Table(_) => match self.session.children(self.id)[..] {
                [] => Err(Error::new(Kind::Type { expected: one_of() })),
                [entry] => visitor.visit_enum(Tagged {
                    session: self.session,
                    entry,
                }),
                [first, second, ..] => {
                    let name = |id: Id| {
                        let key = self.session.tree.node(id).key.as_ref();
                        key.map_or("", |key| key.name.as_str())
                    };
                    let (first, other) = (name(first), name(second));
                    let help = if variants.contains(&other) {
                        format!("keep `{first}` or `{other}`, not both")
                    } else {
                        format!("if `{other}` is an option of `{first}`: `{first} = {{ {other} = ... }}`")
                    };
                    let label = format!("`{other}` stands beside `{first}`: only one may stand here");
                    Err(Error::new(Kind::Shape { label, help }).at(At::Key(second)))
                }
            },
            _ => Err(Error::new(Kind::Type { expected: one_of() })),
        }
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|e| e.at(self.here()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self).map_err(|e| e.at(self.here()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|e| e.at(self.here()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.table(fields, visitor).map_err(|e| e.at(self.here()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.choice(variants, visitor).map_err(|e| e.at(self.here()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The elements of a list.
struct Elements<'a> {
    session: &'a Session<'a>,
    elements: std::vec::IntoIter<Id>,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let next = self.elements.next();
        next.map(|id| seed.deserialize(Reader::new(self.session, id)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

/// The entries of a table, and then what stands in for missing ones.
struct Entries<'a> {
    session: &'a Session<'a>,
    table: Id,
    entries: std::vec::IntoIter<Id>,
    phantoms: std::vec::IntoIter<(&'static str, u8)>,
    next: Option<Entry>,
}

enum Entry {
    Real(Id),
    Phantom(&'static str, u8),
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if let Some(id) = self.entries.next() {
            self.next = Some(Entry::Real(id));
            let key = self.session.tree.node(id).key.as_ref();
            let name = key.map_or("", |key| key.name.as_str());
            let key: de::value::StrDeserializer<'_, Error> = name.into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|e| e.at(At::Key(id)));
        }
        let Some((field, tried)) = self.phantoms.next() else {
            return Ok(None);
        };
        self.next = Some(Entry::Phantom(field, tried));
        let key: de::value::StrDeserializer<'_, Error> = field.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        match self.next.take() {
            Some(Entry::Real(id)) => seed
                .deserialize(Reader::new(self.session, id))
                .map_err(|e| e.at(At::Value(id))),
            Some(Entry::Phantom(field, tried)) => seed
                .deserialize(Phantom::new(tried))
                .map_err(|e| e.moved(At::Phantom(self.table, field))),
            None => Err(Error::custom("a value was asked for before its key")),
        }
    }
}

/// A variant's name alone, as text: all its options have their defaults.
#[derive(Clone, Copy)]
struct Bare<'a> {
    session: &'a Session<'a>,
    id: Id,
    name: &'a str,
}

impl<'a> Bare<'a> {
    fn entries(self) -> Entries<'a> {
        Entries {
            session: self.session,
            table: self.id,
            entries: Vec::new().into_iter(),
            phantoms: self.session.phantoms(self.id).into_iter(),
            next: None,
        }
    }

    fn needs_more(self) -> Error {
        let name = self.name;
        let label = format!("`{name}` needs more than its name");
        Error::new(Kind::Shape {
            label,
            help: format!("write `{{ {name} = ... }}`"),
        })
        .at(At::Value(self.id))
    }
}

impl<'de> de::EnumAccess<'de> for Bare<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name: de::value::StrDeserializer<'_, Error> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|e| e.at(At::Value(self.id)))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Bare<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self).map_err(|error| match error.0.kind {
            Kind::Type { .. } if error.0.at.is_none() => self.needs_more(),
            _ => error.at(At::Value(self.id)),
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(self.needs_more())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor
            .visit_map(self.entries())
            .map_err(|e| e.at(At::Value(self.id)))
    }
}

impl<'de> de::Deserializer<'de> for Bare<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.entries())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A variant's name as the only key of a table, and its options as the value.
struct Tagged<'a> {
    session: &'a Session<'a>,
    entry: Id,
}

impl<'a> Tagged<'a> {
    fn content(&self) -> Reader<'a> {
        Reader::new(self.session, self.entry)
    }
}

impl<'de> de::EnumAccess<'de> for Tagged<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let key = self.session.tree.node(self.entry).key.as_ref();
        let name: de::value::StrDeserializer<'_, Error> =
            key.map_or("", |key| key.name.as_str()).into_deserializer();
        let variant = seed.deserialize(name).map_err(|e| e.at(At::Key(self.entry)))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Tagged<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if matches!(&self.content().value(), Value::Table(entries) if entries.is_empty()) {
            return Ok(());
        }
        let name = self
            .session
            .tree
            .key(self.entry)
            .map_or("", |key| key.name.as_str());
        let label = format!("`{name}` has no options");
        let help = format!("write its name alone: `\"{name}\"`");
        Err(Error::new(Kind::Shape { label, help }).at(At::Value(self.entry)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let at = At::Value(self.entry);
        seed.deserialize(self.content()).map_err(|e| e.at(at))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_seq(self.content(), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_struct(self.content(), "", fields, visitor)
    }
}
