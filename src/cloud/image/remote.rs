//! An image of another region, as its image service describes it: what is taken over from there, and what is not.
//!
//! The description comes from another machine, so nothing in it is believed that isn't checked: formats must be known ones,
//! properties are texts of a bounded length under names that clients may give, and of those only the ones operators list by
//! how they begin. The bytes are compared with the size and the hash it gives, and inspected like any upload.

use super::change::{RESERVED_PREFIX, is_property};
use super::{CONTAINER_FORMATS, DISK_FORMATS, Image};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Upstream's default of `extra_properties`: how the names of properties begin that are taken over.
pub const COPIED: [&str; 5] = ["hw_", "trait:", "os_distro", "os_secure_boot", "os_type"];
/// The longest name and the longest text of a property; upstream's columns hold no more.
const NAME: usize = 255;
const TEXT: usize = 65_535;

/// Which image of which region, as a client says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    pub image: String,
    pub region: String,
    pub interface: String,
}

/// What an image is going to be, where that isn't what it says now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Becoming {
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    pub properties: BTreeMap<String, String>,
}

/// A remote image whose bytes can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub size: u64,
    /// In hexadecimal; `None` where the other side hashes in another way.
    pub sha512: Option<String>,
    pub md5: Option<String>,
    pub becoming: Becoming,
}

impl Remote {
    /// Reads what a request says of the method.
    ///
    /// # Errors
    /// `BadRequest` with upstream's sentences.
    pub fn of(method: &Value) -> Result<Self> {
        let text = |name: &str| match method.get(name) {
            None => Err(Error::bad_request(format!("'{name}' needs to be set for glance-download import method"))),
            Some(value) => Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        };
        let (region, image) = (text("glance_region")?, text("glance_image_id")?);
        let is_known = uuid::Uuid::try_parse(&image);
        let wrong = || Error::bad_request(format!("Remote image id does not look like a UUID: {image}"));
        let image = is_known.map_err(|_| wrong())?.hyphenated().to_string();
        let interface = method.get("glance_service_interface").and_then(Value::as_str).unwrap_or("public").to_owned();
        Ok(Self { image, region, interface })
    }

    /// Where the region's image service is, in a catalogue as tokens carry it. The first one counts, as upstream.
    pub fn endpoint(&self, catalog: &Value) -> Option<String> {
        let services = catalog.as_array()?.iter().filter(|service| service["type"] == "image");
        let endpoints = services.filter_map(|service| service["endpoints"].as_array()).flatten();
        let region = self.region.to_lowercase();
        let here = |endpoint: &&Value| {
            endpoint["region"].as_str().is_some_and(|other| other.to_lowercase() == region)
                && endpoint["interface"] == self.interface.as_str()
        };
        endpoints.filter(here).find_map(|endpoint| endpoint["url"].as_str()).map(str::to_owned)
    }

    /// What a client hears where there is none.
    pub fn nowhere(&self) -> Error {
        Error::bad_request(format!("{} glance endpoint not found for region {}", self.interface, self.region))
    }
}

impl Becoming {
    pub fn apply(&self, image: &mut Image) {
        if let Some(format) = &self.disk_format {
            image.disk_format = Some(format.clone());
        }
        if let Some(format) = &self.container_format {
            image.container_format = Some(format.clone());
        }
        image.properties.extend(self.properties.clone());
    }
}

impl Described {
    /// Reads the image's JSON. `copied` says how the names of properties begin that are taken over.
    ///
    /// # Errors
    /// `BadRequest` for an image that has no bytes yet, or a description that can't be believed.
    pub fn read(text: &[u8], copied: &[String]) -> Result<Self> {
        let wrong = |what: &str| Error::bad_request(format!("The remote image can't be used: {what}"));
        let image: Map<String, Value> =
            serde_json::from_slice(text).map_err(|_| wrong("its description is no JSON object"))?;
        let word = |name: &str| image.get(name).and_then(Value::as_str);
        let status = word("status").unwrap_or("unknown");
        if status != "active" {
            let shown: String = status.chars().take(32).collect();
            return Err(Error::bad_request(format!("Source image status should be active instead of {shown}")));
        }
        let size = image.get("size").and_then(Value::as_u64);
        let known = |name: &str, formats: &[&str]| {
            let format = word(name).filter(|format| formats.contains(format));
            format.map(str::to_owned).ok_or_else(|| wrong(&format!("its {name} is not known here")))
        };
        let hash = |text: Option<&str>, length: usize| {
            let is_hash = |text: &&str| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            text.filter(is_hash).map(str::to_lowercase)
        };
        let sha512 = (word("os_hash_algo") == Some("sha512")).then(|| word("os_hash_value")).flatten();
        let is_copied = |name: &str| copied.iter().any(|start| name.starts_with(start.as_str()));
        let mut properties = BTreeMap::new();
        for (name, value) in &image {
            let is_free = is_property(name) && name != "locations" && !name.starts_with(RESERVED_PREFIX);
            if let Some(text) = value.as_str().filter(|_| is_free && is_copied(name)) {
                if name.len() > NAME || text.len() > TEXT || text.contains('\0') || name.contains('\0') {
                    return Err(wrong("one of its properties is too long"));
                }
                properties.insert(name.clone(), text.to_owned());
            }
        }
        Ok(Self {
            size: size.ok_or_else(|| wrong("its size could not be determined"))?,
            sha512: hash(sha512, 128),
            md5: hash(word("checksum"), 32),
            becoming: Becoming {
                disk_format: Some(known("disk_format", &DISK_FORMATS)?),
                container_format: Some(known("container_format", &CONTAINER_FORMATS)?),
                properties,
            },
        })
    }
}

impl Described {
    /// Are these the hashes of its bytes?
    ///
    /// # Errors
    /// `BadRequest` where the other side said otherwise.
    pub fn check(&self, sha512: &str, md5: &str) -> Result<()> {
        let differs = |said: &Option<String>, is: &str| said.as_ref().is_some_and(|said| said != is);
        if differs(&self.sha512, sha512) || differs(&self.md5, md5) {
            return Err(Error::bad_request("The remote image's bytes have another hash than its service says"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn copied() -> Vec<String> {
        COPIED.map(str::to_owned).into()
    }

    fn read(image: &Value) -> Result<Described> {
        Described::read(image.to_string().as_bytes(), &copied())
    }

    fn image() -> Value {
        json!({
            "status": "active", "size": 5, "disk_format": "raw", "container_format": "bare", "os_hash_algo": "sha512",
            "os_hash_value": "AB".repeat(64), "checksum": "cd".repeat(16), "hw_cpu_cores": "5", "trait:X": "required",
            "os_distro": "rhel", "speed": "88mph", "hw_number": 5, "os_type": null,
        })
    }

    #[test]
    fn listed_properties_are_taken_over_and_no_others() {
        let described = read(&image()).unwrap();
        assert_eq!(
            (described.size, described.sha512, described.md5),
            (5, Some("ab".repeat(64)), Some("cd".repeat(16)))
        );
        let names: Vec<_> = described.becoming.properties.keys().map(String::as_str).collect();
        assert_eq!(names, ["hw_cpu_cores", "os_distro", "trait:X"]);
        let all = Described::read(image().to_string().as_bytes(), &["os_".to_owned(), "status".to_owned()]).unwrap();
        assert_eq!(all.becoming.properties.into_keys().collect::<Vec<_>>(), ["os_distro"], "no field is a property");
    }

    #[test]
    fn what_the_other_side_says_is_believed_only_where_it_can_be_true() {
        for (name, value) in [
            ("status", json!("queued")),
            ("size", json!("5")),
            ("size", json!(-1)),
            ("size", Value::Null),
            ("disk_format", json!("exe")),
            ("container_format", Value::Null),
            ("hw_long", json!("x".repeat(TEXT + 1))),
        ] {
            let mut image = image();
            image[name] = value.clone();
            assert!(matches!(read(&image), Err(Error::BadRequest(_))), "{name}: {value}");
        }
        assert!(Described::read(b"[]", &copied()).is_err() && Described::read(b"{", &copied()).is_err());
        let mut other = image();
        other["os_hash_algo"] = json!("sha256");
        other["checksum"] = json!("none");
        let described = read(&other).unwrap();
        assert_eq!((described.sha512, described.md5), (None, None));
        let hostile = json!({"os_glance_importing_to_stores": "fast", "locations": "x"});
        let mut image = image();
        image.as_object_mut().unwrap().extend(hostile.as_object().unwrap().clone());
        let described = Described::read(image.to_string().as_bytes(), &["os_".to_owned(), "loc".to_owned()]).unwrap();
        assert_eq!(described.becoming.properties.into_keys().collect::<Vec<_>>(), ["os_distro"]);
    }

    #[test]
    fn the_endpoint_is_the_regions_own_of_the_interface_that_was_named() {
        let endpoint =
            |region: &str, interface: &str, url: &str| json!({"region": region, "interface": interface, "url": url});
        let catalog = json!([
            {"type": "identity", "endpoints": [endpoint("Two", "public", "http://identity")]},
            {"type": "image", "endpoints": [endpoint("One", "public", "http://one"), endpoint("Two", "internal", "http://in"),
                                            endpoint("Two", "public", "http://two")]},
        ]);
        let id = "36d4b546-64a2-4bb9-bdd0-ba676aa48f2c";
        for (region, interface, expected) in [
            ("two", None, Some("http://two")),
            ("Two", Some("internal"), Some("http://in")),
            ("Two", Some("admin"), None),
            ("Three", None, None),
        ] {
            let mut method = json!({"glance_region": region, "glance_image_id": id});
            if let Some(interface) = interface {
                method["glance_service_interface"] = json!(interface);
            }
            let remote = Remote::of(&method).unwrap();
            assert_eq!(remote.endpoint(&catalog).as_deref(), expected, "{method}");
        }
        for method in [
            json!({"glance_region": "One"}),
            json!({"glance_image_id": id}),
            json!({"glance_region": "One", "glance_image_id": "../x"}),
        ] {
            assert!(Remote::of(&method).is_err(), "{method}");
        }
    }
}
