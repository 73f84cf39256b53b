"""Domains, and the tree of projects with their tags."""

from shell import Shell

DOMAIN = ("id", "name", "enabled", "description", "options")
PROJECT = ("description", "domain_id", "enabled", "id", "is_domain", "name", "options", "parent_id", "tags")


def walk(shell: Shell, cast):
    domain = domains(shell, cast)
    admin, name = cast.admin, cast.name("project")
    project = shell.show(admin, "project", "create", name, fields=PROJECT, given={
        "name": name, "domain_id": "default", "parent_id": "default", "enabled": True, "is_domain": False, "description": "",
        "tags": [], "options": {}})["id"]
    child = shell.show(admin, "project", "create", "--domain", "Default", "--parent", name, "--description", "below", "--tag", "blue",
                       "--property", "cost=low", cast.name("child"), fields=(*PROJECT, "cost"),
                       given={"parent_id": project, "description": "below", "tags": ["blue"], "cost": "low"})["id"]
    shell.order(admin, "project", "set", "--description", "d", "--tag", "red", "--tag", "blue", name)
    shell.show(admin, "project", "show", name, fields=PROJECT, given={"id": project, "description": "d", "tags": ["blue", "red"]})
    shown = shell.run(admin, "project", "show", "--parents", child).data
    shell.claim("project show --parents names those above", project in str(shown.get("parents")), shown)
    shown = shell.run(admin, "project", "show", "--children", project).data
    shell.claim("project show --children names those below", child in str(shown.get("subtree")), shown)
    listed(shell, cast, project, child)
    shell.refused(admin, "project", "create", name, saying="409")
    shell.refused(admin, "project", "delete", project, saying="403")
    shell.order(admin, "project", "set", "--immutable", child)
    shell.refused(admin, "project", "delete", child, saying="403")
    shell.order(admin, "project", "set", "--no-immutable", child)
    shell.order(admin, "project", "set", "--disable", "--name", cast.name("renamed"), child)
    shell.show(admin, "project", "show", cast.name("renamed"), fields=(*PROJECT, "cost"), given={"id": child, "enabled": False})
    shell.order(admin, "project", "delete", child)
    shell.order(admin, "project", "delete", name)
    shell.refused(admin, "project", "show", name, saying="No Project found")

    inside = shell.show(admin, "project", "create", "--domain", domain, cast.name("inside"), fields=PROJECT, given={"domain_id": domain})["id"]
    shell.refused(admin, "domain", "delete", domain, saying="403")
    shell.order(admin, "domain", "set", "--disable", domain)
    shell.order(admin, "domain", "delete", domain)
    shell.refused(admin, "domain", "show", domain, saying="No Domain found")
    shell.refused(admin, "project", "show", inside, saying="No Project found")


def domains(shell: Shell, cast):
    admin, name = cast.admin, cast.name("domain")
    domain = shell.show(admin, "domain", "create", "--description", "of a test", name, fields=DOMAIN,
                        given={"name": name, "enabled": True, "description": "of a test", "options": {}})["id"]
    again = shell.show(admin, "domain", "create", "--or-show", name, fields=DOMAIN, given={"id": domain})
    shell.claim("domain create --or-show finds what is there", again["name"] == name, again)
    shell.refused(admin, "domain", "create", name, saying="409")
    shell.order(admin, "domain", "set", "--disable", "--description", "changed", name)
    shell.show(admin, "domain", "show", name, fields=DOMAIN, given={"id": domain, "enabled": False, "description": "changed"})
    rows = shell.rows(admin, "domain", "list", fields=("ID", "Name", "Enabled", "Description"))
    shell.claim("domain list has it", any(row["ID"] == domain and row["Enabled"] is False for row in rows), rows)
    rows = shell.rows(admin, "domain", "list", "--enabled", fields=("ID", "Name", "Enabled", "Description"))
    shell.claim("domain list --enabled has only those", rows and domain not in {row["ID"] for row in rows}, rows)
    rows = shell.rows(admin, "domain", "list", "--name", name, fields=("ID", "Name", "Enabled", "Description"))
    shell.claim("domain list --name has it alone", [row["ID"] for row in rows] == [domain], rows)
    shell.order(admin, "domain", "set", "--enable", "--name", f"{name}-2", name)
    shell.show(admin, "domain", "show", "Default", fields=DOMAIN, given={"id": "default", "enabled": True})
    return domain


def listed(shell: Shell, cast, project, child):
    admin = cast.admin

    def ids(*words):
        return [row["ID"] for row in shell.rows(admin, "project", "list", *words, fields=("ID", "Name"))]
    shell.claim("project list has both", {project, child} <= set(ids()))
    rows = shell.rows(admin, "project", "list", "--long", fields=("ID", "Name", "Domain ID", "Description", "Enabled"))
    shell.claim("project list --long says more", any(row["ID"] == child and row["Description"] == "below" for row in rows), rows)
    shell.claim("project list --parent has the one below", ids("--parent", project) == [child])
    shell.claim("project list --tags has those with all", ids("--tags", "blue,red") == [project])
    shell.claim("project list --tags-any has those with one", set(ids("--tags-any", "red,blue")) == {project, child})
    shell.claim("project list --not-tags leaves out those with all", project not in ids("--not-tags", "blue,red"))
    shell.claim("project list --not-tags-any leaves out those with one", not {project, child} & set(ids("--not-tags-any", "blue,red")))
    shell.claim("project list --domain has a domain's", {project, child} <= set(ids("--domain", "Default")))
    shell.claim("project list --disabled has neither", not {project, child} & set(ids("--disabled")))
    mine = shell.run(admin, "token", "issue").data["project_id"]
    shell.claim("project list --my-projects has one's own", mine in ids("--my-projects"))
    shell.claim("and not another's", project not in ids("--my-projects"))
    shell.claim("project list --sort sorts", ids("--sort", "name:desc", "--parent", project) == [child])
