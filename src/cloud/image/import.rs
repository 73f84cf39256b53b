//! Importing an image: by which methods, from where, into which stores, and when.
//!
//! Bytes come by one of four ways, and end in one or several stores:
//!
//! ```text
//!  glance-direct   queued ─ stage ─► uploading ─┐
//!  web-download    queued ──────────────────────┼─► importing ─► active
//!  glance-download queued ──────────────────────┘   from another region's image service
//!  copy-image      active ── to further stores, active all the while
//! ```

use super::limits::Limits;
use super::plugins::Plugins;
use super::protection::Protections;
use super::{Image, Status};
use crate::clock::Timestamp;
use crate::cloud::web_source::Filter;
use crate::error::{Error, Result};
use crate::ids::{ImageId, ProjectId, TaskId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

words! {
    #[derive(Hash, Serialize, Deserialize)]
    Method {
        GlanceDirect "glance-direct",
        WebDownload "web-download",
        CopyImage "copy-image",
        GlanceDownload "glance-download",
    }
}

words! {
    TaskStatus { Pending "pending", Processing "processing", Success "success", Failure "failure" }
}

/// Names of the properties that tell clients how far an import is.
pub const IMPORTING_TO: &str = "os_glance_importing_to_stores";
pub const FAILED_IN: &str = "os_glance_failed_import";
/// How long a task that is over can be looked at.
pub const TASK_SECONDS: i64 = 48 * 3600;

/// What operators say of fetching.
#[derive(Debug, Clone, Default)]
pub struct ImportRules {
    pub filter: Filter,
    /// The largest image, in bytes; 0: no bound.
    pub size_limit: u64,
    pub limits: Limits,
    pub protections: Protections,
    /// How the names of properties begin that an image of another region passes on.
    pub copied: Vec<String>,
    pub plugins: Plugins,
    /// The region whose limits of identity hold in place of quotas; `None` where they don't.
    pub limits_region: Option<String>,
}

/// An import as clients ask about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportTask {
    pub id: TaskId,
    /// `api_image_import`, or `import` for one that was asked for as a task.
    pub kind: &'static str,
    pub status: TaskStatus,
    pub owner: Option<ProjectId>,
    pub user_id: Option<UserId>,
    pub request_id: Option<String>,
    pub image_id: Option<ImageId>,
    pub input: Value,
    pub result: Value,
    pub message: String,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Kinds of tasks, as clients see them.
pub const TASK_KINDS: [&str; 3] = ["import", "api_image_import", "location_import"];

impl Image {
    /// May it be imported now?
    ///
    /// # Errors
    /// `Conflict` with upstream's sentence.
    pub fn may_import(&self, method: Method) -> Result<()> {
        let text = match method {
            Method::CopyImage if self.status != Status::Active => {
                "Only images with status active can be targeted for copying".to_owned()
            }
            Method::GlanceDirect | Method::WebDownload | Method::GlanceDownload if self.status == Status::Active => {
                "Image with status active cannot be target for import".to_owned()
            }
            Method::WebDownload | Method::GlanceDownload if self.status != Status::Queued => {
                format!("Image needs to be in 'queued' state to use '{}' method", method.word())
            }
            Method::GlanceDirect if self.status != Status::Uploading => {
                "Image needs to be staged before 'glance-direct' method can be used".to_owned()
            }
            _ if self.container_format.is_none() => "'container_format' needs to be set before import".to_owned(),
            _ if self.disk_format.is_none() => "'disk_format' needs to be set before import".to_owned(),
            _ => return Ok(()),
        };
        Err(Error::Conflict(text))
    }

    /// May bytes be staged now?
    ///
    /// # Errors
    /// `Conflict` when it has bytes, or gets them.
    pub fn may_stage(&self) -> Result<()> {
        if self.status == Status::Queued {
            return Ok(());
        }
        let from = self.status.word();
        Err(Error::conflict(format!("Image status transition from {from} to uploading is not allowed")))
    }
}

/// A list of stores in a property, with some added and some taken away; sorted, as upstream's is.
pub fn merged(list: Option<&str>, add: &[String], remove: &[String]) -> String {
    let mut names: Vec<&str> = list.unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect();
    names.retain(|name| !remove.iter().any(|removed| removed == name));
    names.extend(add.iter().map(String::as_str));
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_wants_the_image_in_a_state_of_its_own() {
        let mut image = Image::new(ImageId::random(), None, Timestamp(0));
        image.disk_format = Some("raw".into());
        image.container_format = Some("bare".into());
        let table = [
            (Status::Queued, [false, true, false, true]),
            (Status::Saving, [false, false, false, false]),
            (Status::Uploading, [true, false, false, false]),
            (Status::Importing, [false, false, false, false]),
            (Status::Active, [false, false, true, false]),
            (Status::Deactivated, [false, false, false, false]),
        ];
        for (status, expected) in table {
            image.status = status;
            let may = Method::ALL.iter().map(|method| image.may_import(*method).is_ok()).collect::<Vec<_>>();
            assert_eq!(may, expected, "{status:?}");
        }
        image.disk_format = None;
        assert!(image.may_import(Method::CopyImage).is_err());
    }

    #[test]
    fn lists_of_stores_lose_and_gain_names() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(merged(None, &names(&["b", "a"]), &[]), "a,b");
        assert_eq!(merged(Some("a,b"), &names(&["b"]), &names(&["a"])), "b");
        assert_eq!(merged(Some("a"), &[], &names(&["a"])), "");
    }
}
