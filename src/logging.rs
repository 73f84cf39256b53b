//! Structured logs on standard error. Secrets never reach them: nothing logs bodies, tokens or headers.

use crate::config::Log;
use crate::error::{Error, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging as set.
///
/// # Errors
/// `BadRequest` when the filter or the format can't be understood.
pub fn start(settings: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|error| Error::bad_request(format!("log.filter = {:?}: {error}", settings.filter)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format.as_str() {
        "json" => builder.json().try_init(),
        "text" => builder.with_ansi(false).try_init(),
        other => return Err(Error::bad_request(format!("log.format = {other:?} is neither \"text\" nor \"json\""))),
    };
    started.map_err(|error| Error::internal("logging was started twice", error))
}
