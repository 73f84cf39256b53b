//! Long lists, written straight into the answer: no map for each item, since a thousand of those are most of the work.
//!
//! What [`super::pages::page`] is for items that are maps already, this is for rows.

use super::answer::here;
use crate::api::Call;
use crate::http::reply::RawReply;
use http::StatusCode;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A row that knows how it is shown.
pub trait Entry {
    fn id(&self) -> &str;

    /// Writes its attributes, each of them once.
    fn write<M: SerializeMap>(&self, into: &mut M) -> Result<(), M::Error>;
}

/// The same as a map, for answers about one.
pub fn map_of<E: Entry>(entry: &E) -> Map<String, Value> {
    match serde_json::to_value(Alone(entry)) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("an entry is an object with text for keys, not {other:?}"),
    }
}

/// A page: each item in its own place, and the link to the next page if there is one.
pub fn listed<B, E: Entry>(call: &Call<B>, key: &'static str, items: &[E], next: Option<String>) -> RawReply {
    let place = format!("{}/identity/v3/{key}/", call.cx.state.public_url);
    let list = List { key, items, place: &place, here: here(call), next };
    // About what a user takes.
    let mut body = Vec::with_capacity(items.len() * 384 + 256);
    serde_json::to_writer(&mut body, &list).expect("text for keys, and a buffer that grows");
    RawReply::bytes(StatusCode::OK, "application/json", body)
}

struct Alone<'e, E>(&'e E);

impl<E: Entry> Serialize for Alone<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.write(&mut map)?;
        map.end()
    }
}

struct List<'l, E> {
    key: &'static str,
    items: &'l [E],
    place: &'l str,
    here: String,
    next: Option<String>,
}

impl<E: Entry> Serialize for List<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &Items { items: self.items, place: self.place })?;
        map.serialize_entry("links", &Links { next: self.next.as_deref(), here: &self.here, previous: () })?;
        if self.next.is_some() {
            map.serialize_entry("truncated", &true)?;
        }
        map.end()
    }
}

struct Items<'l, E> {
    items: &'l [E],
    place: &'l str,
}

impl<E: Entry> Serialize for Items<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.items.len()))?;
        for item in self.items {
            list.serialize_element(&InPlace { item, place: self.place })?;
        }
        list.end()
    }
}

struct InPlace<'l, E> {
    item: &'l E,
    place: &'l str,
}

impl<E: Entry> Serialize for InPlace<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.item.write(&mut map)?;
        map.serialize_entry("links", &Own { address: Address(self.place, self.item.id()) })?;
        map.end()
    }
}

#[derive(Serialize)]
struct Links<'l> {
    next: Option<&'l str>,
    #[serde(rename = "self")]
    here: &'l str,
    previous: (),
}

#[derive(Serialize)]
struct Own<'l> {
    #[serde(rename = "self")]
    address: Address<'l>,
}

/// A place and what is there, written one after the other.
struct Address<'l>(&'l str, &'l str);

impl Serialize for Address<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.0, self.1))
    }
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Cloud;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_list_shows_each_user_as_they_are_shown_alone() {
        let cloud = Cloud::new().await;
        let admin = cloud.admin().await;
        let plain = json!({"name": "plain"});
        let full = json!({
            "name": "f\"ull\u{e9}", "description": "", "email": "full@example.org", "enabled": false,
            "default_project_id": admin.project_id, "options": {"ignore_lockout_failure_attempts": true},
            "shoe": {"size": [43, null]}, "password": "secret",
        });
        for user in [plain, full] {
            assert_eq!(admin.post("/v3/users", json!({ "user": user })).await.status, 201);
        }
        let list = admin.get("/v3/users").await.json();
        let users = list["users"].as_array().unwrap();
        assert_eq!(users.len(), 4);
        for user in users {
            let alone = admin.get(&format!("/v3/users/{}", user["id"].as_str().unwrap())).await.json();
            assert_eq!(&alone["user"], user);
        }
        let here = "http://cloud.test/identity/v3/users";
        assert_eq!(list["links"], json!({"next": null, "self": here, "previous": null}));
        let names = |list: &Value| -> Vec<String> {
            let users = list["users"].as_array().unwrap().iter();
            let mut names: Vec<String> = users.map(|user| user["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&list), ["admin", "demo", "f\"ull\u{e9}", "plain"]);
        let filtered = admin.get("/v3/users?enabled=false&name__icontains=ULL").await.json();
        assert_eq!(names(&filtered), ["f\"ull\u{e9}"]);
        let first = admin.get("/v3/users?limit=2").await.json();
        assert_eq!((names(&first).len(), &first["truncated"]), (2, &json!(true)));
    }
}
