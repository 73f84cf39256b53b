//! Pages of images: filters and order as a statement.
//!
//! Only columns named by [`cloud::image::list`](crate::cloud::image::list) and values as parameters reach the text. A page
//! begins after its marker by the values the list is sorted by, so pages stay right while images come and go.
//!
//! What a project sees is several kinds of images: its own, public ones, those shared with it. One condition with OR
//! would have an engine go through the table to find a page of them. So each kind is asked for by itself, from an index
//! that has it in order, no further than the page is long, and the page is what comes first of them all: it costs the same
//! in a table of ten images and of a hundred thousand. (What is shared with the caller is sorted whole; it grows with their
//! shares, not with the table.)

use super::{COLUMNS, complete, from_row, get};
use crate::clock::Timestamp;
use crate::cloud::image::list::{Comparison, Direction, Filter, Listing, Shown};
use crate::cloud::image::{Image, Member, Visibility};
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::ids::{ImageId, ProjectId};
use crate::store::{Tx, Value, image_members};
use std::collections::HashMap;

/// A statement being put together.
#[derive(Default)]
struct Statement {
    conditions: Vec<String>,
    args: Vec<Value>,
}

impl Statement {
    /// A parameter's place.
    fn arg(&mut self, value: impl Into<Value>) -> String {
        self.args.push(value.into());
        format!("?{}", self.args.len())
    }

    fn all_of(&self) -> String {
        if self.conditions.is_empty() { "1 = 1".to_owned() } else { self.conditions.join(" AND ") }
    }
}

/// An image on a page.
pub struct Listed {
    pub image: Image,
    /// The caller's project's, when the image is another's.
    pub membership: Option<Member>,
}

/// A page of the images the reach includes now; `mine` is the caller's project, also where the reach is the whole cloud.
///
/// # Errors
/// `BadRequest` for a marker that names no image the caller sees.
pub fn list(
    tx: &mut Tx,
    reach: &Reach,
    mine: Option<&ProjectId>,
    listing: &Listing,
    now: Timestamp,
) -> Result<Vec<Listed>> {
    let mut statement = Statement::default();
    let kinds = kinds(&mut statement, reach, mine, listing, now)?;
    for filter in &listing.filters {
        let condition = condition(&mut statement, filter);
        statement.conditions.push(condition);
    }
    if let Some(marker) = &listing.marker {
        let missing = || Error::bad_request(format!("No image found with ID {marker}"));
        let id = ImageId::parse(marker).ok_or_else(missing)?;
        let marker = get(tx, reach, id, now).map_err(|error| if error.is_not_found() { missing() } else { error })?;
        let condition = after(&mut statement, &marker, &listing.order);
        statement.conditions.push(condition);
    }
    let sql = page(&statement, &kinds, listing);
    let images = tx.query_map(&sql, &statement.args, from_row)?;
    let images = complete(tx, images)?;
    with_memberships(tx, images, mine, now)
}

/// The statement that answers what comes first of every kind.
fn page(statement: &Statement, kinds: &[Kind], listing: &Listing) -> String {
    let fields = |name: &dyn Fn(usize, &str) -> String| {
        let fields = listing.order.iter().enumerate();
        fields.map(|(at, (field, way))| format!("{} {}", name(at, field), way_sql(*way))).collect::<Vec<_>>().join(", ")
    };
    let keys: Vec<_> =
        listing.order.iter().enumerate().map(|(at, (field, _))| format!("{} AS k{at}", sorted(field))).collect();
    let firsts: Vec<_> = kinds
        .iter()
        .map(|Kind { from, condition }| {
            format!(
                "SELECT * FROM (SELECT i.id AS page_id, {} FROM {from} WHERE {condition} AND {} ORDER BY {} LIMIT {}) k",
                keys.join(", "),
                statement.all_of(),
                fields(&|_, field| sorted(field)),
                listing.limit
            )
        })
        .collect();
    format!(
        "SELECT {COLUMNS} FROM (SELECT * FROM ({}) u ORDER BY {} LIMIT {}) p JOIN images i ON i.id = p.page_id ORDER BY {}",
        firsts.join(" UNION ALL "),
        fields(&|at, _| format!("k{at}")),
        listing.limit,
        fields(&|at, _| format!("p.k{at}")),
    )
}

/// Adds the caller's memberships of others' images, in one question.
fn with_memberships(tx: &mut Tx, images: Vec<Image>, mine: Option<&ProjectId>, now: Timestamp) -> Result<Vec<Listed>> {
    let mut memberships = HashMap::new();
    if let Some(mine) = mine {
        let others: Vec<_> =
            images.iter().filter(|image| image.owner.as_ref() != Some(mine)).map(|image| image.id).collect();
        let found = image_members::of_project(tx, &others, mine, now)?;
        memberships.extend(found.into_iter().map(|member| (member.image, member)));
    }
    let listed = images.into_iter().map(|image| Listed { membership: memberships.remove(&image.id), image });
    Ok(listed.collect())
}

/// Images that are seen for the same reason: none is of two kinds.
struct Kind {
    from: &'static str,
    condition: String,
}

const IMAGES: &str = "images i";
/// SQLite keeps to this order of a CROSS JOIN: from the caller's few shares to their images.
const SHARED: &str = "image_members m CROSS JOIN images i";

/// What the caller sees in lists, kind by kind: less than by id, because a membership counts only with the answer asked for.
fn kinds(
    statement: &mut Statement,
    reach: &Reach,
    mine: Option<&ProjectId>,
    listing: &Listing,
    now: Timestamp,
) -> Result<Vec<Kind>> {
    let of = |condition: String| Kind { from: IMAGES, condition };
    let Some(project) = reach.project()? else {
        let condition = match (listing.visibility, mine) {
            (Shown::All, _) => "1 = 1".to_owned(),
            (Shown::Only(visibility), _) => format!("i.visibility = {}", statement.arg(visibility.word())),
            (Shown::Usual, None) => "i.visibility <> 'community'".to_owned(),
            (Shown::Usual, Some(mine)) => {
                format!("(i.owner = {} OR i.visibility <> 'community')", statement.arg(mine))
            }
        };
        return Ok(vec![of(condition)]);
    };
    let project = statement.arg(project);
    let others = format!("(i.owner <> {project} OR i.owner IS NULL)");
    let mut kinds = vec![match listing.visibility {
        Shown::Usual | Shown::All => of(format!("i.owner = {project}")),
        Shown::Only(visibility) => {
            of(format!("i.owner = {project} AND i.visibility = {}", statement.arg(visibility.word())))
        }
    }];
    let is_asked = |visibility: Visibility| match listing.visibility {
        Shown::Usual => visibility != Visibility::Community,
        Shown::All => true,
        Shown::Only(only) => only == visibility,
    };
    for visibility in [Visibility::Public, Visibility::Community].into_iter().filter(|one| is_asked(*one)) {
        kinds.push(of(format!("i.visibility = '{}' AND {others}", visibility.word())));
    }
    if is_asked(Visibility::Shared) {
        let now = statement.arg(now);
        let mut member = format!(
            "m.member = {project} AND (m.expires_at > {now} OR m.expires_at IS NULL) AND i.id = m.image_id
              AND i.visibility = 'shared' AND {others}"
        );
        if let Some(status) = listing.member_status {
            member = format!("{member} AND m.status = {}", statement.arg(status.word()));
        }
        kinds.push(Kind { from: SHARED, condition: member });
    }
    Ok(kinds)
}

fn condition(statement: &mut Statement, filter: &Filter) -> String {
    match filter {
        Filter::OneOf(column, values) => {
            let places: Vec<_> = values.iter().map(|value| statement.arg(value)).collect();
            format!("i.{column} IN ({})", places.join(", "))
        }
        Filter::Number(column, comparison, number) => {
            format!("i.{column} {} {}", comparison.sql(), statement.arg(*number))
        }
        Filter::Flag(column, truth) => format!("i.{column} = {}", statement.arg(*truth)),
        Filter::Tag(tag) => {
            let tag = statement.arg(tag);
            format!("EXISTS (SELECT 1 FROM image_tags t WHERE t.image_id = i.id AND t.tag = {tag})")
        }
        Filter::Property(name, value) => {
            let (name, value) = (statement.arg(name), statement.arg(value));
            format!(
                "EXISTS (SELECT 1 FROM image_properties p WHERE p.image_id = i.id AND p.name = {name} AND p.value = {value})"
            )
        }
    }
}

/// A field as it is sorted: nothing comes before everything, on both engines.
fn sorted(field: &str) -> String {
    match field {
        "name" | "container_format" | "disk_format" => format!("COALESCE(i.{field}, '')"),
        "size" => "COALESCE(i.size, -1)".to_owned(),
        field => format!("i.{field}"),
    }
}

fn value(image: &Image, field: &str) -> Value {
    match field {
        "name" => image.name.clone().unwrap_or_default().into(),
        "container_format" => image.container_format.clone().unwrap_or_default().into(),
        "disk_format" => image.disk_format.clone().unwrap_or_default().into(),
        "status" => image.status.word().into(),
        "size" => image.size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1).into(),
        "created_at" => image.created_at.into(),
        "updated_at" => image.updated_at.into(),
        _ => image.id.into(),
    }
}

fn way_sql(way: Direction) -> &'static str {
    match way {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    }
}

/// After the marker: `(a, b) < (1, 2)` where all fields go the same way, which an index can be entered with; else
/// `(a > 1) OR (a = 1 AND b < 2) OR …`, each field its own way.
fn after(statement: &mut Statement, marker: &Image, order: &[(&'static str, Direction)]) -> String {
    let places: Vec<_> = order.iter().map(|(field, _)| statement.arg(value(marker, field))).collect();
    let beyond = |way: Direction| match way {
        Direction::Ascending => Comparison::Greater,
        Direction::Descending => Comparison::Less,
    };
    if let Some((_, way)) = order.first()
        && order.iter().all(|(_, other)| other == way)
    {
        let fields: Vec<_> = order.iter().map(|(field, _)| sorted(field)).collect();
        return format!("({}) {} ({})", fields.join(", "), beyond(*way).sql(), places.join(", "));
    }
    let mut ways = Vec::new();
    for (at, (field, way)) in order.iter().enumerate() {
        let mut parts: Vec<_> =
            (0..at).map(|earlier| format!("{} = {}", sorted(order[earlier].0), places[earlier])).collect();
        parts.push(format!("{} {} {}", sorted(field), beyond(*way).sql(), places[at]));
        ways.push(format!("({})", parts.join(" AND ")));
    }
    format!("({})", ways.join(" OR "))
}
