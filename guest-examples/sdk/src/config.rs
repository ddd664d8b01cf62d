//! Reading an extension's configuration, whose values are all strings, into a struct.

use serde::de::value::{Error as Fault, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::{Error, Result};

/// Reads a configuration; an error names the key that is wrong.
pub(crate) fn parse<T: DeserializeOwned>(values: Vec<(String, String)>) -> Result<T> {
    let values = values.into_iter().map(|(key, text)| (key.clone(), Value { key, text }));
    T::deserialize(MapDeserializer::<_, Fault>::new(values))
        .map_err(|error| Error::config(format!("in [datastore.config]: {error}")))
}

/// One value, read as whatever the field asks for.
struct Value {
    key: String,
    text: String,
}

impl IntoDeserializer<'_, Fault> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parse_as {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(error) => Err(Fault::custom(format_args!("`{}` is {:?}: {error}", self.key, self.text))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let key = self.key;
        visitor
            .visit_string(self.text)
            .map_err(|error: Fault| Fault::custom(format_args!("`{key}`: {error}")))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let key = self.key;
        let text: serde::de::value::StringDeserializer<Fault> = self.text.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
            .map_err(|error| Fault::custom(format_args!("`{key}`: {error}")))
    }

    parse_as! {
        deserialize_bool visit_bool bool,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_f64 visit_f64 f64,
    }

    forward_to_deserialize_any! {
        i8 i16 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        root: String,
        port: Option<u16>,
        #[serde(default)]
        secure: bool,
    }

    fn sample(values: &[(&str, &str)]) -> Result<Sample> {
        parse(values.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn values_are_read_as_what_the_field_is() {
        let read = sample(&[("root", "17"), ("port", "17"), ("secure", "true")]);
        assert_eq!(read, Ok(Sample { root: "17".to_owned(), port: Some(17), secure: true }));
        assert_eq!(sample(&[("root", "/")]), Ok(Sample { root: "/".to_owned(), port: None, secure: false }));
    }

    #[test]
    fn an_error_names_the_key() {
        for (values, key) in [
            (&[][..], "root"),
            (&[("root", "/"), ("port", "many")], "port"),
            (&[("root", "/"), ("prot", "17")], "prot"),
        ] {
            match sample(values) {
                Err(Error::Config(failure)) => {
                    assert!(failure.message.contains(&format!("`{key}`")), "{failure:?}")
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
