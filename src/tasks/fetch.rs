//! Fetching from the web for a tenant: one connection to an address that was looked at before, and never to another.
//!
//! What may be fetched is [`web_source`](crate::cloud::web_source)'s to say. Here a host's name is resolved once; the client
//! is given those addresses and can't resolve for itself, follows no redirection by itself and knows no proxy, so nothing
//! between the check and the connection can change where it goes. What a tenant hears of a failure doesn't tell what is
//! listening where.

use crate::cloud::web_source::{Filter, Source, refused};
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::net::SocketAddr;
use std::time::Duration;

/// As many redirections as upstream's library follows.
const REDIRECTIONS: usize = 10;
const CONNECT: Duration = Duration::from_secs(20);
/// Longer than this between two pieces, and the other side is taken for gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Bytes on their way.
pub struct Fetched {
    /// How many there will be, when the server says.
    pub length: Option<u64>,
    pub bytes: BoxStream<'static, Result<Bytes>>,
}

/// Would this be fetched? Resolves, but connects to nothing.
///
/// # Errors
/// `BadRequest` with upstream's sentence.
pub async fn check(uri: &str, filter: &Filter) -> Result<()> {
    let source = filter.admit(uri)?;
    addresses(&source, filter).await.map(drop).ok_or_else(|| refused(uri))
}

/// Begins to fetch.
///
/// # Errors
/// `BadRequest` for what may not be fetched or isn't there, `Unavailable` when the server doesn't answer.
pub async fn open(uri: &str, filter: &Filter) -> Result<Fetched> {
    let mut source = filter.admit(uri)?;
    let mut addresses_of = addresses(&source, filter).await.ok_or_else(|| refused(uri))?;
    for _ in 0..=REDIRECTIONS {
        let response = ask(&source, &addresses_of).await?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| Error::bad_request("The URI redirects to nowhere"))?.to_owned();
            source = filter.follow(&source, &location)?;
            let disallowed = || Error::bad_request(format!("Redirect to disallowed URL: {location}"));
            addresses_of = addresses(&source, filter).await.ok_or_else(disallowed)?;
            continue;
        }
        if status != http::StatusCode::OK {
            return Err(Error::bad_request(format!("The URI was answered with HTTP {}", status.as_u16())));
        }
        let length = response.content_length();
        let bytes = response.bytes_stream().map_err(|error| Error::unavailable("The server of the URI", error)).boxed();
        return Ok(Fetched { length, bytes });
    }
    Err(Error::bad_request("The URI redirects too often"))
}

/// Where the host is, if every address it has may be connected to: one that has an inner address beside a public one is
/// somebody's try.
async fn addresses(source: &Source, filter: &Filter) -> Option<Vec<SocketAddr>> {
    if let Some(address) = source.address {
        return Some(vec![SocketAddr::new(address, source.port)]);
    }
    // The dot at the end keeps the system's resolver from reading a number, or adding a domain of this machine.
    let found = tokio::net::lookup_host((format!("{}.", source.host), source.port)).await.ok()?;
    let found: Vec<_> = found.collect();
    let are_allowed = !found.is_empty() && found.iter().all(|address| filter.may_connect(address.ip()));
    are_allowed.then_some(found)
}

async fn ask(source: &Source, addresses: &[SocketAddr]) -> Result<reqwest::Response> {
    let host = source.url.host_str().unwrap_or(&source.host);
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve_to_addrs(host, addresses)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .http1_only()
        .build()
        .map_err(|error| Error::internal("The web can't be fetched from", error))?;
    let request = client.get(source.url.clone()).header(http::header::ACCEPT_ENCODING, "identity");
    request.send().await.map_err(|error| Error::unavailable("The server of the URI", error))
}

#[cfg(test)]
pub(crate) mod testing {
    //! A server on loopback that answers each request with the next of its texts, and counts who came.

    use parking_lot::Mutex;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    pub struct Server {
        pub port: u16,
        pub visits: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        pub async fn start(answers: Vec<String>) -> Self {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let visits = Arc::new(Mutex::new(Vec::new()));
            let seen = visits.clone();
            tokio::spawn(async move {
                let mut answers = answers.into_iter();
                while let Ok((mut socket, _)) = listener.accept().await {
                    let mut request = vec![0; 4096];
                    let read = socket.read(&mut request).await.unwrap_or(0);
                    seen.lock().push(String::from_utf8_lossy(&request[..read]).into_owned());
                    if let Some(answer) = answers.next() {
                        let _ = socket.write_all(answer.replace("{port}", &port.to_string()).as_bytes()).await;
                    }
                }
            });
            Self { port, visits }
        }
    }

    pub fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    pub fn redirect(location: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Server, ok, redirect};
    use super::*;

    /// Lets the one loopback address through that the test's server has, and no other.
    fn filter(port: u16) -> Filter {
        let private_ranges = vec!["127.0.0.1/32".parse().unwrap()];
        Filter { allowed_ports: vec![port], private_ranges, ..Filter::default() }
    }

    async fn fetch(server: &Server) -> Result<Vec<u8>> {
        let uri = format!("http://127.0.0.1:{}/image", server.port);
        let fetched = open(&uri, &filter(server.port)).await?;
        let pieces: Vec<Bytes> = fetched.bytes.try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn bytes_come_through_a_redirection_that_may_be_followed() {
        let server = Server::start(vec![redirect("/elsewhere?x=1"), ok("bytes")]).await;
        assert_eq!(fetch(&server).await.unwrap(), b"bytes");
        let visits = server.visits.lock().clone();
        assert!(visits[0].starts_with("GET /image HTTP/1.1") && visits[1].starts_with("GET /elsewhere?x=1 HTTP/1.1"));
        assert!(visits[0].to_lowercase().contains("accept-encoding: identity"));
    }

    #[tokio::test]
    async fn cve_2026_34881_a_redirection_to_an_inner_address_in_any_notation_is_not_followed() {
        for inner in [
            "http://127.0.0.2:{port}/",
            "//127.0.0.2:{port}/",
            "http://2130706434:{port}/",
            "http://0x7f000002:{port}/",
            "http://0177.0.0.2:{port}/",
            "http://127.2:{port}/",
            "http://[::1]:{port}/",
            "http://[::ffff:127.0.0.2]:{port}/",
            "http://localhost:{port}/",
            "http://169.254.169.254/latest/meta-data/",
            "http://10.0.0.1/",
            "file:///etc/passwd",
        ] {
            let server = Server::start(vec![redirect(inner), ok("secret")]).await;
            let refused = fetch(&server).await.unwrap_err().to_string();
            let is_refused = refused.starts_with("Redirect to disallowed URL: ");
            // The name localhost has the address that this test lets through, and perhaps ::1 beside it.
            assert!(is_refused || inner.contains("localhost"), "{inner}: {refused}");
            assert!(inner.contains("localhost") || server.visits.lock().len() == 1, "{inner}");
        }
    }

    #[tokio::test]
    async fn by_default_this_machine_is_not_called_at_all() {
        let server = Server::start(vec![ok("secret")]).await;
        let only_port = Filter { allowed_ports: vec![server.port], ..Filter::default() };
        for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"] {
            let uri = format!("http://{host}:{}/", server.port);
            assert!(matches!(open(&uri, &only_port).await, Err(Error::BadRequest(_))), "{host}");
            assert!(check(&uri, &only_port).await.is_err(), "{host}");
        }
        assert!(server.visits.lock().is_empty());
    }

    #[tokio::test]
    async fn who_redirects_for_ever_is_left_and_an_error_is_no_image() {
        let server = Server::start(vec![redirect("/again"); 20]).await;
        assert_eq!(fetch(&server).await.unwrap_err().to_string(), "The URI redirects too often");
        assert_eq!(server.visits.lock().len(), REDIRECTIONS + 1);
        let server = Server::start(vec!["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()]).await;
        assert_eq!(fetch(&server).await.unwrap_err().to_string(), "The URI was answered with HTTP 404");
    }

    #[tokio::test]
    async fn a_body_that_is_cut_short_is_an_error_and_not_a_short_image() {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf".to_owned();
        let server = Server::start(vec![cut]).await;
        assert!(fetch(&server).await.is_err_and(|error| error.is_transient()));
    }
}
