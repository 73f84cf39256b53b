//! The services that no host runs. A real Nova has a scheduler and a conductor, and tools of operators look for them; here the
//! process that answers does the work of both. So they are up as long as anybody can ask, at the machine the process is on, and
//! there is nothing to switch off or to forget.

use super::hosts::NumberOrUuid;
use crate::api::Call;
use crate::error::{Error, Result};
use crate::http::microversion::Microversion;
use crate::ids::HostId;
use aws_lc_rs::digest::{SHA256, digest};

/// The zone of what no server can be put into.
pub const ZONE: &str = "internal";

/// One of them.
pub struct InnerService {
    pub binary: &'static str,
    /// What it was called before it was told from its program.
    pub topic: &'static str,
    pub host: String,
    number: i64,
}

impl InnerService {
    fn uuid(&self) -> HostId {
        let whole = digest(&SHA256, format!("{}/{}", self.host, self.binary).as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&whole.as_ref()[..16]);
        HostId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    pub fn id(&self) -> NumberOrUuid {
        NumberOrUuid::new(self.number, self.uuid())
    }

    fn is_called(&self, id: &str, version: Microversion) -> bool {
        let has_uuids = version >= super::versions::HOSTS_HAVE_UUIDS;
        if has_uuids { HostId::parse(id) == Some(self.uuid()) } else { id == self.number.to_string() }
    }
}

/// Those of this process. Their numbers are ones that no host gets to.
pub fn all<B>(call: &Call<B>) -> [InnerService; 2] {
    let host = || call.cx.state.machine.clone();
    let number = |from_the_end: i64| i64::from(i32::MAX) - from_the_end;
    [
        InnerService { binary: "nova-scheduler", topic: "scheduler", host: host(), number: number(1) },
        InnerService { binary: "nova-conductor", topic: "conductor", host: host(), number: number(0) },
    ]
}

/// Refuses what can be done to hosts' services alone.
///
/// # Errors
/// `BadRequest` when the id is of one of these.
pub fn refuse<B>(call: &Call<B>, id: &str, doing: &str, done: &str) -> Result<()> {
    match all(call).into_iter().find(|service| service.is_called(id, call.version())) {
        None => Ok(()),
        Some(service) => Err(unsupported(service.binary, doing, done)),
    }
}

/// Upstream's sentence for services that are no host's.
pub fn unsupported(binary: &str, doing: &str, done: &str) -> Error {
    Error::bad_request(format!(
        "{doing} a {binary} service is not supported. Only nova-compute services can be {done}."
    ))
}
