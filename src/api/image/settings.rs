//! What operators decide about images.

use crate::cloud::image::import::{ImportRules, Method};
use crate::cloud::image::limits::Limits;
use crate::cloud::image::protection::Protections;
use crate::cloud::web_source::Filter;

/// How much of what an image and a project may have, how images are imported, and whose which properties are.
#[derive(Debug, Clone)]
pub struct ImageSettings {
    /// The largest image, in bytes; 0: no bound.
    pub size_limit: u64,
    pub limits: Limits,
    pub protections: Protections,
    pub import_methods: Vec<Method>,
    /// What may be fetched from the web.
    pub import_filter: Filter,
    /// How long an upload that can go on waits for its client, in seconds.
    pub upload_seconds: i64,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self {
            size_limit: 0,
            limits: Limits::default(),
            protections: Protections::default(),
            import_methods: vec![Method::GlanceDirect, Method::CopyImage],
            import_filter: Filter::default(),
            upload_seconds: 24 * 3600,
        }
    }
}

impl ImageSettings {
    /// What the work of importing goes by.
    pub fn imports(&self) -> ImportRules {
        ImportRules { filter: self.import_filter.clone(), size_limit: self.size_limit, limits: self.limits }
    }
}
