//! Images: what they are, which states they pass through, and what may be done to one now.
//!
//! ```text
//!  queued ─► saving ─► active ◄─► deactivated
//!    ▲          │        ▲
//!    ├──────────┘        │   back: an upload that failed, was cut off or was refused
//!    ├─► uploading ─► importing   staged first, imported later; or fetched by the import itself
//!    └───────┴────────────┘   back: as for an upload
//! ```
//! An image names bytes only once all of them are stored and checked; `saving` names the bytes that are on their way, so
//! that a late upload can't finish what an earlier one began. Who sees an image depends on its visibility: *public* and
//! *community* everybody, *private* its owner, *shared* its owner and the projects it is shared with. A community image is
//! found by its id, and listed only when asked for. The store renders that rule as one WHERE (`store/images.rs`).

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word clients and the database use.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

pub mod change;
pub mod import;
pub mod inspect;
pub mod limits;
pub mod list;
pub mod plugins;
pub mod protection;
pub mod remote;
pub mod unpack;

use crate::clock::Timestamp;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::ids::{BlobId, ImageId, ProjectId};
use std::collections::{BTreeMap, BTreeSet};

/// What a `disk_format` may say, but for nothing.
pub const DISK_FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
/// What a `container_format` may say, but for nothing.
pub const CONTAINER_FORMATS: [&str; 8] = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];

words! {
    Status {
        Queued "queued",
        Saving "saving",
        Uploading "uploading",
        Importing "importing",
        Active "active",
        Deactivated "deactivated",
    }
}
words! {
    Visibility { Public "public", Community "community", Shared "shared", Private "private" }
}
words! {
    MemberStatus { Pending "pending", Accepted "accepted", Rejected "rejected" }
}

/// Bytes, and the name of the store they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub store: String,
    pub blob: BlobId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub id: ImageId,
    pub owner: Option<ProjectId>,
    pub name: Option<String>,
    pub status: Status,
    pub visibility: Visibility,
    pub container_format: Option<String>,
    pub disk_format: Option<String>,
    /// In GiB.
    pub min_disk: u32,
    /// In MiB.
    pub min_ram: u32,
    pub protected: bool,
    pub os_hidden: bool,
    pub size: Option<u64>,
    pub virtual_size: Option<u64>,
    /// MD5 of the bytes.
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    /// The bytes; while `saving`, `uploading` or `importing`, those on their way.
    pub blob: Option<BlobId>,
    /// Where all whole copies of the bytes are; those that `blob` names first.
    pub places: Vec<Place>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub properties: BTreeMap<String, String>,
    pub tags: BTreeSet<String>,
}

/// What a share may say beyond Glance's: when it ends by itself, and what it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    pub expires_at: Option<Timestamp>,
    pub purpose: Option<String>,
}

/// A project an image is shared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub image: ImageId,
    pub project: ProjectId,
    pub status: MemberStatus,
    pub terms: Terms,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Image {
    /// A new image without bytes.
    pub fn new(id: ImageId, owner: Option<ProjectId>, now: Timestamp) -> Self {
        Self {
            id,
            owner,
            name: None,
            status: Status::Queued,
            visibility: Visibility::Shared,
            container_format: None,
            disk_format: None,
            min_disk: 0,
            min_ram: 0,
            protected: false,
            os_hidden: false,
            size: None,
            virtual_size: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            blob: None,
            places: Vec::new(),
            created_at: now,
            updated_at: now,
            properties: BTreeMap::new(),
            tags: BTreeSet::new(),
        }
    }

    /// The image as policy rules see it, through a membership of the caller's project if there is one.
    pub fn target(&self, member: Option<&ProjectId>) -> Target {
        Target::new()
            .with_option("project_id", self.owner.as_ref())
            .with_option("owner", self.owner.as_ref())
            .with("visibility", self.visibility.word())
            .with_option("member_id", member)
    }

    /// Has it bytes that clients are promised?
    pub fn has_bytes(&self) -> bool {
        matches!(self.status, Status::Active | Status::Deactivated)
    }

    /// May its bytes leave this store?
    ///
    /// # Errors
    /// `Conflict` while it isn't active, `Forbidden` for the last copy, `NotFound` where it has none.
    pub fn may_leave(&self, store: &str) -> Result<()> {
        if self.status != Status::Active {
            return Err(Error::conflict(
                "It's not allowed to remove image data from store if image status is not 'active'",
            ));
        }
        if self.places.len() == 1 {
            return Err(Error::Forbidden(
                "Cannot delete image data from the only store containing it. Consider deleting the image instead."
                    .to_owned(),
            ));
        }
        if !self.places.iter().any(|place| place.store == store) {
            return Err(Error::not_found(Kind::Part, format!("Image {} is not stored in store {store}.", self.id)));
        }
        Ok(())
    }

    /// May bytes be uploaded now?
    ///
    /// # Errors
    /// `Conflict` when it has bytes or gets them; `BadRequest` while nobody said what the bytes are.
    pub fn may_upload(&self) -> Result<()> {
        if self.status != Status::Queued {
            let from = self.status.word();
            return Err(Error::conflict(format!("Image status transition from {from} to saving is not allowed")));
        }
        let missing: Vec<_> = [("disk_format", &self.disk_format), ("container_format", &self.container_format)]
            .into_iter()
            .filter_map(|(name, value)| value.is_none().then_some(name))
            .collect();
        match missing.as_slice() {
            [] => Ok(()),
            [one] => Err(Error::bad_request(format!("Property {one} must be set prior to saving data."))),
            many => {
                Err(Error::bad_request(format!("Properties {} must be set prior to saving data.", many.join(", "))))
            }
        }
    }

    /// # Errors
    /// `Forbidden` for a protected image.
    pub fn may_delete(&self) -> Result<()> {
        if self.protected {
            let id = self.id;
            return Err(Error::Forbidden(format!("Image {id} is protected and cannot be deleted.")));
        }
        Ok(())
    }

    /// May the image be made to have the status `to`, which is active or deactivated?
    ///
    /// # Errors
    /// `Forbidden` while it has no bytes.
    pub fn may_switch(&self, to: Status) -> Result<()> {
        match self.status {
            Status::Active | Status::Deactivated => Ok(()),
            Status::Queued | Status::Saving | Status::Uploading | Status::Importing => {
                let verb = if to == Status::Active { "reactivate" } else { "deactivate" };
                let status = self.status.word();
                Err(Error::Forbidden(format!("Not allowed to {verb} image in status '{status}'")))
            }
        }
    }

    /// Only a shared image has members.
    ///
    /// # Errors
    /// `Forbidden` for the other kinds.
    pub fn has_members(&self) -> Result<()> {
        if self.visibility == Visibility::Shared {
            return Ok(());
        }
        Err(Error::Forbidden("Only shared images have members.".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(status: Status) -> Image {
        let mut image = Image::new(ImageId::random(), Some("p".into()), Timestamp(0));
        image.status = status;
        image
    }

    #[test]
    fn bytes_are_only_taken_once_and_only_when_their_format_is_known() {
        let mut queued = image(Status::Queued);
        assert_eq!(
            queued.may_upload().unwrap_err().to_string(),
            "Properties disk_format, container_format must be set prior to saving data."
        );
        queued.disk_format = Some("raw".into());
        queued.container_format = Some("bare".into());
        assert!(queued.may_upload().is_ok());
        for status in [Status::Saving, Status::Uploading, Status::Importing, Status::Active, Status::Deactivated] {
            assert!(matches!(image(status).may_upload(), Err(Error::Conflict(_))));
        }
    }

    #[test]
    fn bytes_leave_a_store_only_where_another_has_them() {
        let place = |store: &str| Place { store: store.into(), blob: BlobId::random() };
        let mut image = image(Status::Active);
        image.places = vec![place("fast")];
        assert!(matches!(image.may_leave("fast"), Err(Error::Forbidden(_))));
        image.places.push(place("slow"));
        assert!(image.may_leave("fast").is_ok() && image.may_leave("slow").is_ok());
        assert!(image.may_leave("other").is_err_and(|error| error.is_not_found()));
        image.status = Status::Deactivated;
        assert!(matches!(image.may_leave("fast"), Err(Error::Conflict(_))));
    }

    #[test]
    fn only_an_image_with_bytes_is_switched_on_and_off() {
        assert!(image(Status::Active).may_switch(Status::Deactivated).is_ok());
        assert!(image(Status::Deactivated).may_switch(Status::Active).is_ok());
        let refused = image(Status::Queued).may_switch(Status::Deactivated).unwrap_err();
        assert_eq!(refused.to_string(), "Not allowed to deactivate image in status 'queued'");
    }
}
