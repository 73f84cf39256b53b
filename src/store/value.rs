//! What goes into a statement and what comes out: four kinds of value, and rows read in the order of their columns.
//!
//! Both engines know integers, text and bytes alike; everything else is written as one of these (a boolean as 0 or 1, a
//! time as microseconds, an id or JSON as text), so that a row means the same on both.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// One parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// One column of a row: where the engine has it, or taken along. A list of a thousand servers has forty thousand of them,
/// and most are read into something else than text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column<'r> {
    Null,
    Int(i64),
    Text(Cow<'r, str>),
    Blob(Cow<'r, [u8]>),
}

impl Column<'_> {
    const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "an integer",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }

    fn into_owned(self) -> Column<'static> {
        match self {
            Self::Null => Column::Null,
            Self::Int(number) => Column::Int(number),
            Self::Text(text) => Column::Text(Cow::Owned(text.into_owned())),
            Self::Blob(bytes) => Column::Blob(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// `args![a, b]`: the parameters `?1` and `?2` of a statement, from whatever a [`Value`] can be made of.
#[macro_export]
macro_rules! args {
    ($($argument:expr),* $(,)?) => {
        &[$($crate::store::Value::from($argument)),*] as &[$crate::store::Value]
    };
}
pub use crate::args;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u64> for Value {
    /// No size or count comes near the signed limit; one that did would be kept as the limit itself.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Int(i64::from(truth))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.0)
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(maybe: Option<T>) -> Self {
        maybe.map_or(Self::Null, Self::from)
    }
}

impl<T: Clone> From<&T> for Value
where
    Self: From<T>,
{
    fn from(borrowed: &T) -> Self {
        Self::from(borrowed.clone())
    }
}

/// Anything serde knows, kept as JSON text in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> From<Json<T>> for Value {
    fn from(json: Json<T>) -> Self {
        Self::Text(serde_json::to_string(&json.0).expect("what rows hold has text for keys"))
    }
}

/// What a column can be read as.
pub trait FromColumn: Sized {
    /// Says what was expected when the column is something else.
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch>;
}

/// Why a column could not be read as the type asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

impl Mismatch {
    fn new(expected: &str, column: &Column<'_>) -> Self {
        Self(format!("expected {expected}, found {}", column.type_name()))
    }
}

/// A column's text, as it is.
fn text_of(column: Column<'_>) -> Result<Cow<'_, str>, Mismatch> {
    match column {
        Column::Text(text) => Ok(text),
        other => Err(Mismatch::new("text", &other)),
    }
}

impl FromColumn for String {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        match column {
            Column::Text(text) => Ok(text.into_owned()),
            other => Err(Mismatch::new("text", &other)),
        }
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        match column {
            Column::Blob(bytes) => Ok(bytes.into_owned()),
            other => Err(Mismatch::new("bytes", &other)),
        }
    }
}

impl FromColumn for i64 {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        match column {
            Column::Int(number) => Ok(number),
            other => Err(Mismatch::new("an integer", &other)),
        }
    }
}

macro_rules! smaller_integers {
    ($($integer:ty),*) => {$(
        impl FromColumn for $integer {
            fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
                let number = i64::from_column(column)?;
                Self::try_from(number)
                    .map_err(|_| Mismatch(format!("{number} does not fit {}", stringify!($integer))))
            }
        }
    )*};
}
smaller_integers!(u64, u32, i32, u16);

impl FromColumn for bool {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        match column {
            Column::Int(0) => Ok(false),
            Column::Int(1) => Ok(true),
            Column::Int(number) => Err(Mismatch(format!("expected 0 or 1, found {number}"))),
            other => Err(Mismatch::new("0 or 1", &other)),
        }
    }
}

impl FromColumn for Timestamp {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        i64::from_column(column).map(Self)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        match column {
            Column::Null => Ok(None),
            other => T::from_column(other).map(Some),
        }
    }
}

/// With the text that it was read from.
impl<T: DeserializeOwned> FromColumn for (String, Json<T>) {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        let text = text_of(column)?;
        let json = Json::from_column(Column::Text(Cow::Borrowed(&text)))?;
        Ok((text.into_owned(), json))
    }
}

impl<T: DeserializeOwned> FromColumn for Json<T> {
    fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
        serde_json::from_str(&text_of(column)?)
            .map(Self)
            .map_err(|cause| Mismatch(format!("JSON that is not a {}: {cause}", std::any::type_name::<T>())))
    }
}

macro_rules! uuid_values {
    ($($id:ident),*) => {$(
        impl From<ids::$id> for Value {
            fn from(id: ids::$id) -> Self {
                Self::Text(id.to_string())
            }
        }

        impl FromColumn for ids::$id {
            fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
                let text = text_of(column)?;
                Self::parse(&text).ok_or_else(|| Mismatch(format!("expected a UUID, found '{text}'")))
            }
        }
    )*};
}
uuid_values!(ServerId, ImageId, NetworkId, SubnetId, PortId, HostId, BlobId, TaskId, ServerGroupId);

macro_rules! text_values {
    ($($id:ident),*) => {$(
        impl From<ids::$id> for Value {
            fn from(id: ids::$id) -> Self {
                Self::Text(id.0)
            }
        }

        impl FromColumn for ids::$id {
            fn from_column(column: Column<'_>) -> Result<Self, Mismatch> {
                String::from_column(column).map(Self)
            }
        }
    )*};
}
text_values!(DomainId, ProjectId, UserId, GroupId, RoleId, FlavorId);

/// A row as an engine has it until it goes on to the next.
pub(super) trait Columns {
    fn len(&self) -> usize;
    fn column(&self, at: usize) -> Result<Column<'_>>;
}

/// One answer of a query. Columns are taken in the order the statement names them.
pub struct Row<'r> {
    source: Source<'r>,
    taken: usize,
}

enum Source<'r> {
    Engine(&'r dyn Columns),
    Owned(Vec<Column<'static>>),
}

impl<'r> Row<'r> {
    pub(super) const fn of(columns: &'r dyn Columns) -> Self {
        Self { source: Source::Engine(columns), taken: 0 }
    }

    /// The row by itself, for who wants it after the engine went on.
    pub(super) fn into_owned(self) -> Result<Row<'static>> {
        let owned = match self.source {
            Source::Owned(columns) => columns,
            Source::Engine(engine) => {
                (0..engine.len()).map(|at| Ok(engine.column(at)?.into_owned())).collect::<Result<_>>()?
            }
        };
        Ok(Row { source: Source::Owned(owned), taken: self.taken })
    }

    /// Is the next column this text? If so it is taken.
    pub(super) fn next_is(&mut self, text: &str) -> bool {
        let is = self.peek(|column| matches!(column, Column::Text(found) if found == text));
        self.taken += usize::from(is);
        is
    }

    /// Is the next column null? If so it is taken.
    pub(super) fn next_is_null(&mut self) -> bool {
        let is = self.peek(|column| *column == Column::Null);
        self.taken += usize::from(is);
        is
    }

    fn peek(&self, is: impl FnOnce(&Column<'_>) -> bool) -> bool {
        match &self.source {
            Source::Engine(engine) if self.taken < engine.len() => engine.column(self.taken).is_ok_and(|it| is(&it)),
            Source::Owned(columns) => columns.get(self.taken).is_some_and(is),
            Source::Engine(_) => false,
        }
    }

    /// The next column as a `T`. A column of another type, or one too many, is a fault of ours.
    #[expect(clippy::should_implement_trait, reason = "each column has a type of its own, so it can't be an iterator")]
    pub fn next<T: FromColumn>(&mut self) -> Result<T> {
        let at = self.taken;
        self.taken += 1;
        let outcome = match &mut self.source {
            Source::Engine(engine) if at < engine.len() => T::from_column(engine.column(at)?),
            Source::Owned(columns) if at < columns.len() => {
                T::from_column(std::mem::replace(&mut columns[at], Column::Null))
            }
            Source::Engine(_) | Source::Owned(_) => Err(Mismatch(format!("the row has only {at} columns"))),
        };
        outcome.map_err(|why| {
            let text = format!("column {at} as {}: {why}", std::any::type_name::<T>());
            Error::internal("a row of the database could not be read", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::with_causes;
    use crate::ids::{ServerId, UserId};

    fn row(values: &[Value]) -> Row<'static> {
        let column = |value: &Value| match value.clone() {
            Value::Null => Column::Null,
            Value::Int(number) => Column::Int(number),
            Value::Text(text) => Column::Text(text.into()),
            Value::Blob(bytes) => Column::Blob(bytes.into()),
        };
        Row { source: Source::Owned(values.iter().map(column).collect()), taken: 0 }
    }

    #[test]
    fn a_row_gives_its_columns_in_order() {
        let server = ServerId::random();
        let mut row = row(args![server, "web", 7_u64, true, None::<i64>, &UserId::from("ab"), Timestamp(5)]);
        assert_eq!(row.next::<ServerId>().unwrap(), server);
        assert_eq!(row.next::<String>().unwrap(), "web");
        assert_eq!(row.next::<u32>().unwrap(), 7);
        assert!(row.next::<bool>().unwrap());
        assert_eq!(row.next::<Option<i64>>().unwrap(), None);
        assert_eq!(row.next::<UserId>().unwrap(), UserId::from("ab"));
        assert_eq!(row.next::<Timestamp>().unwrap(), Timestamp(5));
    }

    #[test]
    fn a_column_of_another_type_is_named_with_its_index() {
        let mut row = row(args!["web", "down"]);
        row.next::<String>().unwrap();
        let error = row.next::<i64>().unwrap_err();
        assert_eq!(
            with_causes(&error),
            "a row of the database could not be read: column 1 as i64: expected an integer, found text"
        );
    }

    #[test]
    fn a_negative_number_is_not_read_as_a_size() {
        let mut row = row(args![-1_i64, 2_i64]);
        assert!(row.next::<u64>().is_err());
        assert!(row.next::<bool>().is_err());
        assert!(row.next::<String>().is_err(), "there is no third column");
    }
}
