//! Metadata definitions: namespaces, what they hold, and to which resources they apply.

use super::{Json, OrConflict, Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::cloud::metadef::{Association, Item, ItemKind, Namespace};
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use serde_json::Map;

const COLUMNS: &str = "n.id, n.name, n.display_name, n.description, n.visibility, n.protected, n.owner, n.created_at, \
     n.updated_at";

/// Columns that lists of namespaces are sorted by, and the words clients have for them.
pub const SORT_FIELDS: [(&str, &str); 6] = [
    ("namespace", "name"),
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("visibility", "visibility"),
    ("owner", "owner"),
    ("id", "id"),
];

/// What is asked of a list of namespaces. The column is one of [`SORT_FIELDS`], never a client's text.
#[derive(Debug, Clone)]
pub struct Page {
    pub visibility: Option<String>,
    /// Those that apply to any of these; empty: all.
    pub resource_types: Vec<String>,
    pub sort_column: &'static str,
    pub is_descending: bool,
    pub limit: usize,
    /// Show what comes after the namespace of this name.
    pub marker: Option<String>,
}

/// The namespace of a name, if the reach includes seeing it.
///
/// # Errors
/// `NotFound`, also of what the caller may not see.
pub fn get(tx: &mut Tx, reach: &Reach, name: &str) -> Result<Namespace> {
    let row = tx.query_one(
        &format!(
            "SELECT {COLUMNS} FROM metadef_namespaces n
              WHERE n.name = ?1 AND (n.owner = ?2 OR ?2 IS NULL OR n.visibility = 'public')"
        ),
        args![name, reach.project()?],
    )?;
    row.map(namespace).transpose()?.ok_or_else(|| not_found(name))
}

pub fn not_found(name: &str) -> Error {
    Error::not_found(Kind::Part, format!("Metadata definition namespace={name} was not found."))
}

/// A page of those the reach includes seeing.
///
/// # Errors
/// `NotFound` for a marker that is none of them.
pub fn list(tx: &mut Tx, reach: &Reach, page: &Page) -> Result<Vec<Namespace>> {
    let marker = page.marker.as_ref().map(|marker| get(tx, reach, marker)).transpose()?;
    let mut arguments: Vec<Value> = args![reach.project()?, &page.visibility].to_vec();
    let mut conditions = String::new();
    if !page.resource_types.is_empty() {
        let places = page.resource_types.iter().map(|name| {
            arguments.push(name.into());
            format!("?{}", arguments.len())
        });
        let places = places.collect::<Vec<_>>().join(", ");
        conditions = format!(
            "AND EXISTS (SELECT 1 FROM metadef_associations a WHERE a.namespace_id = n.id AND a.resource_type IN ({places}))"
        );
    }
    let column = page.sort_column;
    let (way, beyond) = if page.is_descending { ("DESC", "<") } else { ("ASC", ">") };
    if let Some(marker) = marker {
        arguments.push(marker.id.into());
        conditions = format!(
            "{conditions} AND (n.{column}, n.id) {beyond} (SELECT m.{column}, m.id FROM metadef_namespaces m WHERE m.id = ?{})",
            arguments.len()
        );
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM metadef_namespaces n
          WHERE (n.owner = ?1 OR ?1 IS NULL OR n.visibility = 'public') AND (n.visibility = ?2 OR ?2 IS NULL) {conditions}
          ORDER BY n.{column} {way}, n.id {way} LIMIT {}",
        page.limit
    );
    tx.query(&sql, &arguments)?.into_iter().map(namespace).collect()
}

/// # Errors
/// `Conflict` when the name is taken, also by one that the caller can't see.
pub fn insert(tx: &mut Tx, namespace: &Namespace) -> Result<()> {
    tx.execute(
        "INSERT INTO metadef_namespaces (id, name, display_name, description, visibility, protected, owner, created_at,
                                         updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        args![
            &namespace.id,
            &namespace.name,
            &namespace.display_name,
            &namespace.description,
            namespace.visibility(),
            namespace.protected,
            &namespace.owner,
            namespace.created_at,
            namespace.updated_at
        ],
    )
    .or_conflict(|| taken(&namespace.name))?;
    Ok(())
}

fn taken(name: &str) -> String {
    format!("The metadata definition namespace={name} already exists.")
}

/// # Errors
/// `Conflict` when the new name is taken.
pub fn update(tx: &mut Tx, namespace: &Namespace) -> Result<()> {
    tx.execute(
        "UPDATE metadef_namespaces SET name = ?2, display_name = ?3, description = ?4, visibility = ?5, protected = ?6,
                                       owner = ?7, updated_at = ?8
          WHERE id = ?1",
        args![
            &namespace.id,
            &namespace.name,
            &namespace.display_name,
            &namespace.description,
            namespace.visibility(),
            namespace.protected,
            &namespace.owner,
            namespace.updated_at
        ],
    )
    .or_conflict(|| taken(&namespace.name))?;
    Ok(())
}

/// With everything it holds.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM metadef_namespaces WHERE id = ?1", args![id]).map(drop)
}

/// Everything of a kind that a namespace holds, newest first.
pub fn items(tx: &mut Tx, namespace: &Namespace, kind: ItemKind) -> Result<Vec<Item>> {
    let rows = tx.query(
        "SELECT name, definition, created_at, updated_at FROM metadef_items WHERE namespace_id = ?1 AND kind = ?2
          ORDER BY created_at DESC, name_key",
        args![&namespace.id, kind.word()],
    )?;
    rows.into_iter().map(item).collect()
}

/// # Errors
/// `NotFound` when the namespace holds none of the name.
pub fn get_item(tx: &mut Tx, namespace: &Namespace, kind: ItemKind, name: &str) -> Result<Item> {
    let row = tx.query_one(
        "SELECT name, definition, created_at, updated_at FROM metadef_items
          WHERE namespace_id = ?1 AND kind = ?2 AND name_key = ?3",
        args![&namespace.id, kind.word(), kind.key(name)],
    )?;
    row.map(item).transpose()?.ok_or_else(|| missing(namespace, kind, name))
}

fn missing(namespace: &Namespace, kind: ItemKind, name: &str) -> Error {
    let (kind, namespace) = (kind.word(), &namespace.name);
    Error::not_found(
        Kind::Part,
        format!("The metadata definition {kind} with name={name} was not found in namespace={namespace}."),
    )
}

/// # Errors
/// `Conflict` when the namespace holds one of the name.
pub fn insert_item(
    tx: &mut Tx,
    namespace: &Namespace,
    kind: ItemKind,
    name: &str,
    definition: &Map<String, serde_json::Value>,
    now: Timestamp,
) -> Result<Item> {
    tx.execute(
        "INSERT INTO metadef_items (namespace_id, kind, name, name_key, definition, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        args![&namespace.id, kind.word(), name, kind.key(name), Json(definition), now],
    )
    .or_conflict(|| item_taken(namespace, kind, name))?;
    Ok(Item { name: name.to_owned(), definition: definition.clone(), created_at: now, updated_at: now })
}

fn item_taken(namespace: &Namespace, kind: ItemKind, name: &str) -> String {
    let namespace = &namespace.name;
    match kind {
        ItemKind::Tag => format!(
            "A metadata tag with name={name} already exists in namespace={namespace}. (Please note that metadata tag \
             names are case insensitive)."
        ),
        kind => {
            format!("A metadata definition {} with name={name} already exists in namespace={namespace}.", kind.word())
        }
    }
}

/// # Errors
/// `NotFound` when there is none of the old name, `Conflict` when there is another of the new one.
pub fn update_item(tx: &mut Tx, namespace: &Namespace, kind: ItemKind, old_name: &str, item: &Item) -> Result<()> {
    let changed = tx
        .execute(
            "UPDATE metadef_items SET name = ?4, name_key = ?5, definition = ?6, updated_at = ?7
              WHERE namespace_id = ?1 AND kind = ?2 AND name_key = ?3",
            args![
                &namespace.id,
                kind.word(),
                kind.key(old_name),
                &item.name,
                kind.key(&item.name),
                Json(&item.definition),
                item.updated_at
            ],
        )
        .or_conflict(|| item_taken(namespace, kind, &item.name))?;
    if changed == 0 { Err(missing(namespace, kind, old_name)) } else { Ok(()) }
}

/// # Errors
/// `NotFound` when there is none of the name.
pub fn delete_item(tx: &mut Tx, namespace: &Namespace, kind: ItemKind, name: &str) -> Result<()> {
    let sql = "DELETE FROM metadef_items WHERE namespace_id = ?1 AND kind = ?2 AND name_key = ?3";
    let deleted = tx.execute(sql, args![&namespace.id, kind.word(), kind.key(name)])?;
    if deleted == 0 { Err(missing(namespace, kind, name)) } else { Ok(()) }
}

/// Everything of a kind that a namespace holds goes.
pub fn delete_items(tx: &mut Tx, namespace: &Namespace, kind: ItemKind) -> Result<()> {
    let sql = "DELETE FROM metadef_items WHERE namespace_id = ?1 AND kind = ?2";
    tx.execute(sql, args![&namespace.id, kind.word()]).map(drop)
}

/// To which resources each of some namespaces applies, in one query: pairs of a namespace's id and an association.
pub fn associations(tx: &mut Tx, namespaces: &[&Namespace]) -> Result<Vec<(String, Association)>> {
    if namespaces.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Value> = namespaces.iter().map(|namespace| (&namespace.id).into()).collect();
    let places: Vec<_> = (1..=ids.len()).map(|number| format!("?{number}")).collect();
    let sql = format!(
        "SELECT namespace_id, resource_type, prefix, properties_target, created_at FROM metadef_associations
          WHERE namespace_id IN ({}) ORDER BY namespace_id, created_at, resource_type",
        places.join(", ")
    );
    let rows = tx.query(&sql, &ids)?;
    rows.into_iter()
        .map(|mut row| {
            let id = row.next()?;
            let association = Association {
                resource_type: row.next()?,
                prefix: row.next()?,
                properties_target: row.next()?,
                created_at: row.next()?,
            };
            Ok((id, association))
        })
        .collect()
}

/// The type becomes known with its first association.
///
/// # Errors
/// `Conflict` when the namespace applies to the type already.
pub fn associate(tx: &mut Tx, namespace: &Namespace, association: &Association) -> Result<()> {
    tx.execute(
        "INSERT INTO metadef_resource_types (name, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        args![&association.resource_type, association.created_at],
    )?;
    tx.execute(
        "INSERT INTO metadef_associations (namespace_id, resource_type, prefix, properties_target, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        args![
            &namespace.id,
            &association.resource_type,
            &association.prefix,
            &association.properties_target,
            association.created_at
        ],
    )
    .or_conflict(|| {
        format!(
            "The metadata definition resource-type association of resource-type={} to namespace={} already exists.",
            association.resource_type, namespace.name
        )
    })?;
    Ok(())
}

/// # Errors
/// `NotFound` when it doesn't apply to the type.
pub fn dissociate(tx: &mut Tx, namespace: &Namespace, resource_type: &str) -> Result<()> {
    let sql = "DELETE FROM metadef_associations WHERE namespace_id = ?1 AND resource_type = ?2";
    if tx.execute(sql, args![&namespace.id, resource_type])? == 0 {
        return Err(Error::not_found(Kind::Part, format!("Failed to find resource type {resource_type} to delete")));
    }
    Ok(())
}

/// Every type that a namespace ever applied to, and since when it is known.
pub fn resource_types(tx: &mut Tx) -> Result<Vec<(String, Timestamp)>> {
    let rows = tx.query("SELECT name, created_at FROM metadef_resource_types ORDER BY name", &[])?;
    rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

fn namespace(mut row: Row) -> Result<Namespace> {
    Ok(Namespace {
        id: row.next()?,
        name: row.next()?,
        display_name: row.next()?,
        description: row.next()?,
        is_public: row.next::<String>()? == "public",
        protected: row.next()?,
        owner: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}

fn item(mut row: Row) -> Result<Item> {
    Ok(Item {
        name: row.next()?,
        definition: row.next::<Json<Map<String, serde_json::Value>>>()?.0,
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}
