"""Tokens, the catalogue, and what it is made of: regions, services, endpoints, groups of endpoints."""

import json
import tempfile

from shell import Shell

SERVICE = ("id", "name", "type", "enabled", "description")
ENDPOINT = ("enabled", "id", "interface", "region", "region_id", "service_id", "url", "service_name", "service_type")
ENDPOINT_ROW = ("ID", "Region", "Service Name", "Service Type", "Enabled", "Interface", "URL")
REGION = ("region", "description", "parent_region")
ENDPOINT_GROUP = ("description", "filters", "id", "name")


def walk(shell: Shell, cast):
    admin = cast.admin
    tokens(shell, cast)
    region, below = cast.name("region"), cast.name("below")
    shell.show(admin, "region", "create", "--description", "a test's", region, fields=REGION,
               given={"region": region, "description": "a test's", "parent_region": None})
    shell.show(admin, "region", "create", "--parent-region", region, below, fields=REGION, given={"parent_region": region})
    shell.order(admin, "region", "set", "--description", "changed", region)
    shell.show(admin, "region", "show", region, fields=REGION, given={"description": "changed"})
    rows = shell.rows(admin, "region", "list", fields=("Region", "Parent Region", "Description"))
    shell.claim("region list has both", {region, below, "RegionOne"} <= {row["Region"] for row in rows}, rows)
    rows = shell.rows(admin, "region", "list", "--parent-region", region, fields=("Region", "Parent Region", "Description"))
    shell.claim("region list --parent-region has the one below", [row["Region"] for row in rows] == [below], rows)

    name = cast.name("service")
    service = shell.show(admin, "service", "create", "--name", name, "--description", "of a test", "commands-test", fields=SERVICE,
                         given={"name": name, "type": "commands-test", "enabled": True, "description": "of a test"})["id"]
    shell.order(admin, "service", "set", "--description", "changed", "--disable", service)
    shell.show(admin, "service", "show", name, fields=SERVICE, given={"id": service, "description": "changed", "enabled": False})
    shell.order(admin, "service", "set", "--enable", name)
    rows = shell.rows(admin, "service", "list", fields=("ID", "Name", "Type"))
    shell.claim("service list has it", {"ID": service, "Name": name, "Type": "commands-test"} in rows, rows)
    rows = shell.rows(admin, "service", "list", "--long", fields=("ID", "Name", "Type", "Description", "Enabled"))
    shell.claim("service list --long says more", any(row["ID"] == service and row["Enabled"] is True for row in rows), rows)

    endpoints(shell, cast, service, name, region)
    shell.order(admin, "service", "delete", name)
    shell.refused(admin, "service", "show", service, saying=f"No service with a type, name or ID of '{service}' exists.")
    shell.order(admin, "region", "delete", region)
    for gone in (region, below):
        shell.refused(admin, "region", "show", gone, saying="No Region found")


def tokens(shell: Shell, cast):
    admin = cast.admin
    shell.show(admin, "token", "issue", fields=("expires", "id", "project_id", "user_id"))
    shell.show(f"{admin}-system", "token", "issue", fields=("expires", "id", "system", "user_id"), given={"system": "all"})
    mine = cast.member("token")
    token = shell.run(mine["cloud"], "token", "issue").data["id"]
    bearer = cast.entry(cast.name("bearer"), auth_type="v3token", token=token, project_id=mine["project"])
    shell.show(bearer, "token", "issue", fields=("expires", "id", "project_id", "user_id"), given={"user_id": mine["user"]})
    shell.order(mine["cloud"], "token", "revoke", token)
    shell.refused(bearer, "token", "issue", saying="Failed to validate token (HTTP 404)")
    rows = shell.rows(admin, "catalog", "list", fields=("Name", "Type", "Endpoints"))
    kinds = {row["Type"]: row for row in rows}
    interfaces = {endpoint["interface"] for endpoint in kinds["identity"]["Endpoints"]}
    shell.claim("catalog list has identity with its endpoints", interfaces == {"public", "internal", "admin"}, kinds["identity"])
    shell.show(admin, "catalog", "show", "identity", fields=("endpoints", "id", "name", "type"), given={"type": "identity", "name": "keystone"})
    versions = shell.run(admin, "versions", "show").data
    shell.claim("versions show has v3 as identity's current version",
                any(row["Service Type"] == "identity" and row["Version"].startswith("3.") and row["Status"] == "CURRENT" for row in versions),
                versions)
    cast.dismiss(mine)


def endpoints(shell: Shell, cast, service, name, region):
    admin = cast.admin
    url = "http://127.0.0.1:9/%(project_id)s"
    endpoint = shell.show(admin, "endpoint", "create", "--region", region, name, "public", url, fields=ENDPOINT, given={
        "enabled": True, "interface": "public", "region": region, "region_id": region, "service_id": service, "url": url,
        "service_name": name, "service_type": "commands-test"})["id"]
    shell.order(admin, "endpoint", "set", "--url", f"{url}/v1", "--interface", "internal", endpoint)
    shell.show(admin, "endpoint", "show", endpoint, fields=ENDPOINT, given={"url": f"{url}/v1", "interface": "internal", "service_name": name})
    rows = shell.rows(admin, "endpoint", "list", fields=ENDPOINT_ROW)
    shell.claim("endpoint list has it, and the cloud's own", endpoint in {row["ID"] for row in rows} and len(rows) >= 4, rows)
    for words in (("--service", name), ("--region", region), ("--service", name, "--interface", "internal")):
        rows = shell.rows(admin, "endpoint", "list", *words, fields=ENDPOINT_ROW)
        shell.claim(f"endpoint list {words[-2]} has it alone", [row["ID"] for row in rows] == [endpoint], rows)
    project = shell.run(admin, "token", "issue").data["project_id"]
    shown = shell.run(admin, "catalog", "show", "commands-test").data
    shell.claim("the catalogue has its address with the project's id in it", f"http://127.0.0.1:9/{project}/v1" in str(shown), shown)
    shell.refused(admin, "region", "delete", region, saying="403")
    filters(shell, cast, service, endpoint)
    shell.order(admin, "endpoint", "delete", endpoint)
    shell.refused(admin, "endpoint", "show", endpoint, saying="No Endpoint found")


def filters(shell: Shell, cast, service, endpoint):
    """Which project sees which endpoint."""
    admin = cast.admin
    project = shell.run(admin, "project", "create", cast.name("filtered")).data["id"]
    shell.order(admin, "endpoint", "add", "project", endpoint, project)
    rows = shell.rows(admin, "endpoint", "list", "--project", project, fields=ENDPOINT_ROW)
    shell.claim("endpoint list --project has it", [row["ID"] for row in rows] == [endpoint], rows)
    rows = shell.rows(admin, "endpoint", "list", "--endpoint", endpoint, fields=("ID", "Name"))
    shell.claim("endpoint list --endpoint has the project", [row["ID"] for row in rows] == [project], rows)
    shell.order(admin, "endpoint", "remove", "project", endpoint, project)
    rows = shell.rows(admin, "endpoint", "list", "--project", project, fields=ENDPOINT_ROW)
    shell.claim("a project taken away has it no more", not rows, rows)

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"service_id": service}, file)
        file.flush()
        name = cast.name("endpoints")
        group = shell.show(admin, "endpoint", "group", "create", "--description", "of a test", name, file.name, fields=ENDPOINT_GROUP,
                           given={"name": name, "description": "of a test", "filters": {"service_id": service}})["id"]
        # Without its filters the client says that they are null, which Keystone refuses.
        shell.order(admin, "endpoint", "group", "set", "--name", f"{name}-2", "--filters", file.name, group)
    shell.show(admin, "endpoint", "group", "show", f"{name}-2", fields=ENDPOINT_GROUP, given={"id": group})
    shell.order(admin, "endpoint", "group", "add", "project", group, project)
    columns = ("ID", "Name", "Description")
    rows = shell.rows(admin, "endpoint", "group", "list", fields=columns)
    shell.claim("endpoint group list has it", group in {row["ID"] for row in rows}, rows)
    rows = shell.rows(admin, "endpoint", "group", "list", "--endpointgroup", group, fields=columns)
    shell.claim("endpoint group list --endpointgroup has the project", [row["ID"] for row in rows] == [project], rows)
    rows = shell.rows(admin, "endpoint", "group", "list", "--project", project, fields=columns)
    shell.claim("endpoint group list --project has the group", [row["ID"] for row in rows] == [group], rows)
    rows = shell.rows(admin, "endpoint", "list", "--project", project, fields=ENDPOINT_ROW)
    shell.claim("the group's endpoint is the project's", [row["ID"] for row in rows] == [endpoint], rows)
    shell.order(admin, "endpoint", "group", "remove", "project", group, project)
    shell.order(admin, "endpoint", "group", "delete", group)
    shell.order(admin, "project", "delete", project)
