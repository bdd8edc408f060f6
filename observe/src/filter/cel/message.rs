//! A message of protobuf as a value of CEL: its fields are made when they are asked for.

use cel::{
    ExecutionError,
    common::{
        traits::Indexer,
        types::{
            CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
            CelUInt, Kind, Type,
        },
        value::{CowVal, Val},
    },
};
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};
use std::{collections::HashMap, sync::LazyLock};

use super::shape::PRESENT;

static MESSAGE: LazyLock<Type> = LazyLock::new(|| Type::simple_type(Kind::Struct, "message"));

/// The message.
#[derive(Debug, Clone)]
pub struct Message(DynamicMessage);

// === impl Message ===

impl Message {
    pub fn new(message: DynamicMessage) -> Self {
        Self(message)
    }

    fn field(&self, name: &str) -> Option<Box<dyn Val>> {
        if let Some(name) = name.strip_prefix(PRESENT) {
            let field = self.0.descriptor().get_field_by_name(name)?;
            return Some(Box::new(CelBool::from(self.0.has_field(&field))));
        }
        let field = self.0.descriptor().get_field_by_name(name)?;
        Some(value(&self.0.get_field(&field), self.0.has_field(&field)))
    }
}

impl Val for Message {
    fn get_type(&self) -> &Type {
        &MESSAGE
    }

    fn cel_type() -> &'static Type {
        &MESSAGE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl Indexer for Message {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = index.downcast_ref::<CelString<'_>>().map(CelString::inner);
        let found = name.and_then(|name| self.field(name));
        found
            .map(CowVal::Owned)
            .ok_or_else(|| ExecutionError::no_such_key(name.unwrap_or_default()))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

fn value(of: &Value, set: bool) -> Box<dyn Val> {
    match of {
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::I32(value) => Box::new(CelInt::from(i64::from(*value))),
        Value::EnumNumber(value) => Box::new(CelInt::from(i64::from(*value))),
        Value::I64(value) => Box::new(CelInt::from(*value)),
        Value::U32(value) => Box::new(CelUInt::from(u64::from(*value))),
        Value::U64(value) => Box::new(CelUInt::from(*value)),
        Value::F32(value) => Box::new(CelDouble::from(f64::from(*value))),
        Value::F64(value) => Box::new(CelDouble::from(*value)),
        Value::String(value) => Box::new(CelString::from(value.clone())),
        Value::Bytes(value) => Box::new(CelBytes::from(value.to_vec())),
        Value::List(values) => {
            let values: Vec<Box<dyn Val>> = values.iter().map(|of| value(of, true)).collect();
            Box::new(CelList::from(values))
        }
        Value::Map(values) => {
            let entries = values
                .iter()
                .map(|(key, of)| (map_key(key), value(of, true)));
            let entries: HashMap<CelMapKey<'static>, Box<dyn Val>> = entries.collect();
            Box::new(CelMap::from(entries))
        }
        Value::Message(message) => wrapped(message, set),
    }
}

/// A wrapped scalar is the scalar, or null where it is not set; another message is itself.
fn wrapped(message: &DynamicMessage, set: bool) -> Box<dyn Val> {
    let descriptor = message.descriptor();
    let name = descriptor.full_name();
    match (
        name.starts_with("google.protobuf.") && name.ends_with("Value"),
        set,
    ) {
        (false, _) => Box::new(Message::new(message.clone())),
        (true, false) => Box::new(CelNull),
        (true, true) => match descriptor.get_field_by_name("value") {
            Some(field) => value(&message.get_field(&field), true),
            None => Box::new(CelNull),
        },
    }
}

fn map_key(key: &MapKey) -> CelMapKey<'static> {
    match key {
        MapKey::Bool(key) => (*key).into(),
        MapKey::I32(key) => i64::from(*key).into(),
        MapKey::I64(key) => (*key).into(),
        MapKey::U32(key) => u64::from(*key).into(),
        MapKey::U64(key) => (*key).into(),
        MapKey::String(key) => key.clone().into(),
    }
}
