//! Tokens: Keystone's JWS form, signed with ES256.
//!
//! A token says who logged in, how, for which scope and until when; it says nothing of roles, which are looked up as they
//! are when the token is used. The claims are those of Keystone's JWS provider, so that what reads Keystone's tokens reads
//! ours; `gapura_issued_us` is ours, because whole seconds can't tell a token from one revoked in the same second.

use crate::clock::Timestamp;
use crate::cloud::identity::{Caller, Scope};
use crate::error::{Error, Result};
use crate::ids::{DomainId, ProjectId, UserId};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// No token of ours comes near this; anything longer is not looked at.
pub const LONGEST: usize = 4096;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub sub: UserId,
    /// Whole seconds since 1970.
    pub iat: i64,
    /// Whole seconds since 1970.
    pub exp: i64,
    #[serde(rename = "openstack_methods")]
    pub methods: Vec<String>,
    #[serde(rename = "openstack_audit_ids")]
    pub audit_ids: Vec<String>,
    #[serde(rename = "openstack_system", default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    #[serde(rename = "openstack_domain_id", default, skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<DomainId>,
    #[serde(rename = "openstack_project_id", default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    #[serde(rename = "openstack_app_cred_id", default, skip_serializing_if = "Option::is_none")]
    pub application_credential_id: Option<String>,
    #[serde(rename = "openstack_trust_id", default, skip_serializing_if = "Option::is_none")]
    pub trust_id: Option<String>,
    #[serde(rename = "gapura_issued_us")]
    pub issued_at: Timestamp,
}

impl Claims {
    pub const fn expires_at(&self) -> Timestamp {
        Timestamp(self.exp * 1_000_000)
    }

    /// The audit id that the token's chain began with.
    pub fn chain_id(&self) -> Option<&str> {
        self.audit_ids.last().map(String::as_str)
    }
}

/// What a token tells those who verify it without asking. Nothing here ever reads it back: [`Claims`] has no such fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The identity epoch that it was issued at.
    #[serde(rename = "gapura_epoch")]
    pub epoch: i64,
    /// The roles held then, by name. Left out of a token that can't be verified without asking: what was delegated ends
    /// with what others lose, access rules bind it to requests; and a token must not get too long.
    #[serde(rename = "gapura_roles", skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The domain of the user, then that of the scope.
    #[serde(rename = "gapura_domains")]
    pub domains: Vec<DomainId>,
}

impl Told {
    /// What there is to tell of a caller.
    pub fn of(caller: &Caller, epoch: i64) -> Self {
        let mut domains = vec![caller.user_domain.id.clone()];
        if let Scope::Project { domain, .. } | Scope::Domain(domain) = &caller.scope {
            domains.push(domain.id.clone());
        }
        let roles = || caller.roles.iter().map(|role| role.name.clone()).collect();
        Self { epoch, roles: (!caller.is_delegated()).then(roles), domains }
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    claims: &'a Claims,
    #[serde(flatten)]
    told: &'a Told,
}

/// A random audit id: 16 bytes as 22 characters.
pub fn audit_id() -> String {
    URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes())
}

/// A key pair that tokens are signed with.
pub struct SigningKey {
    /// Names the key in a token's header; a digest of its public half.
    pub kid: String,
    /// PKCS#8, DER.
    pub private: Vec<u8>,
    /// Read once: jsonwebtoken's own signing reads the key from its DER for each token, which costs as much as to sign.
    pair: EcdsaKeyPair,
    /// The first part of every token, with its dot.
    header: String,
    decoding: DecodingKey,
}

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn generate() -> Result<Self> {
        let failed = |_| Error::internal("a token key could not be made", "the generator failed");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let der = pair.to_pkcs8v1().map_err(failed)?;
        Self::from_pkcs8(der.as_ref())
    }

    /// Reads a key that was kept.
    ///
    /// # Errors
    /// `Internal` when the bytes are no P-256 key.
    pub fn from_pkcs8(private: &[u8]) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private)
            .map_err(|why| Error::internal("a token key could not be read", why.to_string()))?;
        let public = pair.public_key().as_ref();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
        let kid = hex::encode(&digest.as_ref()[..8]);
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::ES256) };
        let header = serde_json::to_vec(&header).expect("a header is text and nothing else");
        let decoding = DecodingKey::from_ec_der(public);
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header));
        Ok(Self { kid, private: private.to_vec(), pair, header, decoding })
    }
}

impl SigningKey {
    /// The public half as a JSON Web Key.
    pub fn jwk(&self) -> serde_json::Value {
        // `04`, then both coordinates.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        serde_json::json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

/// The key that signs, and all that verify.
pub struct KeyRing {
    signing: String,
    keys: HashMap<String, SigningKey>,
}

impl KeyRing {
    /// A ring of keys, oldest first: the newest signs.
    ///
    /// # Errors
    /// `Internal` when there is none.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self> {
        let signing = keys.last().map(|key| key.kid.clone());
        let signing = signing.ok_or_else(|| Error::internal("there is no token key", "the ring is empty"))?;
        Ok(Self { signing, keys: keys.into_iter().map(|key| (key.kid.clone(), key)).collect() })
    }

    /// Every public key, the one that signs first.
    pub fn jwks(&self) -> Vec<serde_json::Value> {
        let mut keys: Vec<&SigningKey> = self.keys.values().collect();
        keys.sort_by_key(|key| (key.kid != self.signing, key.kid.clone()));
        keys.into_iter().map(SigningKey::jwk).collect()
    }

    pub fn has(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// Writes the claims, with what is told besides, as a signed token.
    ///
    /// # Errors
    /// `Internal` when signing fails.
    pub fn sign_and_tell(&self, claims: &Claims, told: &Told) -> Result<String> {
        let token = self.signed(&Whole { claims, told })?;
        if token.len() <= LONGEST || told.roles.is_none() {
            return Ok(token);
        }
        self.sign_and_tell(claims, &Told { roles: None, ..told.clone() })
    }

    /// Writes the claims as a signed token.
    ///
    /// # Errors
    /// `Internal` when signing fails.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        self.signed(claims)
    }

    fn signed(&self, claims: &impl Serialize) -> Result<String> {
        let key = self.keys.get(&self.signing).expect("a ring holds the key that it signs with");
        let claims = serde_json::to_vec(claims).map_err(|why| Error::internal("a token could not be written", why))?;
        let mut token = key.header.clone();
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = key.pair.sign(&SystemRandom::new(), token.as_bytes());
        let signature = signature.map_err(|_| Error::internal("a token could not be signed", "the library failed"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Reads a token that one of the ring's keys has signed; whether it has expired is not looked at.
    ///
    /// # Errors
    /// `Unauthorized` for anything else, without a word about why.
    pub fn verify(&self, token: &str) -> Result<Claims> {
        let key = kid_of(token).and_then(|kid| self.keys.get(&kid)).ok_or_else(invalid)?;
        let mut validation = Validation::new(Algorithm::ES256);
        // The program's own clock decides about expiry, with the rest of what is true now.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let token = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation).map_err(|_| invalid())?;
        if token.claims.audit_ids.is_empty() {
            return Err(invalid());
        }
        Ok(token.claims)
    }
}

/// The key that a token claims to be signed with; `None` when it is no token of ours at all.
pub fn kid_of(token: &str) -> Option<String> {
    if token.len() > LONGEST {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    (header.alg == Algorithm::ES256).then_some(header.kid)?
}

fn invalid() -> Error {
    Error::Unauthorized("The request you have made requires authentication.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            sub: "alice".into(),
            iat: 1,
            exp: 3601,
            methods: vec!["password".to_owned()],
            audit_ids: vec![audit_id()],
            system: None,
            domain_id: None,
            project_id: Some("p1".into()),
            application_credential_id: None,
            trust_id: None,
            issued_at: Timestamp(1_000_001),
        }
    }

    fn ring() -> KeyRing {
        KeyRing::new(vec![SigningKey::generate().unwrap()]).unwrap()
    }

    #[test]
    fn a_token_is_read_back_by_its_ring_and_by_no_other() {
        let ring = ring();
        let token = ring.sign(&claims()).unwrap();
        assert_eq!(ring.verify(&token).unwrap().sub, "alice".into());
        assert!(self::ring().verify(&token).is_err());
    }

    #[test]
    fn a_kept_key_reads_what_it_signed_and_a_newer_one_signs() {
        let old = SigningKey::generate().unwrap();
        let kept = SigningKey::from_pkcs8(&old.private).unwrap();
        let token = KeyRing::new(vec![old]).unwrap().sign(&claims()).unwrap();
        let newer = SigningKey::generate().unwrap();
        let newest = newer.kid.clone();
        let both = KeyRing::new(vec![kept, newer]).unwrap();
        assert!(both.verify(&token).is_ok());
        assert_eq!(kid_of(&both.sign(&claims()).unwrap()), Some(newest));
    }

    #[test]
    fn a_token_with_another_algorithm_or_none_is_refused() {
        let ring = ring();
        let token = ring.sign(&claims()).unwrap();
        let kid = kid_of(&token).unwrap();
        let payload = token.split('.').nth(1).unwrap();
        for alg in ["none", "HS256", "ES384", "RS256"] {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#));
            for signature in ["", token.rsplit('.').next().unwrap()] {
                assert!(ring.verify(&format!("{header}.{payload}.{signature}")).is_err(), "{alg}");
            }
        }
    }

    #[test]
    fn a_token_with_too_many_roles_to_tell_tells_none_and_is_still_a_token() {
        let ring = ring();
        let told = |count: usize| {
            let roles = (0..count).map(|number| format!("{number}-{}", "x".repeat(40))).collect();
            Told { epoch: 7, roles: Some(roles), domains: vec!["d".into()] }
        };
        for (count, tells) in [(2, true), (100, false)] {
            let token = ring.sign_and_tell(&claims(), &told(count)).unwrap();
            assert!(token.len() <= LONGEST);
            assert_eq!(ring.verify(&token).unwrap().sub, "alice".into());
            let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
            let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            assert_eq!((payload.get("gapura_roles").is_some(), &payload["gapura_epoch"]), (tells, &7.into()));
        }
    }

    #[test]
    fn a_public_key_names_its_curve_its_coordinates_and_the_kid_that_tokens_carry() {
        let ring = ring();
        let key = ring.jwks().remove(0);
        assert_eq!(key["kid"].as_str(), kid_of(&ring.sign(&claims()).unwrap()).as_deref());
        assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&"EC".into(), &"P-256".into(), &"ES256".into()));
        for coordinate in ["x", "y"] {
            assert_eq!(URL_SAFE_NO_PAD.decode(key[coordinate].as_str().unwrap()).unwrap().len(), 32);
        }
        assert!(!key.to_string().contains("\"d\""), "no private half");
    }

    #[test]
    fn a_changed_or_overlong_token_and_garbage_are_refused() {
        let ring = ring();
        let token = ring.sign(&claims()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let forged = serde_json::to_vec(&Claims { sub: "mallory".into(), ..claims() }).unwrap();
        let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(forged), parts[2]);
        let long = format!("{token}{}", "A".repeat(LONGEST));
        for bad in [forged.as_str(), long.as_str(), "", "..", "a.b.c", "gAAAAABexample"] {
            assert!(ring.verify(bad).is_err(), "{bad}");
        }
    }
}
