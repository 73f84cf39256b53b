//! `GET /extensions`: the parts of the API by the names they had before microversions. Clients look here for what a cloud
//! can do, so what is not served is not in the list.

use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![
        get("/extensions", index).rule("os_compute_api:extensions"),
        get("/extensions/{alias}", show).rule("os_compute_api:extensions"),
    ]
}

/// Alias, name, what it is about. The first two are upstream's.
const EXTENSIONS: &[(&str, &str, &str)] = &[
    ("OS-DCF", "DiskConfig", "How a guest's disk is partitioned."),
    ("OS-EXT-AZ", "ExtendedAvailabilityZone", "Zones of servers."),
    ("OS-EXT-IMG-SIZE", "ImageSize", "Sizes of images."),
    ("OS-EXT-IPS", "ExtendedIps", "Kinds of addresses."),
    ("OS-EXT-IPS-MAC", "ExtendedIpsMac", "MAC addresses beside addresses."),
    ("OS-EXT-SRV-ATTR", "ExtendedServerAttributes", "What operators see of servers."),
    ("OS-EXT-STS", "ExtendedStatus", "States of servers and of the work on them."),
    ("OS-FLV-DISABLED", "FlavorDisabled", "Whether a flavor may be used."),
    ("OS-FLV-EXT-DATA", "FlavorExtraData", "Ephemeral disks of flavors."),
    ("OS-SCH-HNT", "SchedulerHints", "Hints about where a server shall go."),
    ("OS-SRV-USG", "ServerUsage", "When servers were launched and ended."),
    ("os-access-ips", "AccessIPs", "Addresses that clients write down."),
    ("os-admin-actions", "AdminActions", "Actions of operators on servers."),
    ("os-aggregates", "Aggregates", "Aggregates of hosts."),
    ("os-availability-zone", "AvailabilityZone", "Availability zones."),
    ("os-block-device-mapping-v2-boot", "BlockDeviceMappingV2Boot", "Disks named at creation."),
    ("os-config-drive", "ConfigDrive", "The config drive."),
    ("os-console-output", "ConsoleOutput", "The console's log."),
    ("os-extended-hypervisors", "ExtendedHypervisors", "More about hypervisors."),
    ("os-extended-quotas", "ExtendedQuotas", "Deleting quotas, and setting them by force."),
    ("os-extended-services", "ExtendedServices", "Why a service is disabled."),
    ("os-extended-services-delete", "ExtendedServicesDelete", "Forgetting a service."),
    ("os-extended-status", "ExtendedStatus", "States of servers."),
    ("os-extended-volumes", "ExtendedVolumes", "Volumes of servers."),
    ("os-flavor-access", "FlavorAccess", "Who may use a flavor."),
    ("os-flavor-extra-specs", "FlavorExtraSpecs", "Extra specs of flavors."),
    ("os-flavor-manage", "FlavorManage", "Making and deleting flavors."),
    ("os-flavor-rxtx", "FlavorRxtx", "The network factor of flavors."),
    ("os-flavor-swap", "FlavorSwap", "Swap of flavors."),
    ("os-hide-server-addresses", "HideServerAddresses", "No addresses while a server is built."),
    ("os-hosts", "Hosts", "Hosts by name."),
    ("os-hypervisor-status", "HypervisorStatus", "States of hypervisors."),
    ("os-hypervisors", "Hypervisors", "Hypervisors."),
    ("os-instance-actions", "InstanceActions", "What was asked of a server."),
    ("os-instance_usage_audit_log", "OSInstanceUsageAuditLog", "The log of usage audits."),
    ("os-keypairs", "Keypairs", "Key pairs."),
    ("os-lock-server", "LockServer", "Locking servers."),
    ("os-multiple-create", "MultipleCreate", "Several servers at once."),
    ("os-networks", "Networks", "Networks, passed on."),
    ("os-pause-server", "PauseServer", "Pausing servers."),
    ("os-personality", "Personality", "Files of a server."),
    ("os-quota-class-sets", "QuotaClasses", "Quota classes."),
    ("os-quota-sets", "Quotas", "Quotas."),
    ("os-server-external-events", "ServerExternalEvents", "What other services tell."),
    ("os-server-group-quotas", "ServerGroupQuotas", "Quotas of server groups."),
    ("os-server-groups", "ServerGroups", "Server groups."),
    ("os-server-list-multi-status", "ServerListMultiStatus", "Several states in a filter."),
    ("os-server-sort-keys", "ServerSortKeys", "The order of servers."),
    ("os-server-start-stop", "ServerStartStop", "Starting and stopping servers."),
    ("os-services", "Services", "Services of hosts."),
    ("os-simple-tenant-usage", "SimpleTenantUsage", "Usage of projects."),
    ("os-tenant-networks", "OSTenantNetworks", "A project's networks, passed on."),
    ("os-used-limits", "UsedLimits", "What is used of limits."),
    ("os-used-limits-for-admin", "UsedLimitsForAdmin", "The same of other projects."),
    ("os-user-data", "UserData", "User data."),
    ("os-user-quotas", "UserQuotas", "Quotas of users."),
];

versioned! {
    response Extension {
        "alias" => alias: &'static str,
        "name" => name: &'static str,
        "description" => description: &'static str,
        "links" => links: Vec<Value>,
        "namespace" => namespace: &'static str,
        "updated" => updated: &'static str,
    }
}
versioned! {
    response Extensions { "extensions" => extensions: Vec<Extension> }
}
versioned! {
    response OneExtension { "extension" => extension: Extension }
}

fn view((alias, name, description): &(&'static str, &'static str, &'static str)) -> Extension {
    Extension {
        alias,
        name,
        description,
        links: Vec::new(),
        namespace: "http://docs.openstack.org/compute/ext/fake_xml",
        updated: "2014-12-03T00:00:00Z",
    }
}

/// `GET /extensions`.
async fn index(_: Call) -> Result<Reply<Extensions>> {
    Ok(Reply::ok(Extensions { extensions: EXTENSIONS.iter().map(view).collect() }))
}

/// `GET /extensions/{alias}`.
async fn show(call: Call) -> Result<Reply<OneExtension>> {
    let found = EXTENSIONS.iter().find(|(alias, ..)| *alias == call.path("alias"));
    let extension = found.map(view).ok_or_else(|| Error::not_found(Kind::Page, call.path("alias")))?;
    Ok(Reply::ok(OneExtension { extension }))
}
