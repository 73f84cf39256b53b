//! The rules: functions from data to data, without I/O, without async, without a clock.

pub mod access_rules;
pub mod address;
pub mod boot;
pub mod compliance;
pub mod config_drive;
pub mod domain_config;
pub mod effective;
pub mod endpoint_url;
pub mod flavor;
pub mod identity;
pub mod image;
pub mod image_format;
pub mod limit;
pub mod listing;
pub mod metadef;
pub mod multi_factor;
pub mod password;
pub mod placement;
pub mod policy;
pub mod policy_rules;
pub mod quota;
pub mod server;
pub mod ssh_key;
pub mod token;
pub mod totp;
pub mod web_source;
