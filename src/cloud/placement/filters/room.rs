//! The host that is wanted, in the zone that is wanted, alive, and with room.

use super::super::{But, Candidate, Condition, Request, Rules};

pub fn is_wanted(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.but != Some(But::Leaving(host.id)) && request.wish.host.as_ref().is_none_or(|name| *name == host.name)
}

pub fn is_in_zone(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.wish.zone.as_ref().is_none_or(|zone| *zone == host.zone)
}

pub fn is_up_and_enabled(host: &Candidate, _: &Request, _: &Rules) -> bool {
    host.condition == Condition::Up
}

/// There is as much free; and however often things may be promised, no server gets more than the host really has.
pub fn has_room(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.but != Some(But::Full(host.id)) && request.demand.fits(host.free()) && request.demand.fits(host.total)
}
