"""Aggregates of hosts, and the availability zones that they make."""

from shell import Shell

FIELDS = ("availability_zone", "created_at", "deleted_at", "hosts", "id", "is_deleted", "name", "properties", "updated_at", "uuid")
ROW = ("ID", "UUID", "Name", "Availability Zone")
LONG_ROW = (*ROW, "Properties", "Hosts")


def walk(shell: Shell, cast):
    admin, mine, name = cast.admin, cast.member("zoned"), cast.name("aggregate")
    zone = cast.name("zone")
    host = shell.run(admin, "hypervisor", "list").data[0]["Hypervisor Hostname"]
    made = shell.show(admin, "aggregate", "create", "--zone", zone, "--property", "a=b", name, fields=FIELDS, given={
        "name": name, "availability_zone": zone, "hosts": []})["id"]
    shell.refused(admin, "aggregate", "create", name, saying="already exists")
    shell.refused(admin, "aggregate", "create", "--zone", "a:b", cast.name("wrong"), saying="400")
    shell.refused(admin, "aggregate", "create", "x" * 256, saying="is too long")
    shell.refused(mine["cloud"], "aggregate", "create", cast.name("forbidden"), saying="Policy doesn't allow")
    shell.show(admin, "aggregate", "show", name, fields=FIELDS, given={"id": made, "properties": {"a": "b"}})
    rows = shell.rows(admin, "aggregate", "list", fields=ROW)
    shell.claim("aggregate list has it", any((row["ID"], row["Name"], row["Availability Zone"]) == (made, name, zone) for row in rows), rows)

    shell.show(admin, "aggregate", "add", "host", name, host, fields=FIELDS, given={"hosts": [host]})
    shell.refused(admin, "aggregate", "add", "host", name, host, saying="409")
    shell.refused(admin, "aggregate", "add", "host", name, "no-such-host", saying="404")
    rows = shell.rows(admin, "aggregate", "list", "--long", fields=LONG_ROW)
    shell.claim("aggregate list --long has its host", any(row["ID"] == made and row["Hosts"] == [host] for row in rows), rows)
    shell.claim("hypervisor show names it", shell.run(admin, "hypervisor", "show", host).data["aggregates"] == [name])
    zones(shell, admin, mine["cloud"], zone, host)
    shell.refused(admin, "aggregate", "delete", name, saying="1 of 1 aggregates failed to delete")
    shell.order(admin, "aggregate", "set", "--name", f"{name}-2", "--property", "c=d", name)
    shell.show(admin, "aggregate", "show", f"{name}-2", fields=FIELDS, given={"id": made, "properties": {"a": "b", "c": "d"}})
    shell.order(admin, "aggregate", "unset", "--property", "a", f"{name}-2")
    shell.show(admin, "aggregate", "show", f"{name}-2", fields=FIELDS, given={"properties": {"c": "d"}})
    shell.order(admin, "aggregate", "set", "--no-property", f"{name}-2")
    shell.show(admin, "aggregate", "show", f"{name}-2", fields=FIELDS, given={"properties": {}, "availability_zone": zone})
    shell.show(admin, "aggregate", "remove", "host", f"{name}-2", host, fields=FIELDS, given={"hosts": []})
    shell.refused(admin, "aggregate", "remove", "host", f"{name}-2", host, saying="404")
    shell.order(admin, "aggregate", "delete", f"{name}-2")
    shell.refused(admin, "aggregate", "show", f"{name}-2", saying="No Aggregate found")
    rows = shell.run(admin, "availability", "zone", "list", "--compute").data
    shell.claim("the zone goes with it", zone not in {row["Zone Name"] for row in rows}, rows)
    cast.dismiss(mine)


def zones(shell: Shell, admin, member, zone, host):
    rows = shell.rows(member, "availability", "zone", "list", "--compute", fields=("Zone Name", "Zone Status"))
    shell.claim("availability zone list has the zone", {"Zone Name": zone, "Zone Status": "available"} in rows, rows)
    rows = shell.run(admin, "availability", "zone", "list", "--long").data
    shell.claim("availability zone list --long has its host", any((row["Zone Name"], row["Host Name"], row["Service Name"])
                == (zone, host, "nova-compute") for row in rows), rows)
    row = shell.run(admin, "compute", "service", "list", "--service", "nova-compute").data[0]
    shell.claim("the host's service says its zone", row["Zone"] == zone, row)
