//! What an import was asked for, and what has come of it so far: it travels with the steps, and is forgotten with them.

use crate::cloud::image::import::Method;
use crate::cloud::image::plugins::Plugin;
use crate::cloud::image::remote::{Becoming, Described};
use crate::ids::TaskId;
use crate::tasks::remote_image::Source;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What was asked for, and what has come of it so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub task: TaskId,
    pub method: Method,
    pub uri: Option<Uri>,
    /// In this order.
    pub stores: Vec<String>,
    pub all_must_succeed: bool,
    /// The roles of whoever asked.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The other region; forgotten, with the token in it, once the bytes are here.
    #[serde(default)]
    pub source: Option<Source>,
    #[serde(default)]
    pub described: Option<Described>,
    #[serde(default)]
    pub becoming: Becoming,
    /// What is done to it on its way in, as operators had it when the work began.
    #[serde(default)]
    pub plugins: Vec<Plugin>,
}

/// Where bytes are fetched from. Its query may be what signs it, so logs show it without.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uri(pub String);

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.split('?').next().unwrap_or_default())
    }
}
