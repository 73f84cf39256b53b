//! What `POST /v3/OS-TRUST/trusts` takes.

use crate::api::identity::answer::invalid;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Invalid, Map, Parse, Path};
use crate::http::microversion::Microversion;
use crate::ids::RoleId;
use crate::store::{Tx, roles};
use serde_json::{Value, json};

crate::versioned! {
    request TrustCreate open {
        "trust" required => trust: NewTrust,
    }
}

crate::versioned! {
    request NewTrust open {
        "trustor_user_id" required => trustor_user_id: String,
        "trustee_user_id" required => trustee_user_id: String,
        "impersonation" required   => impersonation: bool,
        "project_id"               => project_id: Option<String>,
        "roles"                    => roles: Option<Vec<TrustRole>>,
        "expires_at"               => expires_at: Option<String>,
        "remaining_uses"           => remaining_uses: Option<Uses>,
        "allow_redelegation"       => allow_redelegation: Option<bool>,
        "redelegation_count"       => redelegation_count: Option<i64>;
        flatten                    => extra
    }
}

/// A whole number of tokens, at least one.
#[derive(Debug, Clone, Copy)]
pub struct Uses(i64);

impl Parse for Uses {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let number = i64::parse(value.clone(), path, version)?;
        if number < 1 {
            return Err(path.refuse(&value, format!("{number} is less than the minimum of 1")));
        }
        Ok(Self(number))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "integer", "minimum": 1})
    }
}

/// A role by its id or by its name, and nothing else.
#[derive(Debug, Clone)]
pub enum TrustRole {
    Id(String),
    Name(String),
}

impl Parse for TrustRole {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let map = Map::parse(value.clone(), path, version)?;
        let mut parts = map.into_iter();
        match (parts.next(), parts.next()) {
            (Some((key, Value::String(text))), None) if key == "id" => Ok(Self::Id(text)),
            (Some((key, Value::String(text))), None) if key == "name" => Ok(Self::Name(text)),
            _ => Err(path.refuse(&value, "a role is said by its 'id' or by its 'name'")),
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({
            "type": "object",
            "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        })
    }
}

impl TrustRole {
    /// # Errors
    /// `NotFound` for a name that no role has.
    pub fn find(&self, tx: &mut Tx) -> Result<RoleId> {
        match self {
            Self::Id(id) => Ok(RoleId(id.clone())),
            Self::Name(name) => match roles::by_name(tx, name)? {
                Some(role) => Ok(role.id),
                None => Err(Error::not_found(Kind::Role, name)),
            },
        }
    }
}

impl NewTrust {
    pub fn uses(&self) -> Option<i64> {
        self.remaining_uses.map(|uses| uses.0)
    }

    /// No depth of redelegation is to be had: the answers are upstream's for a cloud that is set so.
    ///
    /// # Errors
    /// `Forbidden` for a depth, `BadRequest` for one that is none, and for uses that are counted though the trust shall be handed on.
    pub fn check_redelegation(&self) -> Result<()> {
        let depth = self.redelegation_count.unwrap_or(0);
        if depth < 0 {
            let why = format!("{depth} is less than the minimum of 0");
            return Err(invalid("redelegation_count", &json!(depth), &why));
        }
        if !self.allow_redelegation.unwrap_or(false) || self.redelegation_count == Some(0) {
            return Ok(());
        }
        if depth > 0 {
            return Err(Error::Forbidden("You are not authorized to perform the requested action.".to_owned()));
        }
        if self.remaining_uses.is_some() {
            return Err(Error::bad_request("remaining_uses must not be set if redelegation is allowed"));
        }
        Ok(())
    }

    /// What upstream has no name for is kept as it came; what only answers carry is not.
    pub fn kept(&self) -> Map {
        let answered = ["id", "links", "roles_links", "deleted_at", "redelegated_trust_id"];
        self.extra.clone().into_iter().filter(|(key, _)| !answered.contains(&key.as_str())).collect()
    }
}
