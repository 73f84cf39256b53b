//! What `POST /servers` takes, at every version.

use super::block_devices::Drive;
use super::common::{Metadata, Name};
use super::older_block_devices::OlderDrive;
use crate::http::json::{
    Base64Text, Between, FlexibleBool, Invalid, Map, Maybe, OneOf, Parse, Path, Text, Words, python_repr,
};
use crate::http::microversion::Microversion;
use crate::ids::{NetworkId, PortId};
use crate::versioned;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The first version at which `networks` may be a word, and must be there.
const NETWORKS_MAY_BE_A_WORD: Microversion = super::versions::NETWORKS_MAY_BE_A_WORD;

versioned! {
    request ServerCreate strict {
        "server" required => server: NewServer,
        "os:scheduler_hints" => hints: Maybe<Map>,
        "OS-SCH-HNT:scheduler_hints" => older_hints: Maybe<Map>,
    }
}

versioned! {
    request NewServer strict {
        "name" required => name: Name,
        "imageRef" => image_ref: Maybe<String>,
        "flavorRef" required => flavor_ref: FlavorRef,
        "adminPass" => admin_pass: Maybe<String>,
        "metadata" => metadata: Maybe<Metadata>,
        "networks" required_since(37) => networks: Maybe<NetworkChoice>,
        "OS-DCF:diskConfig" => disk_config: Maybe<OneOf<DiskConfigs>>,
        "accessIPv4" => access_ip_v4: Maybe<AddressText>,
        "accessIPv6" => access_ip_v6: Maybe<AddressText>,
        "personality" until(57) => personality: Maybe<Vec<File>>,
        "availability_zone" => availability_zone: Maybe<Name>,
        "block_device_mapping" => older_block_devices: Maybe<Vec<OlderDrive>>,
        "block_device_mapping_v2" => block_devices: Maybe<Vec<Drive>>,
        #[expect(dead_code, reason = "every server gets one, and shows that it has")]
        "config_drive" => config_drive: Maybe<FlexibleBool>,
        "key_name" => key_name: Maybe<Name>,
        "min_count" => min_count: Maybe<Between<1, 1000>>,
        "max_count" => max_count: Maybe<Between<1, 1000>>,
        "return_reservation_id" => return_reservation_id: Maybe<FlexibleBool>,
        "security_groups" => security_groups: Maybe<Vec<Group>>,
        "user_data" => user_data: Maybe<Base64Text<65535>>,
        "description" since(19) => description: Option<Text<0, 255>>,
        "tags" since(52) => tags: Maybe<Vec<Tag>>,
        "trusted_image_certificates" since(63) => trusted_image_certificates: Maybe<Option<Certificates>>,
        "host" since(74) => host: Maybe<Name>,
        "hypervisor_hostname" since(74) => hypervisor_hostname: Maybe<Name>,
        "hostname" since(90) => hostname: Maybe<Text<2, 255>>,
    }
}

versioned! {
    request Group strict { "name" required => name: Name }
}
versioned! {
    request File strict { "path" required => path: Text<1, 255>, "contents" required => contents: Base64Text<1048576> }
}

#[derive(Debug, Clone)]
pub struct DiskConfigs;

impl Words for DiskConfigs {
    const WORDS: &'static [&'static str] = &["AUTO", "MANUAL"];
}

/// A flavor's id, as text or as a number; older clients send its whole address.
#[derive(Debug, Clone)]
pub struct FlavorRef(pub String);

impl Parse for FlavorRef {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> std::result::Result<Self, Invalid> {
        match value {
            Value::String(text) if text.is_empty() => {
                let value = Value::String(text);
                Err(path.refuse(&value, "'' is too short"))
            }
            Value::String(text) => Ok(Self(text.rsplit('/').next().unwrap_or_default().to_owned())),
            Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(path.wrong_type(&other, "string|integer")),
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["string", "integer"], "minLength": 1})
    }
}

/// An IP address in its shortest form, as upstream keeps it; empty for none.
#[derive(Debug, Clone, Default)]
pub struct AddressText(pub String);

impl Parse for AddressText {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let text = String::parse(value, path, version)?;
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(address.to_string())),
            Err(_) => {
                let value = Value::String(text);
                Err(path.refuse(&value, format!("{} is not a 'ip'", python_repr(&value))))
            }
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "ip"})
    }
}

/// A tag: 1 to 60 characters, without commas and slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub String);

impl Parse for Tag {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let Text(text) = Text::<1, 60>::parse(value, path, version)?;
        if text.contains([',', '/']) {
            let value = Value::String(text);
            return Err(path.refuse(&value, format!("{} does not match '^[^,/]*$'", python_repr(&value))));
        }
        Ok(Self(text))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": 60, "pattern": "^[^,/]*$"})
    }
}

/// Ids of the certificates that may have signed an image: 1 to 50, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates(pub Vec<String>);

impl Parse for Certificates {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let whole = value.clone();
        let ids: Vec<String> =
            Vec::<Text<1, 65535>>::parse(value, path, version)?.into_iter().map(|text| text.0).collect();
        let shown = python_repr(&whole);
        if ids.is_empty() {
            return Err(path.refuse(&whole, format!("{shown} should be non-empty")));
        }
        if ids.len() > 50 {
            return Err(path.refuse(&whole, format!("{shown} is too long")));
        }
        if ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id)) {
            return Err(path.refuse(&whole, format!("{shown} has non-unique elements")));
        }
        Ok(Self(ids))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "array", "minItems": 1, "maxItems": 50, "uniqueItems": true,
               "items": {"type": "string", "minLength": 1}})
    }
}

/// What a server shall be connected to.
#[derive(Debug, Clone)]
pub enum NetworkChoice {
    /// Nothing was said: the only network there is, or none.
    Unsaid,
    /// The only network there is; an error when there is none.
    Auto,
    None,
    These(Vec<Nic>),
}

#[derive(Debug, Clone)]
pub struct Nic {
    pub network: Option<NetworkId>,
    pub port: Option<PortId>,
    pub fixed_ip: Option<IpAddr>,
    pub tag: Option<String>,
}

versioned! {
    request NicFields strict {
        "uuid" => uuid: Maybe<String>,
        "port" => port: Option<String>,
        "fixed_ip" => fixed_ip: Maybe<AddressText>,
        "tag" since(32) => tag: Maybe<Tag>,
    }
}

impl Parse for Nic {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let shown = value.clone();
        let fields = NicFields::parse(value, path, version)?;
        let refuse = |text: &str| {
            path.refuse(&shown, format!("{} is not a 'uuid'", python_repr(&Value::String(text.to_owned()))))
        };
        let network = match fields.uuid.given() {
            None => None,
            Some(text) => Some(NetworkId::parse(&text).ok_or_else(|| {
                path.refuse(&shown, format!("Bad networks format: network uuid is not in proper format ({text})"))
            })?),
        };
        let port = match fields.port {
            None => None,
            Some(text) => Some(PortId::parse(&text).ok_or_else(|| refuse(&text))?),
        };
        let fixed_ip = fields.fixed_ip.given().and_then(|text| text.0.parse().ok());
        Ok(Self { network, port, fixed_ip, tag: fields.tag.given().map(|tag| tag.0) })
    }

    fn schema(version: Microversion) -> Value {
        NicFields::schema(version)
    }

    fn boundaries(into: &mut Vec<u16>) {
        NicFields::boundaries(into);
    }
}

impl Parse for NetworkChoice {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        match &value {
            Value::String(text) if version >= NETWORKS_MAY_BE_A_WORD => match text.as_str() {
                "auto" => Ok(Self::Auto),
                "none" => Ok(Self::None),
                _ => Err(path.refuse(&value, format!("{} is not one of ['none', 'auto']", python_repr(&value)))),
            },
            _ => Vec::<Nic>::parse(value, path, version).map(Self::These),
        }
    }

    fn schema(version: Microversion) -> Value {
        let list = Vec::<Nic>::schema(version);
        if version >= NETWORKS_MAY_BE_A_WORD {
            json!({"oneOf": [list, {"type": "string", "enum": ["none", "auto"]}]})
        } else {
            list
        }
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.push(NETWORKS_MAY_BE_A_WORD.0);
        Nic::boundaries(into);
    }
}
