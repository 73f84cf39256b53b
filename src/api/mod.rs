//! OpenStack's nouns and JSON: one folder a service, one file a resource (views, handlers, rows), and the joined table.
//!
//! A handler parses, decides, records and answers. It gets a [`Call`] whose context says who asks ([`Context::caller`])
//! and how far they reach ([`Context::reach`]); it hands the reach to every store query it makes.

mod authenticate;
pub mod faults;
mod gate;
mod root;
mod state;

pub use gate::{Context, GateKeeper};
pub use state::State;

use crate::http::router::Router;
use crate::http::table::{Row as TableRow, Service};
use std::sync::Arc;

/// A request admitted to one of our handlers.
pub type Call<B = ()> = crate::http::call::Call<Context, B>;
/// An operation of one of our services.
pub type Row = TableRow<Context>;

/// Every service with its rows.
pub fn table() -> Vec<(&'static Service, Vec<Row>)> {
    vec![(&root::SERVICE, root::rows())]
}

/// The router over the whole table.
pub fn router(state: Arc<State>) -> Router<GateKeeper> {
    Router::new(GateKeeper::new(state), table(), &[("/v3", "/identity/v3")])
}
