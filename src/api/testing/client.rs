//! Somebody who calls the router, without a socket, and what comes back.
//!
//! Shared with `compat-tests`, which compiles this file too: what is named here is there in both.

use crate::api::GateKeeper;
use crate::http::call::BodyStream;
use crate::http::reply::RawBody;
use crate::http::router::{Request, Router};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use std::sync::Arc;

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Keystone's message of an error.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Client {
    router: Arc<Router<GateKeeper>>,
    pub token: Option<String>,
    pub user_id: String,
    pub project_id: String,
}

impl Client {
    /// Nobody: calls without a token.
    pub fn stranger(router: &Arc<Router<GateKeeper>>) -> Self {
        Self { router: router.clone(), token: None, user_id: String::new(), project_id: String::new() }
    }

    /// Who a user of the default domain is, once logged in.
    pub async fn login(&self, user: &str, password: &str, scope: Value) -> Self {
        let reply = self.try_login(user, password, scope).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let token = &reply.json()["token"];
        Self {
            router: self.router.clone(),
            token: reply.header("x-subject-token").map(str::to_owned),
            user_id: token["user"]["id"].as_str().unwrap_or_default().to_owned(),
            project_id: token["project"]["id"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// As [`Client::login`], whatever comes of it. A scope of `null` asks for none.
    pub async fn try_login(&self, user: &str, password: &str, scope: Value) -> Reply {
        let user = json!({"name": user, "domain": {"id": "default"}, "password": password});
        let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
        if !scope.is_null() {
            auth["scope"] = scope;
        }
        self.post("/identity/v3/auth/tokens", json!({ "auth": auth })).await
    }

    /// The same caller with another token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().expect("the client has logged in")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    pub async fn head(&self, path: &str) -> Reply {
        self.send(Method::HEAD, path, &[], Vec::new()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.json(Method::POST, path, &body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.json(Method::PUT, path, &body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.json(Method::PATCH, path, &body).await
    }

    /// Sends JSON; `null` sends no body.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Reply {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, &[("content-type", "application/json")], bytes).await
    }

    /// Any request; `path` may hold a query.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut all = HeaderMap::new();
        if let Some(token) = &self.token {
            all.insert("x-auth-token", HeaderValue::from_str(token).unwrap());
        }
        for (name, value) in headers {
            all.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let length = Some(body.len() as u64);
        let stream = futures::stream::once(async move { Ok(bytes::Bytes::from(body)) });
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: all,
            peer: None,
            request_id: "req-test".to_owned(),
            body: BodyStream::new(Box::pin(stream), length),
        };
        let reply = self.router.answer(request).await;
        let bytes = match reply.body {
            RawBody::Bytes(bytes) => bytes.to_vec(),
            RawBody::Stream(mut stream) => {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    all.extend_from_slice(&piece.expect("the reply's body can be read"));
                }
                all
            }
        };
        Reply { status: reply.status.as_u16(), headers: reply.headers, bytes }
    }
}

/// Makes a thing of a collection, as `{key: body}`, and answers its id.
pub async fn make(client: &Client, path: &str, key: &str, body: Value) -> String {
    let reply = client.post(path, json!({ key: body })).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()[key]["id"].as_str().unwrap().to_owned()
}

/// The id of identity's role of this name.
pub async fn role_id(admin: &Client, name: &str) -> String {
    let reply = admin.get(&format!("/v3/roles?name={name}")).await;
    reply.json()["roles"][0]["id"].as_str().unwrap().to_owned()
}
