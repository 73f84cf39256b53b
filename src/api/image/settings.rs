//! What operators decide about images.

use crate::cloud::image::import::{ImportRules, Method};
use crate::cloud::image::limits::Limits;
use crate::cloud::image::plugins::Plugins;
use crate::cloud::image::protection::Protections;
use crate::cloud::image::remote::COPIED;
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
    /// How the names of properties begin that an image of another region passes on.
    pub copied_properties: Vec<String>,
    /// What is done to images on their way in.
    pub plugins: Plugins,
    /// How long an upload that can go on waits for its client, in seconds.
    pub upload_seconds: i64,
    /// How many bytes of images a host keeps when its cache is pruned.
    pub cache_max_size: u64,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self {
            size_limit: 0,
            limits: Limits::default(),
            protections: Protections::default(),
            import_methods: vec![Method::GlanceDirect, Method::CopyImage],
            import_filter: Filter::default(),
            copied_properties: COPIED.map(str::to_owned).into(),
            plugins: Plugins::default(),
            upload_seconds: 24 * 3600,
            cache_max_size: 10 << 30,
        }
    }
}

impl ImageSettings {
    /// What the work of importing goes by.
    pub fn imports(&self, limits_region: Option<String>) -> ImportRules {
        ImportRules {
            filter: self.import_filter.clone(),
            size_limit: self.size_limit,
            limits: self.limits,
            protections: self.protections.clone(),
            copied: self.copied_properties.clone(),
            plugins: self.plugins.clone(),
            limits_region,
        }
    }
}
