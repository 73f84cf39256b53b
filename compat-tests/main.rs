//! Tests of Gapura from the outside: what it promises, held against real engines and real clients.
//!
//! One binary with a module for each subject, because linking a dozen would cost minutes. A test whose engine is not
//! there says so on stderr and passes; CI has them all.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a failed test panics, a skipped one says so")]

mod architecture;
mod authorization_matrix;
mod bad_input;
#[path = "../src/api/testing/client.rs"]
#[allow(dead_code, reason = "what is not needed here, the API's own tests need")]
mod client;
mod cloud;
mod cold_migration;
mod cold_migration_program;
mod command;
mod crash;
mod crash_images;
mod crash_resume;
mod database;
mod disk_full;
mod doctor;
mod evacuation_program;
mod fabric;
mod guest;
mod hypervisor;
mod hypervisor_faults;
mod image;
mod in_process;
mod lab;
mod libvirt_away;
mod live_migration;
mod live_migration_bench;
mod live_migration_faults;
mod live_migration_program;
mod live_migration_tls;
mod nodes;
mod object_stores;
mod offline;
mod regions;
mod serving;
mod specs;
mod two_hosts;
mod unauthorized;
mod web_download;

// What `client` names.
use gapura::{api, http};
