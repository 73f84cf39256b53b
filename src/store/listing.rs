//! Lists in SQL: tests of attributes as conditions, pages that begin after an id, and ids looked up by the hundred.
//!
//! Conditions only hold what both engines read alike. `LIKE` does not (rule 4 of the dialect), so a part of a text in its
//! own case is found by `REPLACE` and `SUBSTR`, and a part in any case by `LIKE` over text that is in lower case already.

use super::{FromColumn, Row, Tx, Value};
use crate::cloud::listing::{Listing, Page, Place, Relation, Test};
use crate::error::{Error, Kind, Result};

/// Longer texts are in no attribute that can be asked for.
const LONGEST_PART: usize = 255;

/// An attribute that lists may be asked about.
pub(super) struct Attribute {
    /// As the API calls it.
    pub name: &'static str,
    /// The expression that has it.
    pub sql: &'static str,
    /// The expression that has it in lower case, for names: they are equal whatever their case.
    pub folded: Option<&'static str>,
}

impl Attribute {
    pub const fn exact(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql, folded: None }
    }

    pub const fn name(sql: &'static str, folded: &'static str) -> Self {
        Self { name: "name", sql, folded: Some(folded) }
    }
}

/// A `WHERE` in the making, and its parameters.
pub(super) struct Conditions {
    sql: String,
    pub args: Vec<Value>,
}

impl Conditions {
    pub fn new() -> Self {
        Self { sql: "1 = 1".to_owned(), args: Vec::new() }
    }

    /// Takes a parameter; answers its place.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.args.push(value.into());
        format!("?{}", self.args.len())
    }

    pub fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Adds every test of a listing.
    ///
    /// # Errors
    /// `Internal` for an attribute that the table does not have: its handler promised what the store can't do.
    pub fn tests(&mut self, listing: &Listing, attributes: &[Attribute]) -> Result<()> {
        for (name, test) in &listing.tests {
            let attribute = attributes.iter().find(|attribute| attribute.name == *name);
            let attribute =
                attribute.ok_or_else(|| Error::internal("a list was asked for what its table lacks", *name))?;
            self.test(attribute, test);
        }
        Ok(())
    }

    fn test(&mut self, attribute: &Attribute, test: &Test) {
        let sql = attribute.sql;
        match (test, attribute.folded) {
            (Test::Is(text), Some(folded)) => {
                let wanted = self.bind(text.to_lowercase());
                self.and(&format!("{folded} = {wanted}"));
            }
            (Test::Is(text), None) => {
                let wanted = self.bind(text.as_str());
                self.and(&format!("{sql} = {wanted}"));
            }
            (Test::Truth(truth), _) => {
                let wanted = self.bind(*truth);
                self.and(&format!("{sql} = {wanted}"));
            }
            // No name is that long, and SQLite gives up on patterns that are much longer.
            (Test::Part { text, .. }, _) if text.chars().count() > LONGEST_PART => self.and("1 = 0"),
            (Test::Part { place, ignores_case: true, text }, folded) => {
                let text = escaped(&text.to_lowercase());
                let wanted = self.bind(match place {
                    Place::Anywhere => format!("%{text}%"),
                    Place::Start => format!("{text}%"),
                    Place::End => format!("%{text}"),
                });
                let lower = folded.map_or_else(|| format!("LOWER({sql})"), str::to_owned);
                self.and(&format!("{lower} LIKE {wanted} ESCAPE '!'"));
            }
            (Test::Part { text, .. }, _) if text.is_empty() => {}
            (Test::Part { place, ignores_case: false, text }, _) => {
                let wanted = self.bind(text.as_str());
                self.and(&match place {
                    Place::Anywhere => format!("REPLACE({sql}, {wanted}, '') <> {sql}"),
                    Place::Start => format!("SUBSTR({sql}, 1, LENGTH({wanted})) = {wanted}"),
                    Place::End => format!("SUBSTR({sql}, LENGTH({sql}) - LENGTH({wanted}) + 1) = {wanted}"),
                });
            }
            (Test::When { relation, time }, _) => {
                let wanted = self.bind(*time);
                let operator = match relation {
                    Relation::Before => "<",
                    Relation::UpTo => "<=",
                    Relation::At => "=",
                    Relation::NotAt => "<>",
                    Relation::From => ">=",
                    Relation::After => ">",
                };
                self.and(&format!("{sql} {operator} {wanted}"));
            }
        }
    }
}

/// Text that `LIKE … ESCAPE '!'` takes for itself.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// A page of `SELECT columns FROM table` in the order of ids.
///
/// # Errors
/// `NotFound` for a marker that is no row's id.
pub(super) fn page<T>(
    tx: &mut Tx,
    columns: &str,
    table: (&str, &str),
    mut conditions: Conditions,
    listing: &Listing,
    read: impl Fn(Row) -> Result<T>,
) -> Result<Page<T>> {
    let (from, id) = table;
    if let Some(marker) = &listing.marker {
        let known = tx.query_one(&format!("SELECT 1 FROM {from} WHERE {id} = ?1"), &[marker.into()])?;
        known.ok_or_else(|| Error::not_found(Kind::Part, format!("Marker {marker} could not be found.")))?;
        let after = conditions.bind(marker.as_str());
        conditions.and(&format!("{id} > {after}"));
    }
    let wanted = if listing.limit == 0 { i64::MAX } else { i64::try_from(listing.limit + 1).unwrap_or(i64::MAX) };
    let limit = conditions.bind(wanted);
    let sql = format!("SELECT {columns} FROM {from} WHERE {} ORDER BY {id} LIMIT {limit}", conditions.sql());
    let mut rows = tx.query(&sql, &conditions.args)?;
    let has_more = listing.limit > 0 && rows.len() > listing.limit;
    if has_more {
        rows.truncate(listing.limit);
    }
    Ok(Page { items: rows.into_iter().map(read).collect::<Result<_>>()?, has_more })
}

/// Ids asked for in one statement. The last lot is filled up, so that every lot is the same statement.
const LOT: usize = 100;

/// Asks for many ids: `sql` is given `?1, ?2, …` to put into its `IN (…)`.
pub(super) fn by_ids<T>(
    tx: &mut Tx,
    ids: &[&str],
    sql: impl Fn(&str) -> String,
    read: impl Fn(Row) -> Result<T>,
) -> Result<Vec<T>> {
    let places: Vec<String> = (1..=LOT).map(|place| format!("?{place}")).collect();
    let sql = sql(&places.join(", "));
    let mut found = Vec::new();
    for lot in ids.chunks(LOT) {
        let filled = lot.iter().chain(std::iter::repeat_n(&lot[0], LOT - lot.len()));
        let args: Vec<Value> = filled.map(|id| Value::from(*id)).collect();
        for row in tx.query(&sql, &args)? {
            found.push(read(row)?);
        }
    }
    Ok(found)
}

/// A row of two columns.
pub(super) fn pair<A: FromColumn, B: FromColumn>(mut row: Row) -> Result<(A, B)> {
    Ok((row.next()?, row.next()?))
}
