//! Settings of images: where their bytes are kept, and how much of what a project may have.

use crate::api::ImageSettings;
use crate::blobs::{Blobs, Store, Stores};
use crate::cloud::image::import::Method;
use crate::cloud::image::limits::{Limits, bytes_of};
use crate::cloud::image::plugins::{Conversion, Decompression, Injection, Plugin, Plugins, Target};
use crate::cloud::image::protection::Protections;
use crate::cloud::web_source::Filter;
use crate::error::{Error, Result};
use crate::tasks::RunnerSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Images {
    /// `file:///…`, `s3://bucket/prefix`, `gs://…`, `az://…`; empty: `images` in the state directory.
    pub store: String,
    /// Options of the store as `object_store` names them (`aws_endpoint`, `aws_access_key_id`, …).
    pub store_options: BTreeMap<String, String>,
    /// Several stores by name, in place of `store`.
    pub stores: BTreeMap<String, StoreSetting>,
    /// Which of `stores` takes bytes unless somebody says otherwise; empty: the only one.
    pub default_store: String,
    /// The largest image, in bytes; 0: no bound.
    pub size_limit: u64,
    /// The bytes of all images of a project in all stores: `0`, `500MB`, `2TB`.
    pub user_storage_quota: String,
    /// The most of one image; negative: no bound.
    pub member_quota: i64,
    pub property_quota: i64,
    pub tag_quota: i64,
    /// Which roles may do what with which properties; empty: everybody all.
    pub property_protection_file: PathBuf,
    /// `glance-direct`, `copy-image`, `web-download`, `glance-download`.
    pub import_methods: Vec<String>,
    /// Where parts of uploads are kept that can go on where they stopped; empty: `uploads` in the state directory.
    pub uploads: PathBuf,
    /// How long such an upload waits for its client, in seconds.
    pub upload_seconds: i64,
    /// How many bytes of images a host keeps when its cache is pruned.
    pub image_cache_max_size: u64,
    /// What `web-download` may fetch.
    pub web_download: Filter,
    /// What `glance-download` takes over.
    pub glance_download: GlanceDownload,
    /// `image_decompression`, `image_conversion`, `inject_image_metadata`, `no_op`, in the order in which they are done.
    pub image_import_plugins: Vec<String>,
    /// How many images are converted or decompressed at once.
    pub rewrites_at_once: usize,
    /// Where images are converted; empty: `import-work` in the state directory.
    pub work_dir: PathBuf,
    pub image_conversion: ImageConversion,
    pub image_decompression: ImageDecompression,
    pub inject_metadata_properties: InjectMetadata,
}

impl Default for Images {
    fn default() -> Self {
        let rules = ImageSettings::default();
        Self {
            store: String::new(),
            store_options: BTreeMap::new(),
            stores: BTreeMap::new(),
            default_store: String::new(),
            size_limit: rules.size_limit,
            user_storage_quota: rules.limits.storage.to_string(),
            member_quota: rules.limits.members,
            property_quota: rules.limits.properties,
            tag_quota: rules.limits.tags,
            property_protection_file: PathBuf::new(),
            import_methods: rules.import_methods.iter().map(|method| method.word().to_owned()).collect(),
            uploads: PathBuf::new(),
            upload_seconds: rules.upload_seconds,
            image_cache_max_size: rules.cache_max_size,
            web_download: rules.import_filter,
            glance_download: GlanceDownload { extra_properties: rules.copied_properties },
            image_import_plugins: Vec::new(),
            rewrites_at_once: RunnerSettings::default().turns,
            work_dir: PathBuf::new(),
            image_conversion: ImageConversion::default(),
            image_decompression: ImageDecompression::default(),
            inject_metadata_properties: InjectMetadata::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlanceDownload {
    /// How the names of properties begin that come with an image of another region.
    pub extra_properties: Vec<String>,
}

impl Default for GlanceDownload {
    fn default() -> Self {
        Self { extra_properties: ImageSettings::default().copied_properties }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageConversion {
    /// `raw` or `qcow2`.
    pub output_format: String,
    pub size_limit: u64,
    pub memory_mb: u64,
    pub seconds: u64,
}

impl Default for ImageConversion {
    fn default() -> Self {
        let Conversion { target, memory_mb, seconds, size_limit, .. } = Plugins::default().conversion;
        Self { output_format: target.word().to_owned(), size_limit, memory_mb, seconds }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageDecompression {
    pub size_limit: u64,
    /// How many times the packed size may come out.
    pub ratio_limit: u64,
}

impl Default for ImageDecompression {
    fn default() -> Self {
        let Decompression { size_limit, ratio_limit } = Plugins::default().decompression;
        Self { size_limit, ratio_limit }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectMetadata {
    /// Whose images are left alone.
    pub ignore_user_roles: Vec<String>,
    pub inject: BTreeMap<String, String>,
}

impl Default for InjectMetadata {
    fn default() -> Self {
        let Injection { ignore_user_roles, inject } = Plugins::default().injection;
        Self { ignore_user_roles, inject }
    }
}

/// A store among several: its URL, or that and more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoreSetting {
    Url(String),
    Whole(WholeStore),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeStore {
    pub url: String,
    /// What clients read about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Added to `store_options`, over what stands there.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl StoreSetting {
    fn url(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Whole(whole) => &whole.url,
        }
    }
}

impl Images {
    /// Fills what follows from other settings, and refuses what contradicts itself.
    pub(super) fn complete(&mut self, state: &Path, listen: SocketAddr) -> Result<()> {
        // Processes may share the folder, and each clears away only what it left itself.
        self.work_dir =
            state.join(if self.work_dir.as_os_str().is_empty() { Path::new("import-work") } else { &self.work_dir });
        self.work_dir.push(listen.to_string().replace([':', '[', ']'], "-"));
        // A relative path is below the state directory; an empty one becomes it.
        let uploads = if self.uploads.as_os_str().is_empty() { Path::new("uploads") } else { &self.uploads };
        self.uploads = state.join(uploads);
        if self.rewrites_at_once < 1 {
            return Err(Error::bad_request("images.rewrites_at_once is less than one"));
        }
        if self.upload_seconds < 1 {
            return Err(Error::bad_request("images.upload_seconds is less than a second"));
        }
        if self.stores.is_empty() {
            if !self.default_store.is_empty() {
                return Err(Error::bad_request("images.default_store names one of images.stores, and there are none"));
            }
            if self.store.is_empty() {
                self.store = format!("file://{}", state.join("images").display());
            }
            return Ok(());
        }
        if !self.store.is_empty() {
            return Err(Error::bad_request(
                "images.store and images.stores are given in place of each other; to keep what is in images.store, list \
                 it in images.stores under the name default",
            ));
        }
        if self.default_store.is_empty() {
            let mut names = self.stores.keys();
            match (names.next(), names.next()) {
                (Some(only), None) => self.default_store = only.clone(),
                _ => return Err(Error::bad_request("images.default_store must say which of images.stores is it")),
            }
        }
        Ok(())
    }

    /// The URL of every store.
    pub fn store_urls(&self) -> Vec<&str> {
        if self.stores.is_empty() { vec![&self.store] } else { self.stores.values().map(StoreSetting::url).collect() }
    }

    /// Opens every store.
    ///
    /// # Errors
    /// What can't be opened, in a sentence for the operator.
    pub fn open_stores(&self) -> Result<Stores> {
        let open = |url: &str, more: Option<&BTreeMap<String, String>>| {
            let mut options = self.store_options.clone();
            options.extend(more.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
            Blobs::open(url, &options.into_iter().collect::<Vec<_>>())
        };
        if self.stores.is_empty() {
            return Ok(Stores::single(open(&self.store, None)?).with_parts_in(&self.uploads));
        }
        let stores = self.stores.iter().map(|(name, setting)| {
            let (description, more) = match setting {
                StoreSetting::Url(_) => (None, None),
                StoreSetting::Whole(whole) => (whole.description.clone(), Some(&whole.options)),
            };
            Ok(Store { name: name.clone(), description, blobs: open(setting.url(), more)? })
        });
        Ok(Stores::named(stores.collect::<Result<_>>()?, &self.default_store)?.with_parts_in(&self.uploads))
    }

    /// What handlers go by.
    ///
    /// # Errors
    /// `BadRequest` for what can't be understood, in a sentence for the operator.
    pub fn rules(&self) -> Result<ImageSettings> {
        let method = |word: &String| {
            Method::of(word).ok_or_else(|| {
                let known = Method::ALL.iter().map(|method| method.word()).collect::<Vec<_>>().join(", ");
                Error::bad_request(format!("images.import_methods: {word:?} is none of {known}"))
            })
        };
        let quota = &self.user_storage_quota;
        let storage = bytes_of(quota).ok_or_else(|| {
            Error::bad_request(format!(
                "images.user_storage_quota = {quota:?} is no number of bytes, with B, KB, MB, GB or TB after it"
            ))
        })?;
        let (members, properties, tags) = (self.member_quota, self.property_quota, self.tag_quota);
        Ok(ImageSettings {
            size_limit: self.size_limit,
            limits: Limits { members, properties, tags, storage },
            protections: self.protections()?,
            import_methods: self.import_methods.iter().map(method).collect::<Result<_>>()?,
            import_filter: self.web_download.clone(),
            upload_seconds: self.upload_seconds,
            cache_max_size: self.image_cache_max_size,
            copied_properties: self.glance_download.extra_properties.clone(),
            plugins: self.plugins()?,
        })
    }

    fn plugins(&self) -> Result<Plugins> {
        let wrong = |setting: &str, word: &str, known: Vec<&str>| {
            Error::bad_request(format!("images.{setting}: {word:?} is none of {}", known.join(", ")))
        };
        let plugin = |word: &String| {
            let known = || Plugin::ALL.iter().map(|plugin| plugin.word()).collect();
            Plugin::of(word).ok_or_else(|| wrong("image_import_plugins", word, known()))
        };
        let ImageConversion { output_format, size_limit, memory_mb, seconds } = self.image_conversion.clone();
        let known = || Target::ALL.iter().map(|target| target.word()).collect();
        let target = Target::of(&output_format)
            .ok_or_else(|| wrong("image_conversion.output_format", &output_format, known()))?;
        let ImageDecompression { size_limit: unpacked, ratio_limit } = self.image_decompression;
        let InjectMetadata { ignore_user_roles, inject } = self.inject_metadata_properties.clone();
        Ok(Plugins {
            list: self.image_import_plugins.iter().map(plugin).collect::<Result<_>>()?,
            conversion: Conversion { target, memory_mb, seconds, size_limit, folder: self.work_dir.clone() },
            decompression: Decompression { size_limit: unpacked, ratio_limit },
            injection: Injection { ignore_user_roles, inject },
        })
    }

    fn protections(&self) -> Result<Protections> {
        let file = &self.property_protection_file;
        if file.as_os_str().is_empty() {
            return Ok(Protections::default());
        }
        let unusable = |error: &dyn std::fmt::Display| {
            Error::bad_request(format!("images.property_protection_file {}: {error}", file.display()))
        };
        let text = std::fs::read_to_string(file).map_err(|error| unusable(&error))?;
        Protections::parse(&text).map_err(|error| unusable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Images> {
        let mut images: Images = toml::from_str(text).expect("the test's settings can be read");
        images.complete(Path::new("/state"), ([127, 0, 0, 1], 5000).into()).map(|()| images)
    }

    #[test]
    fn one_store_has_no_name_and_several_have_theirs() {
        assert_eq!(of("").unwrap().store, "file:///state/images");
        let one = of("store = 'memory:///'").unwrap().open_stores().unwrap();
        assert!(!one.are_named());
        let two = of(
            "default_store = 'slow'\n[stores]\nfast = 'memory:///'\n[stores.slow]\nurl = 'memory:///'\ndescription = 'disks'",
        );
        let two = two.unwrap().open_stores().unwrap();
        assert_eq!((two.are_named(), two.names()), (true, vec!["fast".to_owned(), "slow".to_owned()]));
        assert_eq!(two.default_store().description.as_deref(), Some("disks"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for text in [
            "store = 'memory:///'\n[stores]\nfast = 'memory:///'",
            "[stores]\nfast = 'memory:///'\nslow = 'memory:///'",
            "default_store = 'fast'",
            "rewrites_at_once = 0",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
        for text in [
            "import_methods = ['ftp']",
            "image_import_plugins = ['magic']",
            "image_conversion = {output_format = 'vmdk'}",
            "user_storage_quota = 'much'",
            "property_protection_file = '/nowhere/at/all'",
        ] {
            assert!(of(text).unwrap().rules().is_err(), "{text}");
        }
        assert_eq!(of("user_storage_quota = '2GB'").unwrap().rules().unwrap().limits.storage, 2 << 30);
        let wrong = of("default_store = 'x'\n[stores]\nfast = 'memory:///'").unwrap();
        assert!(wrong.open_stores().is_err());
    }
}
