"""Server groups: their policies, their members, and what a policy does to who wants to be one."""

import kit
from shell import Shell

FIELDS = ("id", "members", "name", "policy", "project_id", "rules", "user_id")
ROW = ("ID", "Name", "Policy")
LONG_ROW = (*ROW, "Members", "Project Id", "User Id")


def walk(shell: Shell, cast):
    admin, mine, other = cast.admin, cast.member("grouped"), cast.member("single")
    cloud, made = mine["cloud"], {}
    for policy in ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"):
        made[policy] = shell.show(cloud, "server", "group", "create", "--policy", policy, cast.name(policy), fields=FIELDS, given={
            "name": cast.name(policy), "policy": policy, "members": [], "rules": {}, "project_id": mine["project"], "user_id": mine["user"]})["id"]
    ruled = shell.show(cloud, "server", "group", "create", "--policy", "anti-affinity", "--rule", "max_server_per_host=2", cast.name("ruled"),
                       fields=FIELDS, given={"rules": {"max_server_per_host": 2}})["id"]
    shell.refused(cloud, "server", "group", "create", "--policy", "affinity", "--rule", "max_server_per_host=2", cast.name("wrong"), saying="400")
    shell.refused(cloud, "server", "group", "create", "x" * 256, saying="is too long")
    shell.show(cloud, "server", "group", "show", cast.name("affinity"), fields=FIELDS, given={"id": made["affinity"]})
    shell.refused(other["cloud"], "server", "group", "show", made["affinity"], saying="No ServerGroup found")

    rows = shell.rows(cloud, "server", "group", "list", fields=ROW)
    shell.claim("server group list has all five", {row["ID"] for row in rows} == {*made.values(), ruled}, rows)
    shell.claim("another project sees none of them", shell.run(other["cloud"], "server", "group", "list").data == [])
    every = shell.rows(admin, "server", "group", "list", "--all-projects", "--long", fields=LONG_ROW)
    shell.claim("server group list --all-projects has another project's", made["affinity"] in {row["ID"] for row in every})

    first = kit.create(shell, cloud, cast.name("first"), "--server-group", cast.name("anti-affinity"))
    shell.show(cloud, "server", "group", "show", made["anti-affinity"], fields=FIELDS, given={"members": [first]})
    shell.claim("the server names its group", kit.show(shell, cloud, first)["server_groups"] == [made["anti-affinity"]])
    # There is one host, and it has the first member.
    second = kit.create(shell, cloud, cast.name("second"), "--server-group", made["anti-affinity"], status="ERROR")
    fault = kit.show(shell, cloud, second)["fault"]
    shell.claim("a second server of an anti-affine group finds no host", "No valid host was found" in fault["message"], fault)
    third = kit.create(shell, cloud, cast.name("third"), "--server-group", made["soft-anti-affinity"])
    shell.refused(cloud, "server", "create", "--image", kit.IMAGE, "--flavor", kit.FLAVOR, "--network", kit.NETWORK,
                  "--server-group", "no-such-group", cast.name("wrong"), saying="No ServerGroup found")
    kit.delete(shell, cast, cloud, first, second, third)
    shell.show(cloud, "server", "group", "show", made["anti-affinity"], fields=FIELDS, given={"members": []})
    shell.refused(other["cloud"], "server", "group", "delete", made["affinity"], saying="1 of 1 server groups failed to delete")
    shell.order(cloud, "server", "group", "delete", *made.values(), ruled)
    shell.claim("deleted server groups are gone", shell.run(cloud, "server", "group", "list").data == [])
    cast.dismiss(mine, other)
