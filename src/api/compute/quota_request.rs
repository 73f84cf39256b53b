//! A limit as requests write it.

use crate::error::Result;
use crate::http::json::{FlexibleInt, Invalid, Parse, Path};
use crate::http::microversion::Microversion;
use serde_json::{Value, json};

/// A whole number from -1 (no limit) on, or its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub i64);

const MOST: i64 = 0x7FFF_FFFF;

impl Parse for Limit {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let shown = value.clone();
        let FlexibleInt(number) = FlexibleInt::parse(value, path, version)?;
        if number < -1 {
            return Err(path.refuse(&shown, format!("{number} is less than the minimum of -1")));
        }
        if number > MOST {
            return Err(path.refuse(&shown, format!("{number} is greater than the maximum of {MOST}")));
        }
        Ok(Self(number))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["integer", "string"], "pattern": "^-?[0-9]+$", "minimum": -1, "maximum": MOST})
    }
}

/// The body of new limits: those of Nova's resources, the network's until the version that took them away there, and what
/// else the one kind of body has.
macro_rules! limits_request {
    ($name:ident, networks until($networks:literal) $(, $word:literal => $field:ident: $kind:ty)*) => {
        $crate::versioned! {
            request $name strict {
                "instances" => instances: Maybe<Limit>,
                "cores" => cores: Maybe<Limit>,
                "ram" => ram: Maybe<Limit>,
                "floating_ips" until($networks) => floating_ips: Maybe<Limit>,
                "fixed_ips" until($networks) => fixed_ips: Maybe<Limit>,
                "metadata_items" => metadata_items: Maybe<Limit>,
                "injected_files" until(57) => injected_files: Maybe<Limit>,
                "injected_file_content_bytes" until(57) => injected_file_content_bytes: Maybe<Limit>,
                "injected_file_path_bytes" until(57) => injected_file_path_bytes: Maybe<Limit>,
                "security_groups" until($networks) => security_groups: Maybe<Limit>,
                "security_group_rules" until($networks) => security_group_rules: Maybe<Limit>,
                "key_pairs" => key_pairs: Maybe<Limit>,
                "server_groups" => server_groups: Maybe<Limit>,
                "server_group_members" => server_group_members: Maybe<Limit>,
                $($word => $field: $kind,)*
            }
        }

        impl $name {
            /// The limits that are given, by name.
            fn given(&self) -> Vec<(&'static str, i64)> {
                let all = [
                    ("instances", &self.instances),
                    ("cores", &self.cores),
                    ("ram", &self.ram),
                    ("floating_ips", &self.floating_ips),
                    ("fixed_ips", &self.fixed_ips),
                    ("metadata_items", &self.metadata_items),
                    ("injected_files", &self.injected_files),
                    ("injected_file_content_bytes", &self.injected_file_content_bytes),
                    ("injected_file_path_bytes", &self.injected_file_path_bytes),
                    ("security_groups", &self.security_groups),
                    ("security_group_rules", &self.security_group_rules),
                    ("key_pairs", &self.key_pairs),
                    ("server_groups", &self.server_groups),
                    ("server_group_members", &self.server_group_members),
                ];
                all.into_iter().filter_map(|(name, limit)| limit.as_ref().map(|limit| (name, limit.0))).collect()
            }
        }
    };
}

pub(super) use limits_request;
