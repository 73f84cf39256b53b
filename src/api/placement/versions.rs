//! Which microversions are served, and what behaviour (as opposed to shape) changes with them.

use crate::http::microversion::{Axis, Microversion, Wording};

/// Placement's, all of them.
pub const AXIS: Axis = Axis {
    service_type: "placement",
    legacy_header: None,
    major: 1,
    min: Microversion(0),
    max: Microversion(39),
    // Lists refuse what they don't know at every version, each by itself; what shows one thing looks at no parameter.
    strict_queries: Microversion::ANY,
    wording: Wording::Shared,
};

/// Providers link to their aggregates, their traits, and what is held of them.
pub const AGGREGATES: Microversion = Microversion(1);
pub const TRAITS: Microversion = Microversion(6);
pub const ALLOCATIONS_LINK: Microversion = Microversion(11);
/// Lists of providers are filtered: by aggregates, by what is left, by tree, by traits.
pub const MEMBER_OF: Microversion = Microversion(3);
pub const BY_RESOURCES: Microversion = Microversion(4);
pub const TREES: Microversion = Microversion(14);
pub const BY_TRAITS: Microversion = Microversion(18);
/// Candidates can be asked for, only so many of them, by traits, by aggregates, by tree, by the traits of the root.
pub const CANDIDATES: Microversion = Microversion(10);
pub const CANDIDATES_LIMIT: Microversion = Microversion(16);
pub const CANDIDATES_BY_TRAITS: Microversion = Microversion(17);
pub const CANDIDATES_BY_AGGREGATES: Microversion = Microversion(21);
pub const CANDIDATES_IN_TREE: Microversion = Microversion(31);
pub const ROOT_REQUIRED: Microversion = Microversion(35);
/// Allocations say whose they are, and candidates come in the form in which allocations are shown.
pub const ALLOCATIONS_BY_PROVIDER: Microversion = Microversion(12);
/// Answers say when what they show last changed, and are not to be kept.
pub const LAST_MODIFIED: Microversion = Microversion(15);
/// `required` can forbid.
pub const FORBIDDEN_TRAITS: Microversion = Microversion(22);
/// Errors have codes.
pub const ERROR_CODES: Microversion = Microversion(23);
/// `member_of` can be given more than once.
pub const SEVERAL_MEMBER_OF: Microversion = Microversion(24);
/// Requests for candidates come in groups, which have numbers.
pub const GROUPS: Microversion = Microversion(25);
/// Summaries show every class, not only what was asked for.
pub const ALL_CLASSES: Microversion = Microversion(27);
/// `member_of` can forbid.
pub const FORBIDDEN_AGGREGATES: Microversion = Microversion(32);
/// Groups have names.
pub const NAMED_GROUPS: Microversion = Microversion(33);
/// Groups without resources belong to a subtree.
pub const SUBTREES: Microversion = Microversion(36);
/// Usages are told by the type of consumer.
pub const CONSUMER_TYPES: Microversion = Microversion(38);
/// `required` can be given more than once, and name several of which one is enough.
pub const ANY_TRAITS: Microversion = Microversion(39);
