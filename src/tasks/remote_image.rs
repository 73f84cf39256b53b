//! Fetching from another region's image service, with the token of whoever asked.
//!
//! Where that service is, the operator's catalogue says, so its address may well be an inner one: what guards a fetch from
//! the web asks of addresses, nobody has to ask here. The rest holds: no redirection is followed, because a token goes along
//! and goes to nobody else (CVE-2026-34881), no proxy is known, and a description is read up to a bound. The token is sealed
//! while the work waits, so that who reads the database can't act as its owner.

use super::fetch::{CONNECT, Fetched, SILENCE};
use crate::clock::Timestamp;
use crate::cloud::image::remote::{Described, Remote};
use crate::error::{Error, Result};
use crate::ids::TaskId;
use crate::vault::{Sealed, Vault};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

/// The longest description of an image.
const DESCRIPTION: usize = 4 << 20;
const SERVICE: &str = "The remote image service";

/// Whence, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub remote: Remote,
    /// Of the image service, by the catalogue of when it was asked for; there may be none.
    pub endpoint: Option<String>,
    /// The token, and the key that it is sealed with.
    key_id: String,
    token: String,
}

fn purpose(task: TaskId) -> String {
    format!("glance-download {task}")
}

impl Source {
    /// # Errors
    /// `Internal` when the token can't be sealed.
    pub fn new(
        vault: &Vault,
        task: TaskId,
        remote: Remote,
        endpoint: Option<String>,
        token: &str,
        now: Timestamp,
    ) -> Result<Self> {
        let Sealed { key_id, text } = vault.seal(&purpose(task), token, now)?;
        Ok(Self { remote, endpoint, key_id, token: text })
    }

    /// What the other side says of the image. `copied`: as [`Described::read`].
    ///
    /// # Errors
    /// `BadRequest` for an image that can't be had, `Unavailable` when nobody answers.
    pub async fn describe(&self, vault: &Vault, task: TaskId, copied: &[String], now: Timestamp) -> Result<Described> {
        let response = self.ask(vault, task, "", now).await?;
        let mut text = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            text.extend_from_slice(&piece.map_err(|error| Error::unavailable(SERVICE, error.without_url()))?);
            if text.len() > DESCRIPTION {
                return Err(Error::bad_request("The remote image's description is too long"));
            }
        }
        Described::read(&text, copied)
    }

    /// Begins to fetch the bytes.
    ///
    /// # Errors
    /// As [`Self::describe`].
    pub async fn open(&self, vault: &Vault, task: TaskId, now: Timestamp) -> Result<Fetched> {
        let response = self.ask(vault, task, "/file", now).await?;
        let length = response.content_length();
        let bytes = response.bytes_stream().map_err(|error| Error::unavailable(SERVICE, error.without_url())).boxed();
        Ok(Fetched { length, bytes })
    }

    async fn ask(&self, vault: &Vault, task: TaskId, what: &str, now: Timestamp) -> Result<reqwest::Response> {
        let endpoint = self.endpoint.as_deref().ok_or_else(|| self.remote.nowhere())?;
        let lost = || Error::bad_request("The token that the import was asked for with can't be read any more");
        let token = vault.open(&purpose(task), &self.key_id, &self.token, now).ok_or_else(lost)?;
        let base = endpoint.trim_end_matches('/');
        let base = base.strip_suffix("/v2").unwrap_or(base);
        let url = reqwest::Url::parse(&format!("{base}/v2/images/{}{what}", self.remote.image));
        let url =
            url.ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| self.remote.nowhere())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .http1_only()
            .build()
            .map_err(|error| Error::internal("The remote image service can't be called", error))?;
        let request = client.get(url).header("x-auth-token", token).header(http::header::ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(|error| Error::unavailable(SERVICE, error.without_url()))?;
        match response.status().as_u16() {
            200 => Ok(response),
            status @ (429 | 502 | 503 | 504) => Err(Error::unavailable(SERVICE, format!("it answered HTTP {status}"))),
            status => Err(Error::bad_request(format!("The remote image service answered HTTP {status}"))),
        }
    }
}
