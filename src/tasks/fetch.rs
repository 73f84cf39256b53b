//! Fetching from the web for a tenant: one connection to an address that was looked at before, and never to another.
//!
//! What may be fetched is [`web_source`](crate::cloud::web_source)'s to say. Here a host's name is resolved once; the client
//! is given those addresses and can't resolve for itself, follows no redirection by itself and knows no proxy, so nothing
//! between the check and the connection can change where it goes. What a tenant hears of a failure doesn't tell what is
//! listening where.

use crate::cloud::web_source::{Filter, Source, refused};
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::net::SocketAddr;
use std::time::Duration;

/// As many redirections as upstream's library follows.
const REDIRECTIONS: usize = 10;
pub(super) const CONNECT: Duration = Duration::from_secs(20);
/// Longer than this between two pieces, and the other side is taken for gone.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

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
    addresses(&source, filter, &by_system).await.map(drop).ok_or_else(|| refused(uri))
}

/// Finds the addresses of a name; none where there are none. Tests know names that nobody else does.
type Resolve<'r> = &'r (dyn Fn(String, u16) -> BoxFuture<'static, Vec<SocketAddr>> + Send + Sync);

fn by_system(host: String, port: u16) -> BoxFuture<'static, Vec<SocketAddr>> {
    // The dot at the end keeps the system's resolver from reading a number, or adding a domain of this machine.
    async move { tokio::net::lookup_host((format!("{host}."), port)).await.map(Iterator::collect).unwrap_or_default() }
        .boxed()
}

/// Begins to fetch.
///
/// # Errors
/// `BadRequest` for what may not be fetched or isn't there, `Unavailable` when the server doesn't answer.
pub async fn open(uri: &str, filter: &Filter) -> Result<Fetched> {
    open_by(uri, filter, &by_system).await
}

async fn open_by(uri: &str, filter: &Filter, resolve: Resolve<'_>) -> Result<Fetched> {
    let mut source = filter.admit(uri)?;
    let mut addresses_of = addresses(&source, filter, resolve).await.ok_or_else(|| refused(uri))?;
    for _ in 0..=REDIRECTIONS {
        let response = ask(&source, &addresses_of).await?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| Error::bad_request("The URI redirects to nowhere"))?.to_owned();
            source = filter.follow(&source, &location)?;
            let disallowed = || Error::bad_request(format!("Redirect to disallowed URL: {location}"));
            addresses_of = addresses(&source, filter, resolve).await.ok_or_else(disallowed)?;
            continue;
        }
        if status != http::StatusCode::OK {
            return Err(Error::bad_request(format!("The URI was answered with HTTP {}", status.as_u16())));
        }
        let length = response.content_length();
        let bytes = response.bytes_stream().map_err(lost).boxed();
        return Ok(Fetched { length, bytes });
    }
    Err(Error::bad_request("The URI redirects too often"))
}

/// Where the host is, if every address it has may be connected to: one that has an inner address beside a public one is
/// somebody's try.
async fn addresses(source: &Source, filter: &Filter, resolve: Resolve<'_>) -> Option<Vec<SocketAddr>> {
    if let Some(address) = source.address {
        return Some(vec![SocketAddr::new(address, source.port)]);
    }
    let found = resolve(source.host.clone(), source.port).await;
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
    request.send().await.map_err(lost)
}

/// Without the address, whose query may be what signs it.
fn lost(error: reqwest::Error) -> Error {
    Error::unavailable("The server of the URI", error.without_url())
}

#[cfg(test)]
pub(crate) mod testing {
    //! A server on loopback that answers as it is told, and keeps who came.

    use parking_lot::Mutex;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    pub struct Server {
        pub port: u16,
        pub visits: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        /// Answers each request with the next of these.
        pub async fn start(answers: Vec<String>) -> Self {
            let mut answers = answers.into_iter();
            Self::answering(move |_| answers.next()).await
        }

        /// Answers a request by what it says.
        pub async fn answering(mut answer: impl FnMut(&str) -> Option<String> + Send + 'static) -> Self {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let visits = Arc::new(Mutex::new(Vec::new()));
            let seen = visits.clone();
            tokio::spawn(async move {
                while let Ok((mut socket, _)) = listener.accept().await {
                    let mut request = vec![0; 4096];
                    let read = socket.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..read]).into_owned();
                    seen.lock().push(request.clone());
                    if let Some(answer) = answer(&request) {
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

    /// What a name's addresses are, the first time they are asked for, the second, and so on.
    async fn fetch_named(server: &Server, answers: &[&[&str]]) -> (Result<Vec<u8>>, usize) {
        let port = server.port;
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let answers: Vec<Vec<SocketAddr>> = answers
            .iter()
            .map(|addresses| addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
            .collect();
        let resolve = |_: String, _: u16| -> BoxFuture<'static, Vec<SocketAddr>> {
            let at = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let found = answers.get(at).or(answers.last()).cloned().unwrap_or_default();
            async move { found }.boxed()
        };
        let uri = format!("http://images.example.org:{port}/image");
        let fetched = async {
            let fetched = open_by(&uri, &filter(port), &resolve).await?;
            let pieces: Vec<Bytes> = fetched.bytes.try_collect().await?;
            Ok(pieces.concat())
        };
        let fetched = fetched.await;
        (fetched, asked.load(std::sync::atomic::Ordering::SeqCst))
    }

    #[tokio::test]
    async fn cve_2026_34881_a_name_with_an_inner_address_beside_others_is_not_called() {
        for addresses in [
            &["127.0.0.1", "127.0.0.2"][..],
            &["127.0.0.1", "10.0.0.1"],
            &["127.0.0.1", "::1"],
            &["8.8.8.8", "169.254.169.254"],
            &["::ffff:127.0.0.2"],
            &[],
        ] {
            let server = Server::start(vec![ok("secret")]).await;
            let (refused, _) = fetch_named(&server, &[addresses]).await;
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{addresses:?}");
            assert!(server.visits.lock().is_empty(), "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn cve_2026_34881_a_name_that_leads_elsewhere_the_next_time_leads_nowhere() {
        // Looked up once, and that very address is called, whatever the name leads to by then.
        let server = Server::start(vec![ok("bytes")]).await;
        let (fetched, asked) = fetch_named(&server, &[&["127.0.0.1"], &["10.0.0.1"]]).await;
        assert_eq!((fetched.unwrap(), asked), (b"bytes".to_vec(), 1));
        assert!(server.visits.lock()[0].to_lowercase().contains("host: images.example.org"));
        // After a redirection to the same name it is looked up again, and judged again.
        let server = Server::start(vec![redirect("/again"), ok("secret")]).await;
        let (refused, asked) = fetch_named(&server, &[&["127.0.0.1"], &["127.0.0.2"]]).await;
        assert_eq!((refused.unwrap_err().to_string(), asked), ("Redirect to disallowed URL: /again".to_owned(), 2));
        assert_eq!(server.visits.lock().len(), 1);
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
