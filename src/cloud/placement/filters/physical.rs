//! The host is plugged into the operator's networks that the server's are.

use super::super::{Candidate, Request, Rules};

pub fn are_plugged_in(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.physical_networks.is_subset(&host.physical_networks)
}
