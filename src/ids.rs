//! Names of things, as types, so that a project's id can't be handed over where a server's is meant.
//!
//! Compute, image and network ids are UUIDs written with dashes. Identity ids are opaque text (32 hexadecimal digits
//! for what Gapura makes, the literal `default` for the first domain), as in Keystone. Both are parsed once, at the edge.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// Reads the dashed form only; anything else names nothing.
            pub fn parse(text: &str) -> Option<Self> {
                if text.len() != 36 {
                    return None;
                }
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// A new random id: 32 hexadecimal digits.
            pub fn random() -> Self {
                Self(Uuid::new_v4().simple().to_string())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

uuid_ids! {
    ServerId;
    ImageId;
    NetworkId;
    SubnetId;
    PortId;
    /// A host that runs machines; Nova's `hypervisor` and `service` ids from microversion 2.53.
    HostId;
    /// The bytes of an image in a store. Never derived from the bytes.
    BlobId;
    TaskId;
    ServerGroupId;
}

text_ids! {
    DomainId;
    ProjectId;
    UserId;
    GroupId;
    RoleId;
    /// Flavors' ids are chosen by operators: `1`, `m1.tiny` or a UUID.
    FlavorId;
}
