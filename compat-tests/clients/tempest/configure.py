"""Writes tempest.conf for the cloud of a clouds.yaml: `configure.py CLOUDS CLOUD WORKSPACE`.

What the cloud does not have is said to Tempest as absent, from the cloud's own catalogue and extension list, so that a
skipped test means an absent service and never an optimistic setting.
"""

import configparser
import json
import os
import subprocess
import sys

import openstack
import yaml

import accounts

clouds_file, cloud_name, workspace = sys.argv[1:4]
os.environ["OS_CLIENT_CONFIG_FILE"] = clouds_file
with open(clouds_file, encoding="utf-8") as file:
    entry = yaml.safe_load(file)["clouds"][cloud_name]
auth = entry["auth"]
region = entry.get("region_name", "RegionOne")
cloud = openstack.connect(cloud=cloud_name)
kinds = {service["type"] for service in cloud.config.get_session().auth.get_access(cloud.session).service_catalog.catalog}
has_network, has_volume = "network" in kinds, "block-storage" in kinds
extensions = [extension.alias for extension in cloud.network.extensions()] if has_network else []

image = cloud.image.find_image("gapura-test", ignore_missing=False)
# Filters are tested with two images: the second holds the same bytes under another id.
second = cloud.image.find_image("gapura-test-second")
if not second:
    copy = os.path.join(workspace, "image.qcow2")
    with open(copy, "wb") as file:
        cloud.image.download_image(image, stream=False, output=file)
    second = cloud.create_image("gapura-test-second", filename=copy, disk_format="qcow2", container_format="bare",
                                visibility="public", wait=True)
    os.unlink(copy)
flavors = {flavor.name: flavor.id for flavor in cloud.compute.flavors()}
# Where Tempest is told of no network service, it looks a network's name up through compute, which passes that on up to 2.35
# alone. A server that names none joins the only one there is.
has_accounts = bool(os.environ.get("TEMPEST_ACCOUNTS"))
uses_network = has_network and ("security-group" in extensions or has_accounts)
if has_accounts:
    accounts.make(cloud, f"{workspace}/accounts.yaml")
hypervisors = list(cloud.compute.hypervisors(details=True))
# Servers move where there is somewhere to move to. TEMPEST_SHARED_DISKS says that all hosts keep disks in one folder.
several = len(hypervisors) > 1
shared_disks = bool(os.environ.get("TEMPEST_SHARED_DISKS"))
schema = cloud.image.get("/schemas/image").json()["properties"]
ways = cloud.image.get("/info/import").json()["import-methods"]["value"]
# What an import from the web fetches: run.sh serves this folder on that port of this machine.
web = f"http://127.0.0.1:{os.environ.get('TEMPEST_WEB_PORT', '1')}/image.qcow2"
if os.environ.get("TEMPEST_WEB_PORT"):
    os.makedirs(f"{workspace}/web", exist_ok=True)
    with open(f"{workspace}/web/image.qcow2", "wb") as file:
        cloud.image.download_image(image, stream=False, output=file)
# Formats are tested where the cloud converts what is imported.
formats = {}
if os.environ.get("TEMPEST_CONVERSION"):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats.py")
    if subprocess.run([sys.executable, script, f"{workspace}/formats"], check=False).returncode == 0:
        formats = {"images_manifest_file": f"{workspace}/formats/manifest.yaml"}


def beginning_with(first, all_of_them):
    """Tests take the first of a list for an image of theirs."""
    return ",".join([*first, *(word for word in all_of_them if word and word not in first)])


def yes(value):
    return str(bool(value)).lower()


settings = {
    "DEFAULT": {"log_file": f"{workspace}/tempest.log", "debug": "false"},
    "oslo_concurrency": {"lock_path": f"{workspace}/lock"},
    "auth": {
        "use_dynamic_credentials": yes(not has_accounts), "test_accounts_file": f"{workspace}/accounts.yaml" if has_accounts else "",
        "admin_username": auth["username"], "admin_password": auth["password"],
        "admin_project_name": auth["project_name"], "admin_domain_name": "Default",
        "default_credentials_domain_name": "Default", "tempest_roles": "member",
        "create_isolated_networks": yes("router" in extensions),
    },
    "identity": {
        "uri_v3": auth["auth_url"], "auth_version": "v3", "region": region, "v3_endpoint_type": "public",
        "admin_role": "admin", "default_domain_id": "default",
    },
    "identity-feature-enabled": {
        "api_v3": "true", "trust": "true", "application_credentials": "true", "access_rules": "true",
        "federation": "false", "external_idp": "false", "security_compliance": "false", "project_tags": "true",
    },
    "compute": {
        "image_ref": image.id, "image_ref_alt": second.id, "flavor_ref": flavors["m1.nano"],
        "flavor_ref_alt": flavors["m1.micro"], "fixed_network_name": "private" if uses_network else "", "catalog_type": "compute",
        "region": region, "endpoint_type": "publicURL", "build_timeout": "300", "build_interval": "1", "ready_wait": "0",
        "min_compute_nodes": str(len(hypervisors)), "hypervisor_type": hypervisors[0].hypervisor_type,
        "min_microversion": "2.1", "max_microversion": "latest",
    },
    "compute-feature-enabled": {
        "disk_config": "true", "console_output": "true", "resize": "true", "pause": "true", "suspend": "true",
        "shelve": "true", "shelve_migrate": yes(several), "cold_migration": yes(several), "live_migration": yes(several),
        "block_migration_for_live_migration": yes(several and not shared_disks), "live_migrate_back_and_forth": yes(several),
        "can_migrate_between_any_hosts": "true", "rescue": "true", "snapshot": "true",
        "metadata_service": "false", "config_drive": "true", "interface_attach": "false", "change_password": "false",
        "personality": "true", "vnc_console": "false", "serial_console": "false", "swap_volume": "false",
        "attach_encrypted_volume": "false",
        # No password is put into a guest, so none is answered: as Nova with enable_instance_password = false.
        "enable_instance_password": "false",
        "nova_policy_roles": "admin,manager,member,reader",
        "scheduler_enabled_filters": "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,SameHostFilter,"
                                     "DifferentHostFilter,ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter",
    },
    "image": {
        "catalog_type": "image", "region": region, "endpoint_type": "publicURL",
        "disk_formats": beginning_with(["qcow2", "raw"], schema["disk_format"]["enum"]),
        "container_formats": beginning_with(["bare"], schema["container_format"]["enum"]),
        "http_image": web, "http_qcow2_image": web, "image_caching_enabled": "true", **formats,
    },
    "image-feature-enabled": {
        "api_v2": "true", "import_image": yes(ways), "do_secure_hash": "true", "image_conversion": yes(formats),
    },
    "network": {"catalog_type": "network", "region": region, "endpoint_type": "publicURL", "build_timeout": "120"},
    "network-feature-enabled": {
        "ipv6": "false", "floating_ips": yes("router" in extensions), "api_extensions": ",".join(extensions) or "none",
    },
    "validation": {"run_validation": "false"},
    "volume": {"catalog_type": "block-storage"},
    "service_available": {
        # Tempest asks security groups of every Neutron there is, whatever its extensions say.
        "nova": "true", "glance": "true", "neutron": yes(uses_network), "cinder": yes(has_volume), "swift": "false",
        "horizon": "false",
    },
    "enforce_scope": {"nova": "true", "glance": "true", "keystone": "true", "neutron": "true"},
}
# What a later piece of Gapura brings is switched on where it is tested: TEMPEST_SETTINGS='{"compute-feature-enabled": {"resize": "true"}}'
for section, values in json.loads(os.environ.get("TEMPEST_SETTINGS", "{}")).items():
    settings.setdefault(section, {}).update(values)
writer = configparser.ConfigParser(interpolation=None)
writer.read_dict(settings)
with open(os.open(f"{workspace}/etc/tempest.conf", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
    writer.write(file)
