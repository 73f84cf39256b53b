"""Roles, what they imply, and who holds them where."""

from shell import Shell

ROLE = ("id", "name", "domain_id", "description")
ASSIGNMENT = ("Role", "User", "Group", "Project", "Domain", "System", "Inherited")


def walk(shell: Shell, cast):
    admin, name, other = cast.admin, cast.name("role"), cast.name("implied")
    role = shell.show(admin, "role", "create", "--description", "of a test", name, fields=ROLE,
                      given={"name": name, "domain_id": None, "description": "of a test"})["id"]
    implied = shell.show(admin, "role", "create", other, fields=ROLE, given={"name": other, "description": None})["id"]
    shell.refused(admin, "role", "create", name, saying="409")
    shell.show(admin, "role", "create", "--or-show", name, fields=ROLE, given={"id": role})
    shell.order(admin, "role", "set", "--description", "changed", name)
    shell.show(admin, "role", "show", name, fields=ROLE, given={"id": role, "description": "changed"})
    rows = shell.rows(admin, "role", "list", fields=("ID", "Name"))
    shell.claim("role list has it, and the cloud's own",
                {name, "admin", "manager", "member", "reader", "service"} <= {row["Name"] for row in rows}, rows)
    shell.order(admin, "role", "set", "--immutable", name)
    shell.refused(admin, "role", "delete", name, saying="403")
    shell.order(admin, "role", "set", "--no-immutable", name)

    shell.show(admin, "implied", "role", "create", name, "--implied-role", other, fields=("implies", "prior_role"),
               given={"implies": implied, "prior_role": role})
    columns = ("Prior Role ID", "Prior Role Name", "Implied Role ID", "Implied Role Name")
    rows = shell.rows(admin, "implied", "role", "list", fields=columns)
    shell.claim("implied role list has it", dict(zip(columns, (role, name, implied, other))) in rows, rows)
    held(shell, cast, name, other)
    shell.order(admin, "implied", "role", "delete", name, "--implied-role", other)
    rows = shell.rows(admin, "implied", "role", "list", fields=columns)
    shell.claim("implied role list has it no more", role not in {row["Prior Role ID"] for row in rows}, rows)
    of_domain(shell, cast)
    shell.order(admin, "role", "set", "--name", f"{name}-2", name)
    shell.order(admin, "role", "delete", f"{name}-2", other)
    shell.refused(admin, "role", "show", role, saying="No Role found")


def held(shell: Shell, cast, role, implied):
    """Each kind of grant: made, listed, and its effect; then taken away."""
    admin, project, user, group = cast.admin, cast.name("place"), cast.name("holder"), cast.name("holders")
    made = {noun: shell.run(admin, noun, "create", name).data["id"]
            for noun, name in (("domain", cast.name("realm")), ("project", project), ("user", user), ("group", group))}
    shell.order(admin, "group", "add", "user", group, user)
    inside = shell.run(admin, "project", "create", "--domain", made["domain"], cast.name("inside")).data["id"]
    grants = [(*who, *where) for who in (("--user", user), ("--group", group)) for where in (
        ("--project", project), ("--domain", made["domain"]), ("--system", "all"), ("--domain", made["domain"], "--inherited"))]
    for grant in grants:
        shell.order(admin, "role", "add", *grant, role)
        rows = shell.rows(admin, "role", "assignment", "list", *grant, "--names", fields=ASSIGNMENT)
        mine = [row for row in rows if row["Role"] == role]
        place = {"--project": ("Project", f"{project}@Default"), "--domain": ("Domain", cast.name("realm")), "--system": ("System", "all")}
        column, value = place[grant[2]]
        who = ("User", f"{user}@Default") if grant[0] == "--user" else ("Group", f"{group}@Default")
        inherited = "--inherited" in grant
        wanted = {**dict.fromkeys(ASSIGNMENT, ""), "Role": role, column: value, who[0]: who[1], "Inherited": inherited}
        shell.claim(f"role assignment list {' '.join(grant)} --names prints it", wanted in mine, rows)
    rows = shell.rows(admin, "role", "assignment", "list", "--user", made["user"], "--project", made["project"], "--effective", "--names",
                      fields=ASSIGNMENT)
    shell.claim("--effective has the role and what it implies", {role, implied} == {row["Role"] for row in rows}, rows)
    rows = shell.rows(admin, "role", "assignment", "list", "--user", made["user"], "--project", inside, "--effective", "--names",
                      fields=ASSIGNMENT)
    shell.claim("--effective has on a project what it inherits from its domain", {role, implied} == {row["Role"] for row in rows}, rows)
    rows = shell.rows(admin, "role", "assignment", "list", "--role", role, fields=ASSIGNMENT)
    shell.claim("role assignment list --role has all", len(rows) == len(grants), rows)
    rows = shell.rows(admin, "project", "list", "--user", made["user"], fields=("ID", "Name"))
    shell.claim("project list --user has where the user may go", {made["project"], inside} == {row["ID"] for row in rows}, rows)
    for grant in grants:
        shell.order(admin, "role", "remove", *grant, role)
    rows = shell.rows(admin, "role", "assignment", "list", "--role", role, fields=ASSIGNMENT)
    shell.claim("role remove takes all away", not rows, rows)
    rows = shell.rows(admin, "role", "assignment", "list", "--auth-user", "--auth-project", "--names", fields=ASSIGNMENT)
    shell.claim("role assignment list --auth-user has one's own", "admin" in {row["Role"] for row in rows}, rows)
    shell.order(admin, "domain", "set", "--disable", made["domain"])
    for noun in ("user", "group", "project", "domain"):
        shell.order(admin, noun, "delete", made[noun])


def of_domain(shell: Shell, cast):
    """A role that belongs to a domain."""
    admin, domain = cast.admin, cast.name("owner")
    owner = shell.run(admin, "domain", "create", domain).data["id"]
    role = shell.show(admin, "role", "create", "--domain", domain, cast.name("local"), fields=ROLE, given={"domain_id": owner})["id"]
    rows = shell.rows(admin, "role", "list", "--domain", domain, fields=("ID", "Name", "Domain"))
    shell.claim("role list --domain has it alone", [(row["ID"], row["Domain"]) for row in rows] == [(role, domain)], rows)
    shell.order(admin, "role", "delete", "--domain", domain, cast.name("local"))
    shell.order(admin, "domain", "set", "--disable", domain)
    shell.order(admin, "domain", "delete", domain)
