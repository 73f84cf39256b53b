//! HTTP and nothing else: a table of rows, a router over it, typed bodies with lifetimes. It would serve any JSON API.
//!
//! An operation is a [`Row`](table::Row): data that the router, the policy gate, the OpenAPI writer and the tests all
//! read, so that nothing about an operation is said twice. Start at [`table`], then [`router`], then [`json`].

pub mod call;
pub mod cors;
pub mod json;
pub mod microversion;
pub mod openapi;
pub mod page;
pub mod query;
pub mod reply;
pub mod router;
pub mod serve;
pub mod table;
