"""Hypervisors, hosts and services: what they say, and what a disabled one does to a boot."""

import kit
from shell import Shell

SERVICE = ("ID", "Binary", "Host", "Zone", "Status", "State", "Updated At")
LONG_SERVICE = (*SERVICE, "Disabled Reason", "Forced Down")
HYPERVISOR = ("ID", "Hypervisor Hostname", "Hypervisor Type", "Host IP", "State")


def walk(shell: Shell, cast):
    admin, mine = cast.admin, cast.member("guest")
    rows = shell.rows(admin, "hypervisor", "list", fields=HYPERVISOR)
    shell.need("hypervisor list has the one that is up", len(rows) == 1 and rows[0]["State"] == "up", rows)
    name, identity = rows[0]["Hypervisor Hostname"], rows[0]["ID"]
    shell.claim("hypervisor list --long has it", [row["ID"] for row in shell.run(admin, "hypervisor", "list", "--long").data] == [identity])
    shell.claim("hypervisor list --matching finds it", [row["ID"] for row in shell.run(admin, "hypervisor", "list", "--matching", name).data]
                == [identity])
    shell.refused(admin, "hypervisor", "list", "--matching", "no-such-host", saying="No hypervisor matching 'no-such-host' could be found")
    shown = shell.run(admin, "hypervisor", "show", name).data
    wanted = {"id": identity, "hypervisor_hostname": name, "service_host": name, "state": "up", "status": "enabled"}
    shell.claim("hypervisor show tells of it", wanted.items() <= shown.items() and shown["uptime"], shown)
    shell.refused(admin, "hypervisor", "show", "no-such-host", saying="No Hypervisor found")
    statistics = shell.run(admin, "hypervisor", "stats", "show").data
    shell.claim("hypervisor stats show sums up", statistics["count"] == 1 and statistics["vcpus"] > 0, statistics)
    server = kit.create(shell, mine["cloud"], cast.name("server"))
    after = shell.run(admin, "hypervisor", "stats", "show").data
    shell.claim("a server takes its part of the host", (after["vcpus_used"] - statistics["vcpus_used"],
                after["memory_mb_used"] - statistics["memory_mb_used"]) == (1, 192), after)
    rows = shell.rows(admin, "host", "list", fields=("Host Name", "Service", "Zone"))
    shell.claim("host list has it", {"Host Name": name, "Service": "compute", "Zone": "nova"} in rows, rows)
    rows = shell.run(admin, "host", "show", name).data
    used = {row["Project"]: row for row in rows}
    shell.claim("host show has what each project takes", used[mine["project"]]["Memory MB"] == 192 and used["(total)"]["CPU"] > 0, rows)
    shell.refused(admin, "host", "show", "no-such-host", saying="404")
    for words in (("hypervisor", "list"), ("compute", "service", "list"), ("host", "list")):
        answer = shell.run(mine["cloud"], *words, json_output=False, may_fail=True)
        shell.claim(f"a member may not {' '.join(words)}", answer.status != 0 and "403" in answer.complaint, answer.complaint)
    services(shell, cast, mine, name)
    for words in (("list",), ("create", "linux", "x86", "1", "http://x", "0" * 32, "kvm"), ("delete", "1")):
        shell.refused(admin, "compute", "agent", *words, saying="410")
    kit.delete(shell, cast, mine["cloud"], server)
    cast.dismiss(mine)


def services(shell: Shell, cast, mine, host):
    admin = cast.admin

    def service():
        rows = shell.rows(admin, "compute", "service", "list", "--long", "--host", host, "--service", "nova-compute", fields=LONG_SERVICE)
        return rows[0]
    rows = shell.rows(admin, "compute", "service", "list", fields=SERVICE)
    shell.claim("compute service list has the host's", any((row["Host"], row["Binary"], row["State"]) == (host, "nova-compute", "up")
                                                           for row in rows), rows)
    shell.order(admin, "compute", "service", "set", "--disable", "--disable-reason", "of a test", host, "nova-compute")
    seen = service()
    shell.claim("compute service set --disable disables, with its reason", (seen["Status"], seen["Disabled Reason"]) == ("disabled", "of a test"), seen)
    refused = kit.create(shell, mine["cloud"], cast.name("nowhere"), status="ERROR")
    fault = kit.show(shell, mine["cloud"], refused)["fault"]["message"]
    shell.claim("nothing boots on a disabled host", "No valid host was found" in fault, fault)
    shell.order(admin, "compute", "service", "set", "--enable", host, "nova-compute")
    seen = service()
    shell.claim("compute service set --enable enables, and forgets the reason", (seen["Status"], seen["Disabled Reason"]) == ("enabled", None), seen)
    shell.order(admin, "compute", "service", "set", "--down", host, "nova-compute")
    seen = service()
    shell.claim("compute service set --down shows it down", (seen["State"], seen["Forced Down"]) == ("down", True), seen)
    shell.order(admin, "compute", "service", "set", "--up", host, "nova-compute")
    shell.claim("compute service set --up takes that back", shell.until(lambda: service()["State"] == "up", 10, 0.2))
    shell.refused(admin, "compute", "service", "set", "--disable", "no-such-host", "nova-compute", saying="not found")
    shell.refused(admin, "compute", "service", "delete", service()["ID"], saying="1 of 1 compute services failed to delete")
    shell.refused(admin, "compute", "service", "delete", "no-uuid", saying="Invalid uuid no-uuid")
    shell.run(admin, "host", "set", "--disable", host, json_output=False)
    shell.claim("host set --disable disables its service", service()["Status"] == "disabled")
    shell.run(admin, "host", "set", "--enable", host, json_output=False)
    shell.claim("host set --enable enables it", service()["Status"] == "enabled")
    kit.delete(shell, cast, mine["cloud"], refused)
