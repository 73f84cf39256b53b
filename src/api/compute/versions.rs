//! Which microversions are served, and what behaviour (as opposed to shape) changes with them.
//!
//! Shape is said beside each field (`since`, `until`); a constant here is for what no field can say. No number of a version
//! stands anywhere else.

use crate::http::microversion::{Axis, Microversion, Wording};
use crate::http::router::Alias;

/// Nova's versions, up to the highest at which everything served is exact.
pub const AXIS: Axis = Axis {
    service_type: "compute",
    legacy_header: Some("x-openstack-nova-api-version"),
    major: 2,
    min: Microversion(1),
    max: Microversion(104),
    strict_queries: ALL_QUERIES_ARE_STRICT,
    wording: Wording::Nova,
};

/// What `/v2` speaks, before there were microversions: 2.1 to whoever knows no headers, but that bodies may hold what nobody
/// reads and names have white space around them, which is cut off.
pub const LEGACY: Microversion = Microversion::LENIENT;
pub const LEGACY_ALIAS: Alias = Alias { prefix: "/compute/v2", target: "/compute/v2.1", version: Some(LEGACY) };

/// Where a version is served.
pub fn prefix(version: Microversion) -> &'static str {
    if version == LEGACY { LEGACY_ALIAS.prefix } else { LEGACY_ALIAS.target }
}

/// Key pairs are created with 201 and deleted with 204, and show their type.
pub const KEYPAIRS_HAVE_TYPES: Microversion = Microversion(2);
/// Server groups may be soft: their policies are wishes.
pub const SOFT_AFFINITY: Microversion = Microversion(15);
/// Key pairs of other users can be asked for.
pub const KEYPAIRS_OF_USERS: Microversion = Microversion(10);
/// Access to a public flavor can't be given any more.
pub const NO_ACCESS_TO_PUBLIC_FLAVORS: Microversion = Microversion(7);
/// The server's description is the client's, no longer the name again.
pub const DESCRIPTION_IS_ITS_OWN: Microversion = Microversion(19);
/// Deleted servers keep their instance actions.
pub const ACTIONS_OUTLIVE_SERVERS: Microversion = Microversion(21);
/// `tags` and its kin filter servers.
pub const SERVERS_BY_TAGS: Microversion = Microversion(26);
/// Lists of hypervisors come in pages.
pub const HYPERVISOR_PAGES: Microversion = Microversion(33);
/// Lists of key pairs come in pages.
pub const KEYPAIR_PAGES: Microversion = Microversion(35);
/// An unknown status in a filter is a bad request, no longer an empty list.
pub const STATUS_IS_CHECKED: Microversion = Microversion(38);
/// Usage comes in pages.
pub const USAGE_PAGES: Microversion = Microversion(40);
/// Services and hypervisors are named by UUIDs.
pub const HOSTS_HAVE_UUIDS: Microversion = Microversion(53);
/// Instance actions come in pages and can be filtered by time.
pub const ACTION_PAGES: Microversion = Microversion(58);
/// Filters by `changes-before`.
pub const CHANGES_BEFORE: Microversion = Microversion(66);
/// Filters by `locked`.
pub const SERVERS_BY_LOCK: Microversion = Microversion(73);
/// An unknown query parameter is a bad request.
pub const QUERIES_ARE_STRICT: Microversion = Microversion(75);
/// `PUT /servers/{id}` answers all that `GET` does.
pub const UPDATE_SHOWS_ALL: Microversion = Microversion(75);
/// Who is no administrator may use most filters.
pub const MORE_FILTERS_FOR_ALL: Microversion = Microversion(83);
/// Hypervisors show their uptime, and no numbers that Placement has.
pub const HYPERVISORS_WITHOUT_NUMBERS: Microversion = Microversion(88);
/// Every list and every single thing refuses query parameters it does not know; flavors are filtered by name.
pub const ALL_QUERIES_ARE_STRICT: Microversion = Microversion(102);
/// `os-volumes_boot`, another name of `servers`, is gone.
pub const NO_VOLUMES_BOOT: Microversion = Microversion(103);
/// What other services tell of a server, by the version from which they may.
pub const EVENT_VOLUME_EXTENDED: Microversion = Microversion(51);
pub const EVENT_POWER_UPDATE: Microversion = Microversion(76);
pub const EVENT_ACCELERATOR_BOUND: Microversion = Microversion(82);
pub const EVENT_VOLUME_REIMAGED: Microversion = Microversion(93);
/// What other services have is asked of them, no longer passed on.
pub const NO_PROXIES: Microversion = Microversion(36);
/// Nor are images' metadata.
pub const NO_IMAGE_METADATA: Microversion = Microversion(39);
/// Services can be said to be down.
pub const SERVICES_CAN_BE_FORCED_DOWN: Microversion = Microversion(11);
/// Hosts by name are asked for as hypervisors and services.
pub const NO_OLDER_HOSTS: Microversion = Microversion(43);
/// A hypervisor without servers shows an empty list of them, where it is asked for.
pub const EMPTY_HYPERVISORS_SAY_SO: Microversion = Microversion(75);
/// Extra specs are validated when they are set.
pub const EXTRA_SPECS_ARE_VALIDATED: Microversion = Microversion(86);
/// Guests' hostnames can be chosen, and filtered by.
pub const HOSTNAMES: Microversion = Microversion(90);
/// Key pairs are no longer generated, only imported.
pub const KEYPAIRS_ARE_IMPORTED: Microversion = Microversion(92);
/// Hostnames may be fully qualified.
pub const HOSTNAMES_ARE_QUALIFIED: Microversion = Microversion(94);
/// `networks` must be there, and may say `auto` or `none`.
pub const NETWORKS_MAY_BE_A_WORD: Microversion = Microversion(37);
/// Who is no administrator sees the events of an instance action too.
pub const EVENTS_FOR_ALL: Microversion = Microversion(51);
/// Diagnostics come in one form, whatever the hypervisor.
pub const DIAGNOSTICS_HAVE_A_FORM: Microversion = Microversion(48);
/// A rebuild shows the server's key.
pub const REBUILD_SHOWS_KEY: Microversion = Microversion(54);
/// A rebuild takes user data, and shows it.
pub const REBUILD_TAKES_USER_DATA: Microversion = Microversion(57);
/// Metadata of a server's image is not held to the quota of metadata items any more.
pub const IMAGES_ARE_NOT_COUNTED: Microversion = Microversion(39);
/// Whoever makes an image of a server is told its id in the body, no longer in a header.
pub const IMAGE_ID_IN_BODY: Microversion = Microversion(45);
/// Migrations come in pages and can be filtered by time; unknown parameters are refused.
pub const MIGRATION_PAGES: Microversion = Microversion(59);
/// Migrations show and are filtered by whose they are.
pub const MIGRATIONS_BY_OWNER: Microversion = Microversion(80);
/// A shelved server can be brought back in a zone of the client's choice.
pub const UNSHELVE_TO_ZONE: Microversion = Microversion(77);
/// And on a host, or in no zone in particular.
pub const UNSHELVE_TO_HOST: Microversion = Microversion(91);
/// Whether disks are copied can be left to the scheduler.
pub const BLOCK_MIGRATION_MAY_BE_AUTO: Microversion = Microversion(25);
/// A host that is named for a live migration is checked like any other, unless it is forced.
pub const LIVE_MIGRATION_ASKS_THE_SCHEDULER: Microversion = Microversion(30);
/// What can be said against a live migration is found out after its request is accepted.
pub const LIVE_MIGRATION_DOES_NOT_WAIT: Microversion = Microversion(34);
/// A live migration can be aborted before it runs.
pub const QUEUED_MIGRATIONS_CAN_BE_ABORTED: Microversion = Microversion(65);
/// A host can be named to go to while the server is off.
pub const MIGRATE_TO_HOST: Microversion = Microversion(56);
/// An evacuated server stays off until somebody starts it.
pub const EVACUATED_SERVERS_STAY_OFF: Microversion = Microversion(95);
