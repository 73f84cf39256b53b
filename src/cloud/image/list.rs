//! What is asked of a list of images: filters, order, page; read from a query string's pairs.
//!
//! Any name that isn't a field is a property's, so a list can't refuse unknown parameters; upstream doesn't either.

use super::{MemberStatus, Visibility};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Images on a page unless asked otherwise, and at most.
const DEFAULT_LIMIT: usize = 25;
const LARGEST_LIMIT: usize = 1000;

/// Fields that lists are sorted by, in upstream's order.
const SORT_FIELDS: [&str; 8] =
    ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"];
const WORD_FIELDS: [&str; 5] = ["name", "id", "status", "container_format", "disk_format"];
const TEXT_FIELDS: [&str; 4] = ["owner", "checksum", "os_hash_algo", "os_hash_value"];
const NUMBER_FIELDS: [&str; 4] = ["size", "virtual_size", "min_disk", "min_ram"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// All of them hold for an image that is shown.
    pub filters: Vec<Filter>,
    pub visibility: Shown,
    /// Of those shared with the caller, the ones with this answer; `None`: whatever the answer.
    pub member_status: Option<MemberStatus>,
    pub order: Vec<(&'static str, Direction)>,
    pub limit: usize,
    /// Show what comes after this image.
    pub marker: Option<String>,
}

/// Which visibilities are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Everything but other projects' community images.
    Usual,
    All,
    Only(Visibility),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// Columns are the names of fields in this module's lists, never a client's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    OneOf(&'static str, Vec<String>),
    Number(&'static str, Comparison, i64),
    Flag(&'static str, bool),
    Tag(String),
    Property(String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    fn of(word: &str) -> Option<Self> {
        match word {
            "eq" => Some(Self::Equal),
            "neq" => Some(Self::NotEqual),
            "lt" => Some(Self::Less),
            "lte" => Some(Self::AtMost),
            "gt" => Some(Self::Greater),
            "gte" => Some(Self::AtLeast),
            _ => None,
        }
    }
}

impl Listing {
    /// Reads a query string's pairs, in their order.
    ///
    /// # Errors
    /// `BadRequest`, in upstream's words.
    pub fn of(pairs: &[(&str, &str)]) -> Result<Self> {
        let last = |key: &str| pairs.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let mut listing = Self {
            filters: Vec::new(),
            visibility: shown(last("visibility"))?,
            member_status: member_status(last("member_status"))?,
            order: order(pairs)?,
            limit: limit(last("limit"))?,
            marker: last("marker").map(str::to_owned),
        };
        let hidden = last("os_hidden").unwrap_or("false").to_lowercase();
        listing.filters.push(flag("os_hidden", &hidden)?);
        for (name, value) in pairs {
            match *name {
                "limit" | "marker" | "member_status" | "visibility" | "os_hidden" | "sort" | "sort_key"
                | "sort_dir" => {}
                "tag" => listing.filters.push(Filter::Tag(value.trim().to_owned())),
                name => listing.filters.push(filter(name, value)?),
            }
        }
        Ok(listing)
    }
}

fn filter(name: &str, value: &str) -> Result<Filter> {
    let field = |fields: &[&'static str], name: &str| fields.iter().copied().find(|field| *field == name);
    if name == "changes-since" {
        return Err(Error::bad_request("The \"changes-since\" filter is no longer available on v2."));
    }
    if name == "protected" {
        return flag("protected", value);
    }
    if let Some(column) = field(&WORD_FIELDS, name) {
        return words(column, value);
    }
    if let Some(column) = field(&TEXT_FIELDS, name) {
        return Ok(Filter::OneOf(column, vec![value.to_owned()]));
    }
    if let Some(column) = field(&["created_at", "updated_at"], name) {
        return time(column, value);
    }
    let bounds = [("_min", Comparison::AtLeast), ("_max", Comparison::AtMost), ("", Comparison::Equal)];
    for (ending, comparison) in bounds {
        if let Some(column) = name.strip_suffix(ending).and_then(|name| field(&NUMBER_FIELDS, name)) {
            let number = value
                .parse()
                .map_err(|_| Error::bad_request("Unable to filter on a range with a non-numeric value."))?;
            return Ok(Filter::Number(column, comparison, number));
        }
    }
    Ok(Filter::Property(name.to_owned(), value.to_owned()))
}

/// `value`, `eq:value` or `in:a,"b,c"`.
fn words(column: &'static str, text: &str) -> Result<Filter> {
    match text.split_once(':') {
        None => Ok(Filter::OneOf(column, vec![text.to_owned()])),
        Some(("eq", value)) => Ok(Filter::OneOf(column, vec![value.to_owned()])),
        Some(("in", values)) => Ok(Filter::OneOf(column, quoted_list(values)?)),
        Some((operator, _)) => Err(Error::bad_request(format!("Unable to filter by unknown operator '{operator}'."))),
    }
}

/// Values between commas; a value in quotes may hold commas, and quotes behind backslashes.
fn quoted_list(text: &str) -> Result<Vec<String>> {
    let unreadable = || Error::bad_request(format!("Invalid filter value {text}. The quote is not closed."));
    let mut values = vec![String::new()];
    let mut characters = text.chars();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let current = values.last_mut().ok_or_else(unreadable)?;
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => current.push(characters.next().ok_or_else(unreadable)?),
            ',' if !quoted => values.push(String::new()),
            other => current.push(other),
        }
    }
    if quoted { Err(unreadable()) } else { Ok(values) }
}

/// `gt:2026-11-22T03:00:00Z`; without an operator, equality.
fn time(column: &'static str, text: &str) -> Result<Filter> {
    let unreadable =
        || Error::bad_request(format!("Bad \"{column}\" query filter format. Use ISO 8601 DateTime notation."));
    if let Some(at) = Timestamp::parse(text) {
        return Ok(Filter::Number(column, Comparison::Equal, at.0));
    }
    let (operator, rest) = text.split_once(':').ok_or_else(unreadable)?;
    let at = Timestamp::parse(rest).ok_or_else(unreadable)?;
    let comparison = Comparison::of(operator)
        .ok_or_else(|| Error::bad_request(format!("Unable to filter by unknown operator '{operator}'.")))?;
    Ok(Filter::Number(column, comparison, at.0))
}

fn flag(column: &'static str, text: &str) -> Result<Filter> {
    match text {
        "true" => Ok(Filter::Flag(column, true)),
        "false" => Ok(Filter::Flag(column, false)),
        other => Err(Error::bad_request(format!(
            "Invalid value '{other}' for '{column}' filter. Valid values are 'true' or 'false'."
        ))),
    }
}

fn shown(text: Option<&str>) -> Result<Shown> {
    match text {
        None | Some("") => Ok(Shown::Usual),
        Some("all") => Ok(Shown::All),
        Some(text) => Visibility::of(text)
            .map(Shown::Only)
            .ok_or_else(|| Error::bad_request(format!("Invalid visibility value: {text}"))),
    }
}

fn member_status(text: Option<&str>) -> Result<Option<MemberStatus>> {
    match text {
        None => Ok(Some(MemberStatus::Accepted)),
        Some("all") => Ok(None),
        Some(text) => {
            MemberStatus::of(text).map(Some).ok_or_else(|| Error::bad_request(format!("Invalid status: {text}")))
        }
    }
}

fn limit(text: Option<&str>) -> Result<usize> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT) };
    let number: i64 = text.trim().parse().map_err(|_| Error::bad_request("limit param must be an integer"))?;
    let limit = usize::try_from(number).map_err(|_| Error::bad_request("limit param must be positive"))?;
    Ok(limit.min(LARGEST_LIMIT))
}

/// `sort=name:asc,size`, or `sort_key` and `sort_dir` as often as one likes; ends with the time and the id, so that the
/// order is total.
fn order(pairs: &[(&str, &str)]) -> Result<Vec<(&'static str, Direction)>> {
    let all = |key: &str| -> Vec<&str> {
        pairs.iter().filter(|(name, _)| *name == key).map(|(_, value)| value.trim()).collect()
    };
    let (fields, directions) = (all("sort_key"), all("sort_dir"));
    let mut order = Vec::new();
    let fallback;
    if let Some(sort) = all("sort").first() {
        if !fields.is_empty() || !directions.is_empty() {
            return Err(Error::bad_request("Old and new sorting syntax cannot be combined"));
        }
        for part in sort.split(',') {
            let (field, direction) = part.split_once(':').unwrap_or((part, "desc"));
            order.push((sort_field(field.trim())?, sort_direction(direction.trim())?));
        }
        fallback = Direction::Descending;
    } else {
        let fields = fields.into_iter().map(sort_field).collect::<Result<Vec<_>>>()?;
        let directions = directions.into_iter().map(sort_direction).collect::<Result<Vec<_>>>()?;
        let fields = if fields.is_empty() { vec!["created_at"] } else { fields };
        if directions.len() > 1 && directions.len() != fields.len() {
            return Err(Error::bad_request("Number of sort dirs does not match the number of sort keys"));
        }
        let one = directions.first().copied().unwrap_or(Direction::Descending);
        fallback = if directions.len() > 1 { Direction::Descending } else { one };
        order.extend(fields.iter().enumerate().map(|(at, field)| (*field, directions.get(at).copied().unwrap_or(one))));
    }
    for field in ["created_at", "id"] {
        if !order.iter().any(|(name, _)| *name == field) {
            order.push((field, fallback));
        }
    }
    Ok(order)
}

fn sort_field(name: &str) -> Result<&'static str> {
    SORT_FIELDS.into_iter().find(|field| *field == name).ok_or_else(|| {
        let available = SORT_FIELDS.join(", ");
        Error::bad_request(format!("Invalid sort key: {name}. It must be one of the following: {available}."))
    })
}

fn sort_direction(word: &str) -> Result<Direction> {
    match word {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        other => Err(Error::bad_request(format!("Invalid sort direction: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Ascending, Descending};
    use super::*;

    #[test]
    fn nothing_asked_is_the_newest_of_what_is_accepted_and_not_hidden() {
        let listing = Listing::of(&[]).unwrap();
        assert_eq!(listing.filters, [Filter::Flag("os_hidden", false)]);
        assert_eq!((listing.visibility, listing.member_status), (Shown::Usual, Some(MemberStatus::Accepted)));
        assert_eq!(listing.order, [("created_at", Descending), ("id", Descending)]);
        assert_eq!(listing.limit, 25);
    }

    #[test]
    fn both_ways_to_sort_are_read_and_not_mixed() {
        let order = |pairs: &[(&str, &str)]| Listing::of(pairs).map(|listing| listing.order);
        let name_then_size =
            vec![("name", Ascending), ("size", Descending), ("created_at", Descending), ("id", Descending)];
        assert_eq!(order(&[("sort", "name:asc,size")]).unwrap(), name_then_size);
        let classic = [("sort_key", "name"), ("sort_dir", "asc"), ("sort_key", "size"), ("sort_dir", "desc")];
        assert_eq!(order(&classic).unwrap(), name_then_size);
        assert_eq!(
            order(&[("sort_key", "name"), ("sort_dir", "asc")]).unwrap(),
            [("name", Ascending), ("created_at", Ascending), ("id", Ascending)]
        );
        assert!(order(&[("sort", "name"), ("sort_key", "name")]).is_err());
        assert!(order(&[("sort_key", "owner")]).is_err());
        assert!(order(&[("sort_dir", "up")]).is_err());
    }

    #[test]
    fn filters_read_operators_ranges_and_properties() {
        let one = |name: &str, value: &str| Listing::of(&[(name, value)]).map(|mut listing| listing.filters.remove(1));
        assert_eq!(one("id", "in:a,\"b,c\"").unwrap(), Filter::OneOf("id", vec!["a".into(), "b,c".into()]));
        assert_eq!(one("size_min", "5").unwrap(), Filter::Number("size", Comparison::AtLeast, 5));
        assert_eq!(one("os_distro", "debian").unwrap(), Filter::Property("os_distro".into(), "debian".into()));
        assert_eq!(
            one("created_at", "gt:1970-01-01T00:00:01Z").unwrap(),
            Filter::Number("created_at", Comparison::Greater, 1_000_000)
        );
        for (name, value) in [
            ("name", "like:x"),
            ("size_min", "many"),
            ("created_at", "soon"),
            ("name", "in:\"a"),
            ("protected", "maybe"),
        ] {
            assert!(matches!(one(name, value), Err(Error::BadRequest(_))), "{name}={value}");
        }
        assert!(Listing::of(&[("visibility", "secret")]).is_err());
        assert!(Listing::of(&[("limit", "-1")]).is_err());
        assert!(Listing::of(&[("member_status", "maybe")]).is_err());
    }
}
