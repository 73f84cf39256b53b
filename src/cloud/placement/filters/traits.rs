//! What a flavor or an image requires the host to be able to do, or forbids it: `trait:HW_CPU_X86_AVX2=required`.

use super::super::request::TRAIT;
use super::super::{Candidate, Request, Rules};

/// Only a flavor can forbid: upstream takes nothing else of an image.
pub fn are_as_asked(host: &Candidate, request: &Request, _: &Rules) -> bool {
    let of_flavor =
        request.extra_specs.iter().filter_map(|(name, how)| Some((name.strip_prefix(TRAIT)?, how.as_str())));
    let of_image = request.image_properties.keys().filter_map(|name| Some((name.strip_prefix(TRAIT)?, "required")));
    of_flavor.chain(of_image).all(|(name, how)| match how {
        "required" => host.kind.has_trait(name),
        "forbidden" => !host.kind.has_trait(name),
        _ => false,
    })
}
