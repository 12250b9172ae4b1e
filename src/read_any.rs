//! Values that may be written in several ways: as a number or a text, as one or a list of them.

/// `Deserialize` for a type by the methods of a `serde::de::Visitor` that it needs; `$expecting` is what a person is
/// told who writes something else.
macro_rules! read_any {
    ($type:ty, $expecting:literal, { $($method:item)* }) => {
        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> ::serde::de::Visitor<'de> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str($expecting)
                    }
                    $($method)*
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

pub(crate) use read_any;
