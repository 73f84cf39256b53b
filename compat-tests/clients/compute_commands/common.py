"""The common commands that ask compute: versions and extensions."""

from shell import Shell


def walk(shell: Shell, cast):
    admin = cast.admin
    rows = shell.run(admin, "versions", "show", "--service", "compute").data
    seen = [(row["Version"], row["Status"], row["Min Microversion"]) for row in rows]
    shell.claim("versions show has compute's", seen == [("2.0", "DEPRECATED", None), ("2.1", "CURRENT", "2.1")], rows)
    highest = tuple(int(part) for part in rows[-1]["Max Microversion"].split("."))
    shell.refused(admin, "--os-compute-api-version", f"2.{highest[1] + 1}", "server", "list", saying=f"a maximum of {rows[-1]['Max Microversion']}")
    rows = shell.rows(admin, "extension", "list", "--compute", fields=("Name", "Alias", "Description"))
    aliases = {row["Alias"] for row in rows}
    wanted = {"os-keypairs", "os-server-groups", "os-aggregates", "os-hypervisors", "os-services", "os-flavor-access"}
    shell.claim("extension list --compute has them", wanted <= aliases, wanted - aliases)
    shell.refused(admin, "extension", "show", "no-such-extension", saying="No Extension found")
