//! Gapura: one binary that speaks OpenStack.

pub mod api;
pub mod audit;
pub mod blobs;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod disks;
pub mod doctor;
pub mod error;
pub mod fabric;
pub mod hosts;
pub mod http;
pub mod hypervisor;
pub mod ids;
pub mod init;
pub mod key_files;
pub mod keys;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod program;
pub mod spec;
pub mod store;
pub mod tasks;
pub mod tls;
pub mod vault;
