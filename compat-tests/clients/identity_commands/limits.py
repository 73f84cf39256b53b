"""Registered limits, limits of a project, and stored policies."""

import tempfile

from shell import Shell

REGISTERED = ("default_limit", "description", "id", "region_id", "resource_name", "service_id")
LIMIT = ("description", "id", "project_id", "region_id", "resource_limit", "resource_name", "service_id")
POLICY = ("id", "rules", "type")


def walk(shell: Shell, cast):
    admin = cast.admin
    service = shell.run(admin, "service", "create", "--name", cast.name("limited"), "commands-limited").data["id"]
    project = shell.run(admin, "project", "create", cast.name("limited")).data["id"]
    made = shell.show(admin, "registered", "limit", "create", "--service", service, "--default-limit", "10", "--description", "of a test",
                      "widgets", fields=REGISTERED, given={
                          "default_limit": 10, "description": "of a test", "region_id": None, "resource_name": "widgets", "service_id": service})["id"]
    shell.show(admin, "registered", "limit", "set", "--default-limit", "20", made, fields=REGISTERED, given={"default_limit": 20})
    shell.show(admin, "registered", "limit", "show", made, fields=REGISTERED, given={"id": made, "default_limit": 20})
    columns = ("ID", "Service ID", "Resource Name", "Default Limit", "Description", "Region ID")
    rows = shell.rows(admin, "registered", "limit", "list", "--service", service, fields=columns)
    shell.claim("registered limit list --service has it", [row["ID"] for row in rows] == [made], rows)

    limit = shell.show(admin, "limit", "create", "--project", project, "--service", service, "--resource-limit", "5", "widgets", fields=LIMIT,
                       given={"project_id": project, "resource_limit": 5, "resource_name": "widgets", "service_id": service})["id"]
    shell.show(admin, "limit", "set", "--resource-limit", "7", "--description", "changed", limit, fields=LIMIT,
               given={"resource_limit": 7, "description": "changed"})
    shell.show(admin, "limit", "show", limit, fields=LIMIT, given={"id": limit, "resource_limit": 7})
    columns = ("ID", "Project ID", "Service ID", "Resource Name", "Resource Limit", "Description", "Region ID")
    for words in (("--project", project), ("--service", service), ("--resource-name", "widgets")):
        rows = shell.rows(admin, "limit", "list", *words, fields=columns)
        shell.claim(f"limit list {words[0]} has it alone", [row["ID"] for row in rows] == [limit], rows)
    shell.refused(admin, "registered", "limit", "delete", made, saying="403")
    shell.order(admin, "limit", "delete", limit)
    shell.refused(admin, "limit", "show", limit, saying="No Limit found")
    shell.order(admin, "registered", "limit", "delete", made)
    shell.refused(admin, "registered", "limit", "show", made, saying="No RegisteredLimit found")
    shell.order(admin, "project", "delete", project)
    shell.order(admin, "service", "delete", service)
    policies(shell, cast)


def policies(shell: Shell, cast):
    admin = cast.admin
    with tempfile.NamedTemporaryFile("w") as file:
        file.write('{"a_rule": "role:admin"}')
        file.flush()
        made = shell.show(admin, "policy", "create", file.name, fields=POLICY,
                          given={"rules": '{"a_rule": "role:admin"}', "type": "application/json"})["id"]
    shell.order(admin, "policy", "set", "--type", "application/x-test", made)
    shell.show(admin, "policy", "show", made, fields=POLICY, given={"id": made, "type": "application/x-test"})
    rows = shell.rows(admin, "policy", "list", fields=("ID", "Type"))
    shell.claim("policy list has it", {"ID": made, "Type": "application/x-test"} in rows, rows)
    rows = shell.rows(admin, "policy", "list", "--long", fields=("ID", "Type", "Rules"))
    shell.claim("policy list --long has its rules", any(row["ID"] == made and "a_rule" in row["Rules"] for row in rows), rows)
    shell.order(admin, "policy", "delete", made)
    shell.refused(admin, "policy", "show", made, saying="No Policy found")
