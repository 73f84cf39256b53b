//! Pages of images: filters and order as a statement.
//!
//! Only columns named by [`cloud::image::list`](crate::cloud::image::list) and values as parameters reach the text. A page
//! begins after its marker by the values the list is sorted by, so pages stay right while images come and go.

use super::{COLUMNS, complete, from_row, get};
use crate::cloud::image::Image;
use crate::cloud::image::list::{Comparison, Direction, Filter, Listing, Shown};
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::ids::{ImageId, ProjectId};
use crate::store::{Tx, Value};

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

/// A page of the images the reach includes; `mine` is the caller's project, also where the reach is the whole cloud.
///
/// # Errors
/// `BadRequest` for a marker that names no image the caller sees.
pub fn list(tx: &mut Tx, reach: &Reach, mine: Option<&ProjectId>, listing: &Listing) -> Result<Vec<Image>> {
    let mut statement = Statement::default();
    see(&mut statement, reach, listing)?;
    show(&mut statement, mine, listing.visibility);
    for filter in &listing.filters {
        let condition = condition(&mut statement, filter);
        statement.conditions.push(condition);
    }
    if let Some(marker) = &listing.marker {
        let missing = || Error::bad_request(format!("No image found with ID {marker}"));
        let id = ImageId::parse(marker).ok_or_else(missing)?;
        let marker = get(tx, reach, id).map_err(|error| if error.is_not_found() { missing() } else { error })?;
        let condition = after(&mut statement, &marker, &listing.order);
        statement.conditions.push(condition);
    }
    let order: Vec<_> =
        listing.order.iter().map(|(field, way)| format!("{} {}", sorted(field), way_sql(*way))).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM images i WHERE {} ORDER BY {} LIMIT {}",
        statement.all_of(),
        order.join(", "),
        listing.limit
    );
    let images = tx.query(&sql, &statement.args)?.into_iter().map(from_row).collect::<Result<_>>()?;
    complete(tx, images)
}

/// What the caller sees in lists: less than by id, because a membership counts only with the answer asked for.
fn see(statement: &mut Statement, reach: &Reach, listing: &Listing) -> Result<()> {
    let Some(project) = reach.project()? else { return Ok(()) };
    let project = statement.arg(project);
    let mut member = format!("m.image_id = i.id AND m.member = {project}");
    if let Some(status) = listing.member_status {
        let status = statement.arg(status.word());
        member = format!("{member} AND m.status = {status}");
    }
    statement.conditions.push(format!(
        "(i.owner = {project} OR i.visibility IN ('public', 'community')
          OR (i.visibility = 'shared' AND EXISTS (SELECT 1 FROM image_members m WHERE {member})))"
    ));
    Ok(())
}

fn show(statement: &mut Statement, mine: Option<&ProjectId>, shown: Shown) {
    let condition = match (shown, mine) {
        (Shown::All, _) => return,
        (Shown::Only(visibility), _) => format!("i.visibility = {}", statement.arg(visibility.word())),
        (Shown::Usual, None) => "i.visibility <> 'community'".to_owned(),
        (Shown::Usual, Some(project)) => {
            format!("(i.owner = {} OR i.visibility <> 'community')", statement.arg(project))
        }
    };
    statement.conditions.push(condition);
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

/// `(a > 1) OR (a = 1 AND b < 2) OR …`: after the marker, each field its own way.
fn after(statement: &mut Statement, marker: &Image, order: &[(&'static str, Direction)]) -> String {
    let places: Vec<_> = order.iter().map(|(field, _)| statement.arg(value(marker, field))).collect();
    let mut ways = Vec::new();
    for (at, (field, way)) in order.iter().enumerate() {
        let beyond = match way {
            Direction::Ascending => Comparison::Greater,
            Direction::Descending => Comparison::Less,
        };
        let mut parts: Vec<_> =
            (0..at).map(|earlier| format!("{} = {}", sorted(order[earlier].0), places[earlier])).collect();
        parts.push(format!("{} {} {}", sorted(field), beyond.sql(), places[at]));
        ways.push(format!("({})", parts.join(" AND ")));
    }
    format!("({})", ways.join(" OR "))
}
