//! The rules: functions from data to data, without I/O, without async, without a clock.

pub mod address;
pub mod effective;
pub mod identity;
pub mod image;
pub mod image_format;
pub mod password;
pub mod policy;
pub mod policy_rules;
pub mod token;
