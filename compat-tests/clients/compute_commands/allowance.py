"""Quotas, limits and usage: set, shown, kept to, and taken back."""

import kit
from shell import Shell


def walk(shell: Shell, cast):
    admin, mine, other = cast.admin, cast.member("bounded"), cast.member("free")
    cloud, project = mine["cloud"], mine["project"]

    def quota(*words, by=admin, column="Limit"):
        return {row["Resource"]: row[column] for row in shell.run(by, "quota", "show", *words).data}
    default = quota("--default", project)
    shell.claim("quota show begins with the defaults", quota(project)["cores"] == default["cores"] > 0, default)
    shell.order(admin, "quota", "set", "--instances", "2", "--cores", "5", "--ram", "1000", "--key-pairs", "1", "--properties", "2",
                "--server-groups", "1", "--server-group-members", "3", project)
    wanted = {"instances": 2, "cores": 5, "ram": 1000, "key-pairs": 1, "properties": 2, "server-groups": 1, "server-group-members": 3}
    shell.claim("quota set sets what it names", wanted.items() <= quota(project).items(), quota(project))
    shell.claim("and the project sees it", wanted.items() <= quota(by=cloud).items())
    shell.claim("and another does not have it", quota(other["project"])["cores"] == default["cores"])
    rows = {row["Project ID"]: row for row in shell.run(admin, "quota", "list", "--compute").data}
    shell.claim("quota list --compute has projects that differ", project in rows and rows[project]["Cores"] == 5 and other["project"] not in rows, rows)
    shell.refused(cloud, "quota", "set", "--cores", "50", project, saying="Policy doesn't allow")
    shell.refused(cloud, "quota", "show", other["project"], saying="403")
    shell.refused(admin, "quota", "set", "--cores", "-2", project, saying="400")

    server = kit.create(shell, cloud, cast.name("server"))
    used = quota("--usage", project, column="In Use")
    shell.claim("quota show --usage counts the server", (used["instances"], used["cores"], used["ram"]) == (1, 1, 192), used)
    limits = {row["Name"]: row["Value"] for row in shell.rows(cloud, "limits", "show", "--absolute", fields=("Name", "Value"))}
    seen = {name: limits[name] for name in ("max_total_instances", "total_instances_used", "max_total_cores", "total_cores_used",
                                            "max_total_ram_size", "total_ram_used", "max_total_keypairs", "max_server_meta")}
    shell.claim("limits show --absolute has bounds and what is used", list(seen.values()) == [2, 1, 5, 1, 1000, 192, 1, 2], seen)
    limits = {row["Name"]: row["Value"] for row in shell.run(admin, "limits", "show", "--absolute", "--project", project).data}
    shell.claim("and those of a project for operators", limits["max_total_cores"] == 5, limits)
    shell.claim("there are no rates", shell.run(cloud, "limits", "show", "--rate").data == [])
    kept(shell, cast, cloud)
    shell.refused(admin, "quota", "set", "--instances", "0", "--no-force", project, saying="400")
    usage(shell, cast, cloud, project, server)
    shell.order(admin, "quota", "delete", project)
    shell.claim("quota delete takes it back to the defaults", quota(project)["cores"] == default["cores"])
    classes(shell, admin, project, default, quota)
    kit.delete(shell, cast, cloud, server)
    cast.dismiss(mine, other)


def kept(shell: Shell, cast, cloud):
    """Each quota is one, with the sentence that says so."""
    base = ("server", "create", "--image", kit.IMAGE, "--nic", "none")
    shell.refused(cloud, *base, "--flavor", kit.FLAVOR, "--min", "2", "--max", "2", cast.name("many"), saying="Quota exceeded for instances: Requested 2, but already used 1 of 2 instances")
    shell.refused(cloud, *base, "--flavor", "m1.small", cast.name("large"), saying="Quota exceeded for ram")
    shell.refused(cloud, *base, "--flavor", kit.FLAVOR, "--property", "a=1", "--property", "b=2", "--property", "c=3", cast.name("wordy"),
                  saying="Maximum number of metadata items exceeds")
    shell.run(cloud, "server", "group", "create", cast.name("group"))
    shell.refused(cloud, "server", "group", "create", cast.name("group-2"), saying="Quota exceeded, too many server groups")
    shell.order(cloud, "server", "group", "delete", cast.name("group"))


def usage(shell: Shell, cast, cloud, project, server):
    shown = shell.run(cloud, "usage", "show", json_output=True).text
    shell.claim("usage show has the server", server in shown and "m1.nano" in shown, shown[:300])
    rows = {row["Project"]: row for row in shell.run(cast.admin, "usage", "list").data}
    mine = next((row for name, row in rows.items() if project in name or name.startswith("commands-bounded")), None)
    shell.claim("usage list has its project, with hours of memory", mine and mine["RAM MB-Hours"] > 0, rows)
    shell.refused(cloud, "usage", "list", saying="Policy doesn't allow")
    shell.refused(cloud, "usage", "show", "--start", "yesterday", saying="does not match format")
    past = shell.run(cloud, "usage", "show", "--start", "2020-01-01", "--end", "2020-01-02", json_output=False, may_fail=True)
    shell.claim("usage of a time before has no server", server not in past.text, past.text)


def classes(shell: Shell, admin, project, default, quota):
    """What the quota class says is every project's default."""
    shell.run(admin, "quota", "set", "--default", "--cores", "7", json_output=False)
    shell.claim("quota set --default changes every project's", (quota("--default", project)["cores"], quota(project)["cores"]) == (7, 7))
    shell.run(admin, "quota", "set", "--default", "--cores", str(default["cores"]), json_output=False)
    shell.claim("and back", quota(project)["cores"] == default["cores"])
