//! Writing types as JSON at a version, straight into bytes.

use crate::http::microversion::Microversion;
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A type that can be shown at a version.
pub trait View {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error>;

    /// Is it left out where its field is `optional`?
    fn is_absent(&self) -> bool {
        false
    }

    /// JSON Schema at a version.
    fn schema(version: Microversion) -> Value;

    /// Versions at which the schema changes.
    fn boundaries(_into: &mut Vec<u16>) {}
}

/// A view at a version, for serde.
pub struct At<'v, V: ?Sized>(pub &'v V, pub Microversion);

impl<V: View> Serialize for At<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.view(self.1, serializer)
    }
}

/// The view's bytes.
pub fn to_vec<V: View>(view: &V, version: Microversion) -> Vec<u8> {
    serde_json::to_vec(&At(view, version)).expect("views have text keys and write into memory")
}

macro_rules! plain_views {
    ($($type:ty => $schema:tt;)*) => {$(
        impl View for $type {
            fn view<S: Serializer>(&self, _: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }

            fn schema(_: Microversion) -> Value {
                json!($schema)
            }
        }
    )*};
}

plain_views! {
    String => {"type": "string"};
    &'static str => {"type": "string"};
    bool => {"type": "boolean"};
    i64 => {"type": "integer"};
    u64 => {"type": "integer"};
    u32 => {"type": "integer"};
    u16 => {"type": "integer"};
    f64 => {"type": "number"};
    Value => {};
    serde_json::Map<String, Value> => {"type": "object"};
    uuid::Uuid => {"type": "string", "format": "uuid"};
    std::net::IpAddr => {"type": "string"};
    crate::ids::ServerId => {"type": "string", "format": "uuid"};
    crate::ids::ImageId => {"type": "string", "format": "uuid"};
    crate::ids::NetworkId => {"type": "string", "format": "uuid"};
    crate::ids::SubnetId => {"type": "string", "format": "uuid"};
    crate::ids::PortId => {"type": "string", "format": "uuid"};
    crate::ids::HostId => {"type": "string", "format": "uuid"};
    crate::ids::ServerGroupId => {"type": "string", "format": "uuid"};
    crate::ids::DomainId => {"type": "string"};
    crate::ids::ProjectId => {"type": "string"};
    crate::ids::UserId => {"type": "string"};
    crate::ids::GroupId => {"type": "string"};
    crate::ids::RoleId => {"type": "string"};
    crate::ids::FlavorId => {"type": "string"};
}

impl<V: View> View for Option<V> {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(inner) => inner.view(version, serializer),
            None => serializer.serialize_none(),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn schema(version: Microversion) -> Value {
        json!({"anyOf": [V::schema(version), {"type": "null"}]})
    }

    fn boundaries(into: &mut Vec<u16>) {
        V::boundaries(into);
    }
}

/// A list whose items are made one by one as they are written, so that a long one is never held whole. Written once.
pub struct InTurn<V>(Arc<Mutex<Option<Box<dyn Iterator<Item = V> + Send>>>>);

impl<V> InTurn<V> {
    pub fn new(items: impl Iterator<Item = V> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(items)))))
    }
}

impl<V> Clone for InTurn<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> std::fmt::Debug for InTurn<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("items in turn")
    }
}

impl<V: View> View for InTurn<V> {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        let items = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let items = items.ok_or_else(|| S::Error::custom("a list is written once"))?;
        let mut seq = serializer.serialize_seq(None)?;
        for item in items {
            seq.serialize_element(&At(&item, version))?;
        }
        seq.end()
    }

    fn schema(version: Microversion) -> Value {
        Vec::<V>::schema(version)
    }

    fn boundaries(into: &mut Vec<u16>) {
        V::boundaries(into);
    }
}

impl<V: View> View for Vec<V> {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.len()))?;
        for item in self {
            seq.serialize_element(&At(item, version))?;
        }
        seq.end()
    }

    /// Next links are lists that are left out when there is none.
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "array", "items": V::schema(version)})
    }

    fn boundaries(into: &mut Vec<u16>) {
        V::boundaries(into);
    }
}

impl<V: View> View for BTreeMap<String, V> {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, item) in self {
            map.serialize_entry(key, &At(item, version))?;
        }
        map.end()
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "object", "additionalProperties": V::schema(version)})
    }

    fn boundaries(into: &mut Vec<u16>) {
        V::boundaries(into);
    }
}

impl<V: View> View for Box<V> {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).view(version, serializer)
    }

    fn schema(version: Microversion) -> Value {
        V::schema(version)
    }

    fn boundaries(into: &mut Vec<u16>) {
        V::boundaries(into);
    }
}
