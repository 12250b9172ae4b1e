//! Something that stands in for a missing or bad value, so that what stands beside it can still be read.
//!
//! What is built with it is only looked at to find more faults, and then thrown away.

use super::error::{Error, Kind};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

/// How many different stand-ins there are for one key.
pub(super) const TRIES: u8 = 6;

/// Texts that many types take.
const TEXTS: [&str; TRIES as usize] = ["x", "1s", "127.0.0.1:0", "a/b", "/x", "1"];

/// A value made up to please whoever asks.
#[derive(Clone, Copy)]
pub(super) struct Phantom {
    tried: u8,
    depth: u8,
}

impl Phantom {
    /// The stand-in after so many others failed.
    pub(super) fn new(tried: u8) -> Phantom {
        Phantom { tried, depth: 0 }
    }

    fn inner(self) -> Result<Phantom, Error> {
        match self.depth {
            8.. => Err(Error::new(Kind::Said("nothing to stand in".to_string()))),
            depth => Ok(Phantom {
                depth: depth + 1,
                ..self
            }),
        }
    }

    fn text(self) -> &'static str {
        TEXTS[usize::from(self.tried) % TEXTS.len()]
    }
}

macro_rules! numbers {
    ($($ask:ident $give:ident,)*) => {$(
        fn $ask<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$give((self.tried + 1).into())
        }
    )*};
}

macro_rules! texts {
    ($($ask:ident)*) => {$(
        fn $ask<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_str(self.text())
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Phantom {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tried {
            0..=2 => visitor.visit_str(self.text()),
            3 => visitor.visit_i64(1),
            4 => visitor.visit_bool(true),
            _ => visitor.visit_seq(Made::new(self, &[], 1)),
        }
    }

    numbers! {
        deserialize_i8 visit_u8, deserialize_i16 visit_u8, deserialize_i32 visit_u8, deserialize_i64 visit_u8,
        deserialize_u8 visit_u8, deserialize_u16 visit_u8, deserialize_u32 visit_u8, deserialize_u64 visit_u8,
        deserialize_i128 visit_u8, deserialize_u128 visit_u8, deserialize_f32 visit_f32,
        deserialize_f64 visit_f64,
    }

    texts! {
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(false)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self.inner()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Made::new(self.inner()?, &[], usize::from(self.tried)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Made::new(self.inner()?, &[], len))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Made::new(self.inner()?, &[], 0))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Made::new(self.inner()?, fields, 0))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Chosen {
            phantom: self.inner()?,
            variants,
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// A made-up table or list.
struct Made {
    phantom: Phantom,
    fields: std::slice::Iter<'static, &'static str>,
    elements: usize,
}

impl Made {
    fn new(phantom: Phantom, fields: &'static [&'static str], elements: usize) -> Made {
        Made {
            phantom,
            fields: fields.iter(),
            elements,
        }
    }
}

impl<'de> de::MapAccess<'de> for Made {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else {
            return Ok(None);
        };
        let key: de::value::StrDeserializer<'_, Error> = field.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.phantom)
    }
}

impl<'de> de::SeqAccess<'de> for Made {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.elements == 0 {
            return Ok(None);
        }
        self.elements -= 1;
        seed.deserialize(self.phantom).map(Some)
    }
}

/// A made-up variant.
struct Chosen {
    phantom: Phantom,
    variants: &'static [&'static str],
}

impl<'de> de::EnumAccess<'de> for Chosen {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name = self
            .variants
            .get(usize::from(self.phantom.tried))
            .or(self.variants.first());
        let name: de::value::StrDeserializer<'_, Error> = name.copied().unwrap_or("").into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Chosen {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.phantom)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Made::new(self.phantom, &[], len))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Made::new(self.phantom, fields, 0))
    }
}
