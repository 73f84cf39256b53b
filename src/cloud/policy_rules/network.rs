//! Rules of the network service: upstream's names, with upstream's defaults for what it serves.
//!
//! That everybody sees shared networks is no rule here but part of the store's queries (`networks::visible`), since a rule
//! can't turn "mine or shared" into one bound. `network:project_id` of a target is the project that owns the network.

use super::Rule;

const ADMIN: &str = "role:admin";
const READER: &str = "rule:project_reader_or_admin";
const MEMBER: &str = "rule:project_member_or_admin";
const NETWORK_OWNER: &str = "role:admin or (role:member and project_id:%(network:project_id)s)";
const ANYONE: &str = "@";

pub const RULES: &[Rule] = &[
    ("create_network", MEMBER),
    ("create_network:shared", ADMIN),
    ("create_network:router:external", ADMIN),
    ("create_network:provider:network_type", ADMIN),
    ("create_network:provider:physical_network", ADMIN),
    ("create_network:provider:segmentation_id", ADMIN),
    ("get_network", READER),
    ("get_network:provider:network_type", ADMIN),
    ("get_network:provider:physical_network", ADMIN),
    ("get_network:provider:segmentation_id", ADMIN),
    ("update_network", MEMBER),
    ("update_network:shared", ADMIN),
    ("update_network:router:external", ADMIN),
    ("update_network:provider:network_type", ADMIN),
    ("update_network:provider:physical_network", ADMIN),
    ("update_network:provider:segmentation_id", ADMIN),
    ("delete_network", MEMBER),
    ("create_subnet", MEMBER),
    ("get_subnet", READER),
    ("update_subnet", MEMBER),
    ("delete_subnet", MEMBER),
    ("create_port", MEMBER),
    ("create_port:device_owner", NETWORK_OWNER),
    ("create_port:mac_address", NETWORK_OWNER),
    ("create_port:fixed_ips:ip_address", NETWORK_OWNER),
    ("create_port:binding:host_id", ADMIN),
    ("create_port:binding:profile", ADMIN),
    ("get_port", READER),
    ("get_port:binding:host_id", ADMIN),
    ("get_port:binding:profile", ADMIN),
    ("get_port:binding:vif_type", ADMIN),
    ("get_port:binding:vif_details", ADMIN),
    ("update_port", MEMBER),
    ("update_port:device_owner", NETWORK_OWNER),
    ("update_port:mac_address", ADMIN),
    ("update_port:fixed_ips:ip_address", NETWORK_OWNER),
    ("update_port:binding:host_id", ADMIN),
    ("update_port:binding:profile", ADMIN),
    ("delete_port", MEMBER),
    ("get_networks_tags", READER),
    ("update_networks_tags", MEMBER),
    ("delete_networks_tags", MEMBER),
    ("get_subnets_tags", READER),
    ("update_subnets_tags", MEMBER),
    ("delete_subnets_tags", MEMBER),
    ("get_ports_tags", READER),
    ("update_ports_tags", MEMBER),
    ("delete_ports_tags", MEMBER),
    ("get_quota", READER),
    ("update_quota", ADMIN),
    ("delete_quota", ADMIN),
    ("list_quotas", ADMIN),
    ("get_extension", ANYONE),
];
