"""Flavors: made, shown, listed, described, given extra specs and projects, and deleted."""

from shell import Shell

FIELDS = ("OS-FLV-DISABLED:disabled", "OS-FLV-EXT-DATA:ephemeral", "description", "disk", "id", "name",
          "os-flavor-access:is_public", "properties", "ram", "rxtx_factor", "swap", "vcpus")
SHOWN = (*FIELDS, "access_project_ids")
ROW = ("ID", "Name", "RAM", "Disk", "Ephemeral", "VCPUs", "Is Public")
LONG_ROW = (*ROW, "Swap", "RXTX Factor", "Properties")


def walk(shell: Shell, cast):
    admin, name = cast.admin, cast.name("flavor")
    mine, other = cast.member("flavored"), cast.member("plain")
    given = {"name": name, "ram": 64, "disk": 2, "vcpus": 3, "OS-FLV-EXT-DATA:ephemeral": 1, "swap": 512,
             "os-flavor-access:is_public": True, "description": "of a test", "properties": {"hw_rng:allowed": "true"}}
    made = shell.show(admin, "flavor", "create", "--ram", "64", "--disk", "2", "--vcpus", "3", "--ephemeral", "1", "--swap", "512",
                      "--description", "of a test", "--property", "hw_rng:allowed=true", name, fields=FIELDS, given=given)["id"]
    shell.show(mine["cloud"], "flavor", "show", name, fields=SHOWN, given={**given, "id": made})
    shell.refused(admin, "flavor", "create", name, saying="already exists")
    shell.refused(admin, "flavor", "create", "--id", made, cast.name("twin"), saying="already exists")
    for wrong, saying in ((("--ram", "0"), "0 is less than the minimum of 1"), (("--vcpus", "-1"), "less than the minimum"),
                          (("--disk", "-1"), "less than the minimum"), (("--id", "a b/c"), "Invalid input for field/attribute")):
        shell.refused(admin, "flavor", "create", *wrong, cast.name("wrong"), saying=saying)
    shell.refused(mine["cloud"], "flavor", "create", cast.name("forbidden"), saying="Policy doesn't allow")
    shell.refused(mine["cloud"], "flavor", "delete", made, saying="Policy doesn't allow")
    shell.refused(mine["cloud"], "flavor", "show", "no-such-flavor", saying="No Flavor found")

    shell.order(admin, "flavor", "set", "--description", "changed", "--property", "hw:cpu_policy=shared", made)
    shell.show(admin, "flavor", "show", made, fields=SHOWN, given={
        "description": "changed", "properties": {"hw_rng:allowed": "true", "hw:cpu_policy": "shared"}})
    shell.order(admin, "flavor", "unset", "--property", "hw:cpu_policy", made)
    shell.show(admin, "flavor", "show", made, fields=SHOWN, given={"properties": {"hw_rng:allowed": "true"}})
    shell.order(admin, "flavor", "set", "--no-property", made)
    shell.show(admin, "flavor", "show", made, fields=SHOWN, given={"properties": {}})
    listed(shell, cast, mine["cloud"], made, name)
    private(shell, cast, mine, other)
    shell.refused(admin, "flavor", "delete", made, "no-such-flavor", saying="1 of 2 flavors failed to delete")
    shell.refused(admin, "flavor", "show", made, saying="No Flavor found")
    cast.dismiss(mine, other)


def listed(shell: Shell, cast, cloud, made, name):
    row = {"ID": made, "Name": name, "RAM": 64, "Disk": 2, "Ephemeral": 1, "VCPUs": 3, "Is Public": True}
    shell.claim("flavor list has it", row in shell.rows(cloud, "flavor", "list", fields=ROW))
    rows = shell.rows(cloud, "flavor", "list", "--long", fields=LONG_ROW)
    shell.claim("flavor list --long says the rest", {**row, "Swap": 512, "RXTX Factor": 1.0, "Properties": {}} in rows, rows)
    by_size = {flavor["ID"] for flavor in shell.run(cloud, "flavor", "list", "--min-ram", "65").data}
    shell.claim("flavor list --min-ram leaves smaller ones out", by_size and made not in by_size, by_size)
    by_size = {flavor["ID"] for flavor in shell.run(cloud, "flavor", "list", "--min-disk", "2").data}
    shell.claim("flavor list --min-disk has those that are large enough", made in by_size and "42" not in by_size, by_size)
    page = shell.run(cloud, "flavor", "list", "--limit", "2").data
    rest = shell.run(cloud, "flavor", "list", "--marker", page[-1]["ID"]).data
    every = shell.run(cloud, "flavor", "list").data
    shell.claim("pages of flavors make the whole list", [*page, *rest] == every, (page, rest))


def private(shell: Shell, cast, mine, other):
    """A flavor of one project: seen by it, given to another, and taken back."""
    admin, name = cast.admin, cast.name("private")
    made = shell.show(admin, "flavor", "create", "--ram", "64", "--private", "--project", mine["project"], name, fields=FIELDS,
                      given={"os-flavor-access:is_public": False})["id"]
    sees = lambda who: made in {row["ID"] for row in shell.run(who["cloud"], "flavor", "list").data}  # noqa: E731
    shell.claim("a private flavor is its project's", sees(mine) and not sees(other))
    shell.refused(other["cloud"], "flavor", "show", made, saying="No Flavor found")
    shell.show(admin, "flavor", "show", made, fields=SHOWN, given={"access_project_ids": [mine["project"]]})
    shell.order(admin, "flavor", "set", "--project", other["project"], made)
    shell.claim("flavor set --project gives it to another", sees(other))
    shell.refused(admin, "flavor", "set", "--project", other["project"], made, saying="Command Failed")
    shell.order(admin, "flavor", "unset", "--project", other["project"], made)
    shell.claim("flavor unset --project takes it back", sees(mine) and not sees(other))
    rows = shell.run(admin, "flavor", "list", "--private").data
    shell.claim("flavor list --private has it and no public one", made in {row["ID"] for row in rows} and not any(
        row["Is Public"] for row in rows), rows)
    rows = {row["ID"] for row in shell.run(admin, "flavor", "list", "--all").data}
    shell.claim("flavor list --all has public and private ones", {made, "42"} <= rows, rows)
    shell.order(admin, "flavor", "delete", made)
