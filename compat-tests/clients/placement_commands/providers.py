"""Hosts as providers: how they are listed and found, what they have and are able to do."""

from shell import Shell
from speech import NEWEST, hosts, spoken

PROVIDER = ("uuid", "name", "generation")
IN_TREE = (*PROVIDER, "root_provider_uuid", "parent_provider_uuid")
INVENTORY = ("allocation_ratio", "min_unit", "max_unit", "reserved", "step_size", "total", "used")


def walk(shell: Shell, cast):
    admin = cast.admin
    rows = shell.rows(admin, "resource", "provider", "list", *spoken("1.0"), fields=PROVIDER)
    shell.need("resource provider list has the two hosts", len(rows) == 2, rows)
    rows = shell.rows(admin, "resource", "provider", "list", *NEWEST, fields=IN_TREE)
    shell.claim("each is the root of a tree of its own", all(row["root_provider_uuid"] == row["uuid"] for row in rows), rows)
    computes = {row["ID"] for row in shell.run(admin, "hypervisor", "list").data}
    shell.claim("they are compute's hypervisors", {row["uuid"] for row in rows} == computes, computes)
    (name, one), (_, other) = sorted(hosts(shell, admin).items())
    shown = shell.show(admin, "resource", "provider", "show", one, *NEWEST, fields=IN_TREE, given={"uuid": one, "name": name})
    shell.claim("it counts its changes", shown["generation"] > 0, shown)
    nobody = "00000000-0000-4000-8000-000000000000"
    shell.refused(admin, "resource", "provider", "show", nobody, saying=f"No resource provider with uuid {nobody} found")
    for version, words, expected in (
        ("1.0", ("--name", name), {one}), ("1.0", ("--uuid", other), {other}), ("1.4", ("--resource", "VCPU=1"), {one, other}),
        ("1.4", ("--resource", "MEMORY_MB=100000000"), set()), ("1.14", ("--in-tree", one), {one}),
        ("1.18", ("--required", "COMPUTE_NODE"), {one, other}), ("1.18", ("--required", "STORAGE_DISK_SSD"), set()),
        ("1.22", ("--forbidden", "COMPUTE_NODE"), set()), ("1.39", ("--required", "COMPUTE_NODE,STORAGE_DISK_SSD"), {one, other}),
    ):
        found = {row["uuid"] for row in shell.run(admin, "resource", "provider", "list", *words, *spoken(version)).data}
        shell.claim(f"resource provider list {' '.join(words[:1])} at {version} finds them", found == expected, found)
    shell.refused(admin, "resource", "provider", "list", "--required", "BOGUS", *NEWEST, saying="No such trait(s): BOGUS.")

    rows = shell.rows(admin, "resource", "provider", "inventory", "list", one, *NEWEST, fields=("resource_class", *INVENTORY))
    shell.claim("inventory list has what a host has", {row["resource_class"] for row in rows} == {"VCPU", "MEMORY_MB", "DISK_GB"}, rows)
    vcpus = shell.show(admin, "resource", "provider", "inventory", "show", one, "VCPU", *NEWEST, fields=INVENTORY, given={"used": 0})
    shell.claim("a server may have all that is there", vcpus["max_unit"] == vcpus["total"] > 0, vcpus)
    traits = [row["name"] for row in shell.rows(admin, "resource", "provider", "trait", "list", one, *NEWEST, fields=("name",))]
    shell.claim("trait list of a host says that it computes", "COMPUTE_NODE" in traits, traits)
    zone = shell.run(admin, "aggregate", "create", cast.name("racks")).data
    shell.run(admin, "aggregate", "add", "host", cast.name("racks"), name)
    rows = shell.rows(admin, "resource", "provider", "aggregate", "list", one, *NEWEST, fields=("uuid",))
    shell.claim("aggregate list of a host has compute's", [row["uuid"] for row in rows] == [zone["uuid"]], rows)
    found = shell.run(admin, "resource", "provider", "list", "--member-of", zone["uuid"], *spoken("1.24")).data
    shell.claim("and its members are found by it", [row["uuid"] for row in found] == [one], found)
    shell.run(admin, "aggregate", "remove", "host", cast.name("racks"), name)
    shell.order(admin, "aggregate", "delete", cast.name("racks"))

    classes = [row["name"] for row in shell.rows(admin, "resource", "class", "list", *NEWEST, fields=("name",))]
    shell.claim("resource class list has the common ones", {"VCPU", "MEMORY_MB", "DISK_GB", "VGPU"} <= set(classes), classes)
    shell.show(admin, "resource", "class", "show", "VCPU", *NEWEST, fields=("name",), given={"name": "VCPU"})
    shell.refused(admin, "resource", "class", "show", "CUSTOM_GOLD", *NEWEST, saying="No such resource class CUSTOM_GOLD.")
    names = [row["name"] for row in shell.rows(admin, "trait", "list", "--name", "startswith:STORAGE_DISK", *NEWEST, fields=("name",))]
    shell.claim("trait list --name finds by how they begin", names == ["STORAGE_DISK_HDD", "STORAGE_DISK_SSD"], names)
    names = [row["name"] for row in shell.run(admin, "trait", "list", "--associated", *NEWEST).data]
    shell.claim("trait list --associated has those of hosts", set(traits) <= set(names), names)
    shell.show(admin, "trait", "show", "COMPUTE_NODE", *NEWEST, fields=("name",), given={"name": "COMPUTE_NODE"})
    shell.refused(admin, "trait", "show", "BOGUS", *NEWEST, saying="No such trait(s): BOGUS.")
