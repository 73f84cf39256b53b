"""Metadata definitions: namespaces and the objects, properties, tags and resource types in them."""

import json

from shell import Shell

NAMESPACE = ("created_at", "namespace", "owner", "protected", "tags", "updated_at", "visibility")
OBJECT = ("created_at", "description", "name", "namespace_name", "properties", "required", "updated_at")
PROPERTY = ("description", "name", "title", "type")


def walk(shell: Shell, cast):
    admin, mine = cast.admin, cast.member("reader", "reader")
    name = cast.name("namespace")
    project = shell.run(admin, "token", "issue").data["project_id"]
    shell.show(admin, "image", "metadef", "namespace", "create", name, fields=NAMESPACE,
               given={"namespace": name, "visibility": "private", "protected": False, "owner": project})
    described = f"{name}-2"
    shell.show(admin, "image", "metadef", "namespace", "create", "--display-name", "Shown", "--description", "of a test", "--public", "--protected",
               described, fields=(*NAMESPACE, "display_name", "description"),
               given={"display_name": "Shown", "description": "of a test", "visibility": "public", "protected": True})
    shell.refused(admin, "image", "metadef", "namespace", "create", name, saying="409")
    shell.refused(mine["cloud"], "image", "metadef", "namespace", "create", "x", saying="403")
    namespaces(shell, cast, mine, name, described)
    tags(shell, admin, name)
    objects(shell, admin, name)
    properties(shell, admin, name)
    resource_types(shell, admin, name, described)
    shell.refused(admin, "image", "metadef", "namespace", "delete", described, saying="1 of 1 namespace failed to delete.")
    shell.order(admin, "image", "metadef", "namespace", "set", "--unprotected", described)
    shell.order(admin, "image", "metadef", "namespace", "delete", described, name)
    shell.refused(admin, "image", "metadef", "namespace", "show", name, saying="404")
    cast.dismiss(mine)


def namespaces(shell: Shell, cast, mine, name, described):
    admin = cast.admin

    def listed(cloud, *words):
        return {row["namespace"] for row in shell.rows(cloud, "image", "metadef", "namespace", "list", *words, fields=("namespace",))}
    shell.claim("image metadef namespace list has both", {name, described} <= listed(admin))
    shell.claim("others see the public one", listed(mine["cloud"]) & {name, described} == {described})
    shell.claim("--visibility private has the one", listed(admin, "--visibility", "private") & {name, described} == {name})
    shell.claim("--resource-types has none of them", not listed(admin, "--resource-types", "OS::None") & {name, described})
    shell.refused(mine["cloud"], "image", "metadef", "namespace", "show", name, saying="404")
    shell.show(mine["cloud"], "image", "metadef", "namespace", "show", described, fields=(*NAMESPACE, "display_name", "description"),
               given={"namespace": described})
    shell.refused(mine["cloud"], "image", "metadef", "namespace", "set", "--display-name", "Mine", described, saying="403")
    shell.order(admin, "image", "metadef", "namespace", "set", "--display-name", "Changed", "--description", "changed", "--public", name)
    shell.show(admin, "image", "metadef", "namespace", "show", name, fields=(*NAMESPACE, "display_name", "description"),
               given={"display_name": "Changed", "description": "changed", "visibility": "public"})


def tags(shell: Shell, admin, name):
    def tagged():
        return sorted(tag["name"] for tag in shell.run(admin, "image", "metadef", "namespace", "show", name).data.get("tags", []))
    shell.order(admin, "image", "metadef", "namespace", "set", "--tag", "red", "--tag", "blue", "--tag", "green", name)
    shell.claim("image metadef namespace set --tag adds tags", tagged() == ["blue", "green", "red"], tagged())
    shell.order(admin, "image", "metadef", "namespace", "unset", "--tag", "red", name)
    shell.claim("image metadef namespace unset --tag takes one away", tagged() == ["blue", "green"], tagged())
    shell.refused(admin, "image", "metadef", "namespace", "unset", "--tag", "none", name, saying="Failed to unset 1 of 1 tags.")
    shell.order(admin, "image", "metadef", "namespace", "unset", "--all-tags", name)
    shell.claim("image metadef namespace unset --all-tags takes all", tagged() == [], tagged())


def objects(shell: Shell, admin, name):
    shell.show(admin, "image", "metadef", "object", "create", "--namespace", name, "disk", fields=OBJECT,
               given={"name": "disk"})
    shell.show(admin, "image", "metadef", "object", "show", name, "disk", fields=OBJECT,
               given={"name": "disk", "description": None, "required": [], "properties": {}})
    shell.show(admin, "image", "metadef", "object", "create", "--namespace", name, "cpu", fields=OBJECT, given={"name": "cpu"})
    shell.refused(admin, "image", "metadef", "object", "create", "--namespace", name, "cpu", saying="409")
    rows = shell.rows(admin, "image", "metadef", "object", "list", name, fields=("name", "description"))
    shell.claim("image metadef object list has both", {row["name"] for row in rows} == {"disk", "cpu"}, rows)
    shell.order(admin, "image", "metadef", "object", "update", "--name", "processor", name, "cpu")
    shell.show(admin, "image", "metadef", "object", "show", name, "processor", fields=OBJECT, given={"name": "processor"})
    shell.refused(admin, "image", "metadef", "object", "show", name, "cpu", saying="404")
    shell.refused(admin, "image", "metadef", "object", "property", "show", name, "disk", "bus", saying="Property bus not found in object disk.")
    shell.order(admin, "image", "metadef", "object", "delete", name, "disk")
    shell.refused(admin, "image", "metadef", "object", "delete", name, "disk", saying="object failed to delete.")
    shell.order(admin, "image", "metadef", "object", "delete", name)
    rows = shell.rows(admin, "image", "metadef", "object", "list", name, fields=("name", "description"))
    shell.claim("image metadef object delete without a name takes all", rows == [], rows)


def properties(shell: Shell, admin, name):
    given = {"name": "bus", "title": "Bus", "type": "string", "description": "of a disk", "enum": ["ide", "virtio"]}
    shell.show(admin, "image", "metadef", "property", "create", "--name", "bus", "--title", "Bus", "--type", "string", "--schema",
               json.dumps({"description": "of a disk", "enum": ["ide", "virtio"]}), name, fields=(*PROPERTY, "enum"),
               given=given)
    shell.show(admin, "image", "metadef", "property", "create", "--name", "count", "--title", "Count", "--type", "integer", "--schema",
               json.dumps({"minimum": 1, "maximum": 8, "default": 2, "description": "how many"}), name,
               fields=(*PROPERTY, "default", "minimum", "maximum"), given={"minimum": 1, "maximum": 8})
    shell.refused(admin, "image", "metadef", "property", "create", "--name", "bus", "--title", "Bus", "--type", "string", "--schema", "{}", name,
                  saying="409")
    shell.refused(admin, "image", "metadef", "property", "create", "--name", "x", "--title", "X", "--type", "colour", "--schema", "{}", name, saying="400")
    rows = shell.rows(admin, "image", "metadef", "property", "list", name, fields=("name", "title", "type"))
    shell.claim("image metadef property list has both", {(row["name"], row["title"], row["type"]) for row in rows} ==
                {("bus", "Bus", "string"), ("count", "Count", "integer")}, rows)
    shell.order(admin, "image", "metadef", "property", "set", "--title", "Disk bus", "--name", "disk_bus", "--schema", '{"enum": ["scsi"]}', name, "bus")
    shell.show(admin, "image", "metadef", "property", "show", name, "disk_bus", fields=(*PROPERTY, "enum"),
               given={"title": "Disk bus", "enum": ["scsi"], "description": "of a disk"})
    shell.refused(admin, "image", "metadef", "property", "show", name, "bus", saying="404")
    shell.order(admin, "image", "metadef", "property", "delete", name, "count")
    shell.refused(admin, "image", "metadef", "property", "delete", name, "count", saying="properties failed to delete.")
    shell.order(admin, "image", "metadef", "property", "delete", name)
    rows = shell.rows(admin, "image", "metadef", "property", "list", name, fields=("name", "title", "type"))
    shell.claim("image metadef property delete without a name takes all", rows == [], rows)


def resource_types(shell: Shell, admin, name, described):
    kind = "OS::Commands::Test"
    made = shell.run(admin, "image", "metadef", "resource", "type", "association", "create", "--properties-target", "image", name, kind).data
    shell.claim("image metadef resource type association create names it", (made["name"], made.get("properties_target")) == (kind, "image"), made)
    shell.run(admin, "image", "metadef", "resource", "type", "association", "create", described, kind)
    shell.refused(admin, "image", "metadef", "resource", "type", "association", "create", name, kind, saying="409")
    rows = shell.rows(admin, "image", "metadef", "resource", "type", "association", "list", name, fields=("Name",))
    shell.claim("image metadef resource type association list has it", rows == [{"Name": kind}], rows)
    rows = shell.rows(admin, "image", "metadef", "resource", "type", "list", fields=("Name",))
    shell.claim("image metadef resource type list has it", {"Name": kind} in rows, rows)
    rows = shell.rows(admin, "image", "metadef", "namespace", "list", "--resource-types", kind, fields=("namespace",))
    shell.claim("image metadef namespace list --resource-types has both", {row["namespace"] for row in rows} == {name, described}, rows)
    shown = shell.run(admin, "image", "metadef", "namespace", "show", name).data
    shell.claim("the namespace names its resource types", shown["resource_type_associations"] == [kind], shown)
    shell.order(admin, "image", "metadef", "resource", "type", "association", "delete", name, kind)
    shell.refused(admin, "image", "metadef", "resource", "type", "association", "delete", name, kind, saying="resource type failed to delete.")
    shell.refused(admin, "image", "metadef", "resource", "type", "association", "delete", described, kind, saying="resource type failed to delete.")
    shell.order(admin, "image", "metadef", "resource", "type", "association", "delete", "--force", described, kind)
    shown = shell.run(admin, "image", "metadef", "namespace", "show", described).data
    shell.claim("--force leaves the namespace protected", shown["protected"] is True, shown)
