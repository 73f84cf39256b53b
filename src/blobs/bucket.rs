//! Opening a bucket of S3, Google or Azure, and what only its own interface tells of it: uploads in parts that nobody
//! finished.
//!
//! How long a bucket may be silent is set here. A whole answer may take any time, for clients read images as slowly as
//! they like and their pace is the bucket's; only silence ends a request. Who uploads waits for the answer, so a bucket
//! that is away is asked again for seconds, not for minutes.

use crate::clock::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, Result, RetryConfig};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a bucket may send nothing before a request counts as lost, also while it takes a part.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a request that failed is tried again, unless the option `retry_timeout` says otherwise, in seconds: a gateway
/// that is started anew is back by then.
const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a signed question is good for.
const SIGNED_FOR: Duration = Duration::from_secs(60);
const GOOGLE: &str = "https://storage.googleapis.com";

/// A bucket, and the way to its unfinished uploads where there is one.
pub type Opened = (Arc<dyn ObjectStore>, Option<Unfinished>);

macro_rules! builder {
    ($builder:ty, $key:ident, $url:expr, $options:expr) => {{
        let (mut client, mut builder) = (client(), <$builder>::new().with_url($url.as_str()));
        let mut patience = PATIENCE;
        for (name, value) in $options {
            let name = name.to_ascii_lowercase();
            if name == "retry_timeout" {
                patience = Duration::from_secs(value.parse().map_err(unclear)?);
                continue;
            }
            match name.parse() {
                Ok($key::Client(key)) => client = client.with_config(key, value),
                Ok(key) => builder = builder.with_config(key, value),
                // Another provider's.
                Err(_) => {}
            }
        }
        (builder.with_retry(retry(patience)).with_client_options(client.clone()), client)
    }};
}

pub fn open_s3(url: &Url, options: impl Iterator<Item = (String, String)>) -> Result<Opened> {
    let (builder, client) = builder!(AmazonS3Builder, AmazonS3ConfigKey, url, options);
    let s3 = Arc::new(builder.build()?);
    let client = ReqwestConnector::default().connect(&client)?;
    Ok((s3.clone(), Some(Unfinished { bucket: Bucket::S3(s3), client })))
}

pub fn open_google(url: &Url, options: impl Iterator<Item = (String, String)>) -> Result<Opened> {
    let (builder, client) = builder!(GoogleCloudStorageBuilder, GoogleConfigKey, url, options);
    let name = url.host_str().unwrap_or_default();
    let address = Url::parse(&format!("{}/{name}", base_of_google(&builder)?)).map_err(unclear)?;
    let google = Arc::new(builder.build()?);
    let client = ReqwestConnector::default().connect(&client)?;
    Ok((google.clone(), Some(Unfinished { bucket: Bucket::Google(google, address), client })))
}

/// Where buckets are asked for, which `object_store` finds in the same places and does not tell.
fn base_of_google(builder: &GoogleCloudStorageBuilder) -> Result<String> {
    let set = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let key = match builder.get_config_value(&GoogleConfigKey::ServiceAccount) {
        Some(path) => Some(std::fs::read_to_string(path).map_err(unclear)?),
        None => builder.get_config_value(&GoogleConfigKey::ServiceAccountKey),
    };
    let in_key = || Some(key?.parse::<serde_json::Value>().ok()?["gcs_base_url"].as_str()?.to_owned());
    Ok(set.or_else(in_key).unwrap_or_else(|| GOOGLE.to_owned()))
}

pub fn open_azure(url: &Url, options: impl Iterator<Item = (String, String)>) -> Result<Opened> {
    let (builder, _) = builder!(MicrosoftAzureBuilder, AzureConfigKey, url, options);
    // What was sent and not listed is gone after a week by itself, and is in no list meanwhile.
    Ok((Arc::new(builder.build()?), None))
}

fn client() -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_read_timeout(SILENCE)
}

fn retry(patience: Duration) -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: usize::MAX, retry_timeout: patience }
}

/// The uploads in parts that were begun in a bucket and neither completed nor aborted. They show in no listing of
/// objects, and are paid for. S3 and Google are asked the same and answer the same.
#[derive(Debug, Clone)]
pub struct Unfinished {
    bucket: Bucket,
    client: HttpClient,
}

#[derive(Debug, Clone)]
enum Bucket {
    S3(Arc<AmazonS3>),
    /// And its address.
    Google(Arc<GoogleCloudStorage>, Url),
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Begun {
    pub key: Path,
    pub id: String,
    pub at: Timestamp,
}

impl Unfinished {
    /// Those whose keys begin with these characters.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Begun>> {
        let mut all = Vec::new();
        let mut after = Some((String::new(), String::new()));
        while let Some((key, id)) = after {
            let mut query = vec![("uploads", String::new()), ("prefix", prefix.to_owned())];
            if !key.is_empty() {
                query.extend([("key-marker", key), ("upload-id-marker", id)]);
            }
            let text = self.ask(query).await?;
            let (page, next) = read(&text).ok_or_else(|| unclear("its list of uploads can't be read"))?;
            // A page that leads nowhere would be asked for again and again.
            after = next.filter(|_| !page.is_empty());
            all.extend(page);
        }
        Ok(all)
    }

    async fn ask(&self, query: Vec<(&'static str, String)>) -> Result<String> {
        let request = self.request(query).await?;
        let answer = self.client.execute(request).await.map_err(unclear)?;
        let status = answer.status();
        let text = answer.into_body().bytes().await.map_err(unclear)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if status.is_success() { Ok(text) } else { Err(unclear(format!("{status}: {text}"))) }
    }

    /// `object_store` has no such question; it signs it, or tells what to show.
    async fn request(&self, query: Vec<(&'static str, String)>) -> Result<HttpRequest> {
        let asked = match &self.bucket {
            Bucket::S3(s3) => {
                let options = SignedUrlOptions::new().with_query(query);
                let url = s3.signed_url_opts(http::Method::GET, &Path::default(), SIGNED_FOR, &options).await?;
                http::Request::get(url.as_str())
            }
            Bucket::Google(google, address) => {
                let mut url = address.clone();
                url.query_pairs_mut().extend_pairs(query);
                let token = google.credentials().get_credential().await?;
                http::Request::get(url.as_str()).header("authorization", format!("Bearer {}", token.bearer))
            }
        };
        asked.body(HttpRequestBody::empty()).map_err(unclear)
    }

    /// Gives one up. Already gone is done.
    pub async fn abort(&self, begun: &Begun) -> Result<()> {
        let aborted = match &self.bucket {
            Bucket::S3(s3) => s3.abort_multipart(&begun.key, &begun.id).await,
            Bucket::Google(google, _) => google.abort_multipart(&begun.key, &begun.id).await,
        };
        match aborted {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

fn unclear(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "bucket", source: source.into() }
}

/// Reads a page of `ListMultipartUploadsResult`, and where the next begins.
fn read(xml: &str) -> Option<(Vec<Begun>, Option<(String, String)>)> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let root = document.root_element();
    let text = |node: roxmltree::Node<'_, '_>, name: &str| {
        let child = node.children().find(|child| child.tag_name().name() == name)?;
        Some(child.text().unwrap_or_default().to_owned())
    };
    let uploads = root.children().filter(|child| child.tag_name().name() == "Upload");
    let begun = uploads.map(|upload| {
        let at = Timestamp::parse(&text(upload, "Initiated")?)?;
        Some(Begun { key: Path::parse(text(upload, "Key")?).ok()?, id: text(upload, "UploadId")?, at })
    });
    let is_cut = text(root, "IsTruncated").is_some_and(|is_cut| is_cut == "true");
    let next = text(root, "NextKeyMarker").zip(text(root, "NextUploadIdMarker")).filter(|_| is_cut);
    Some((begun.collect::<Option<_>>()?, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_unfinished_uploads_is_read_and_says_where_the_next_begins() {
        let upload = "<Upload><Key>images/one</Key><UploadId>2~abc</UploadId><Initiator><ID>x</ID></Initiator>\
                      <Initiated>2026-11-26T21:16:03.898Z</Initiated></Upload>";
        let page = |is_cut: bool, uploads: &str| {
            format!(
                "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <NextKeyMarker>images/one</NextKeyMarker><NextUploadIdMarker>2~abc</NextUploadIdMarker>\
                 <IsTruncated>{is_cut}</IsTruncated>{uploads}</ListMultipartUploadsResult>"
            )
        };
        let at = Timestamp::parse("2026-11-26T21:16:03.898Z").unwrap();
        let begun = Begun { key: Path::from("images/one"), id: "2~abc".to_owned(), at };
        let (all, next) = read(&page(true, upload)).unwrap();
        assert_eq!((all, next), (vec![begun], Some(("images/one".to_owned(), "2~abc".to_owned()))));
        assert_eq!(read(&page(false, "")), Some((vec![], None)));
        for unclear in ["", "<html>", "<List><Upload><Key>one</Key></Upload></List>"] {
            assert_eq!(read(unclear), None, "{unclear}");
        }
    }
}
