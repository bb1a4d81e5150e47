//! Reads a type from the tree.

use std::cell::RefCell;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{Error, unknown_key};
use super::node::{Entry, Node, Table, Value};
use super::{Help, Origin, Problem, layer};

/// All unknown keys, and the first value that does not fit.
pub(super) fn read<T: DeserializeOwned>(tree: Table, help: &Help<'_>) -> Result<T, Vec<Problem>> {
    let unknown = RefCell::new(Vec::new());
    // Only a missing key is reported for the root, and that has no place.
    let origin = Origin::Flag(String::new());
    let root = Reader { node: Node { value: Value::Table(tree), origin }, unknown: &unknown, path: String::new() };
    let read = T::deserialize(root);
    let mut problems = unknown.into_inner();
    match read {
        Ok(value) if problems.is_empty() => return Ok(value),
        Ok(_) => {}
        Err(error) => problems.push(error.into_problem(help)),
    }
    Err(problems)
}

struct Reader<'a> {
    node: Node,
    /// Dotted; empty at the root.
    path: String,
    unknown: &'a RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    fn child(&self, name: &str, node: Node) -> Reader<'a> {
        Reader { node, path: self.path_of(name), unknown: self.unknown }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Takes the keys out that are no field, and notes them.
    fn refuse_unknown(&mut self, fields: &'static [&'static str]) {
        let Value::Table(table) = &mut self.node.value else {
            return;
        };
        let mut unknown = Vec::new();
        for (name, entry) in std::mem::take(&mut table.0) {
            if fields.contains(&name.as_str()) {
                table.0.insert(name, entry);
                continue;
            }
            unknown.push((name, entry.key));
        }
        for (name, origin) in unknown {
            let problem = unknown_key(&self.path_of(&name), &name, origin, fields);
            self.unknown.borrow_mut().push(problem);
        }
    }

    /// What the text stands for, now that it is clear that it is no scalar.
    fn structured(mut self) -> Self {
        if let Value::Text(text) = &self.node.value
            && let Some(node) = layer::from_text(text, &self.node.origin)
        {
            self.node = node;
        }
        self
    }

    fn list(mut self) -> Self {
        if let Value::Text(text) = &self.node.value
            && !text.trim_start().starts_with('[')
        {
            let origin = &self.node.origin;
            let item = |item: &str| Node { value: Value::Text(item.trim().to_owned()), origin: origin.clone() };
            self.node.value = Value::Array(text.split(',').map(item).collect());
        }
        self.structured()
    }

    /// Runs `read` and gives its error this place, unless it comes from deeper.
    fn placed<T>(self, read: impl FnOnce(Self) -> Result<T, Error>) -> Result<T, Error> {
        let path = self.path.clone();
        let origin = self.node.origin.clone();
        let text = match &self.node.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        read(self).map_err(|error| error.at(path, origin, text.as_deref()))
    }

    fn scalar<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Text(text) | Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(number),
            },
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Array(_) => self.array(visitor),
            Value::Table(_) => self.table(visitor),
        }
    }

    fn array<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match std::mem::replace(&mut self.node.value, Value::Boolean(false)) {
            Value::Array(items) => visitor.visit_seq(Items { reader: &self, items: items.into_iter().enumerate() }),
            value => {
                self.node.value = value;
                self.scalar(visitor)
            }
        }
    }

    fn table<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match std::mem::replace(&mut self.node.value, Value::Boolean(false)) {
            Value::Table(table) => {
                visitor.visit_map(Entries { reader: &self, entries: table.0.into_iter(), next: None })
            }
            value => {
                self.node.value = value;
                self.scalar(visitor)
            }
        }
    }

    /// A text that parses as `T` becomes that number or truth value; anything else is left for the visitor to refuse.
    fn parsed<'de, V, T>(self, visitor: V, visit: fn(V, T) -> Result<V::Value, Error>) -> Result<V::Value, Error>
    where
        V: Visitor<'de>,
        T: std::str::FromStr,
    {
        self.placed(|reader| match &reader.node.value {
            Value::Text(text) => match text.trim().parse() {
                Ok(value) => visit(visitor, value),
                Err(_) => reader.scalar(visitor),
            },
            _ => reader.scalar(visitor),
        })
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.parsed(visitor, V::$visit)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i64
        deserialize_i16 visit_i64
        deserialize_i32 visit_i64
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u64
        deserialize_u16 visit_u64
        deserialize_u32 visit_u64
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f64
        deserialize_f64 visit_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.structured().placed(|reader| reader.scalar(visitor))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(|reader| reader.scalar(visitor))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.placed(|reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list().placed(|reader| reader.scalar(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Error>
    where
        V: Visitor<'de>,
    {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.structured().placed(|reader| reader.scalar(visitor))
    }

    fn deserialize_struct<V>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error>
    where
        V: Visitor<'de>,
    {
        let mut reader = self.structured();
        reader.refuse_unknown(fields);
        reader.placed(|reader| reader.scalar(visitor))
    }

    fn deserialize_enum<V>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error>
    where
        V: Visitor<'de>,
    {
        self.placed(|reader| visitor.visit_enum(Variant(reader)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bytes byte_buf unit unit_struct }
}

struct Items<'r, 'a> {
    reader: &'r Reader<'a>,
    items: std::iter::Enumerate<std::vec::IntoIter<Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(self.reader.child(&index.to_string(), node)).map(Some)
    }
}

struct Entries<'r, 'a> {
    reader: &'r Reader<'a>,
    entries: std::collections::btree_map::IntoIter<String, Entry>,
    next: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((name, entry)) = self.entries.next() else {
            return Ok(None);
        };
        // Read like a value, at the position of the key: the keys of a map may be numbers or addresses.
        let key = Node { value: Value::Text(name.clone()), origin: entry.key };
        let read = seed.deserialize(self.reader.child(&name, key));
        self.next = Some((name, entry.node));
        read.map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((name, node)) = self.next.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(self.reader.child(&name, node))
    }
}

/// `"name"`, or a table with the name as its one key.
struct Variant<'a>(Reader<'a>);

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Error> {
        let Variant(reader) = self;
        let reader = match &reader.node.value {
            Value::Text(text) if text.trim_start().starts_with('{') => reader.structured(),
            _ => reader,
        };
        let (name, content) = match &reader.node.value {
            Value::Text(name) | Value::String(name) => (name.clone(), Content(None)),
            Value::Table(table) if table.0.len() == 1 => match table.0.first_key_value() {
                Some((name, entry)) => (name.clone(), Content(Some(reader.child(name, entry.node.clone())))),
                None => return Err(de::Error::custom("expected a name, or a table with the name as its key")),
            },
            _ => return Err(de::Error::custom("expected a name, or a table with the name as its key")),
        };
        let name: StringDeserializer<Error> = name.into_deserializer();
        Ok((seed.deserialize(name)?, content))
    }
}

struct Content<'a>(Option<Reader<'a>>);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(de::Error::custom("this one takes no content, write its name alone")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.reader()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.reader()?.deserialize_seq(visitor)
    }

    fn struct_variant<V>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error>
    where
        V: Visitor<'de>,
    {
        self.reader()?.deserialize_struct("", fields, visitor)
    }
}

impl<'a> Content<'a> {
    fn reader(self) -> Result<Reader<'a>, Error> {
        self.0.ok_or_else(|| de::Error::custom("this one needs content, write a table with its name as the key"))
    }
}
