//! JSON bodies, declared once: what is read ([`Parse`]), what is written ([`View`]), and from which version each field is.
//!
//! Upstream stacks a schema per version; here a field has a lifetime, said beside it, and one declaration gives the
//! struct, the check (with upstream's sentences), the output at a version and the JSON Schema for `api-specs/`:
//!
//! ```
//! gapura::versioned! {
//!     /// A server as `GET /servers/{id}` shows it.
//!     response Server {
//!         "id"                     => id: String,
//!         "locked"      since(9)   => locked: bool,
//!         "flavor_link" until(47)  => flavor_link: String,
//!         "fault" optional         => fault: Option<String>,
//!     }
//! }
//! gapura::versioned! {
//!     /// What `PUT /servers/{id}` takes.
//!     request ServerUpdate strict {
//!         "name" required          => name: gapura::http::json::Text<1, 255>,
//!         "description" since(19)  => description: Option<String>,
//!     }
//! }
//! ```
//!
//! Words before `=>`: `since(n)`, `until(n)`; for requests `required`, `required_since(n)`; for responses `optional`
//! (an `Option` left out when `None`; without the word it is shown as `null`). `flatten => extra: Map` takes or shows all
//! other keys. A `request … strict` refuses unknown keys; `request … open` ignores them.

mod fields;
mod invalid;
mod parse;
mod versioned;
mod view;

pub use fields::{Field, check_keys, object_schema, take_field};
pub use invalid::{Invalid, Path, python_repr};
pub use parse::{Base64Text, Between, FlexibleBool, FlexibleInt, Maybe, OneOf, Parse, Text, Words, from_slice};
pub use view::{At, InTurn, View, to_vec};

pub type Map = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
