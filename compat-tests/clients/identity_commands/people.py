"""Users, their passwords and options, and groups of them."""

from shell import Shell

USER = ("default_project_id", "domain_id", "email", "enabled", "id", "name", "description", "password_expires_at", "options")
GROUP = ("description", "domain_id", "id", "name")


def walk(shell: Shell, cast):
    admin, name = cast.admin, cast.name("user")
    project = shell.run(admin, "project", "create", cast.name("home")).data["id"]
    user = shell.show(admin, "user", "create", "--password", "x-password-1", "--project", cast.name("home"), "--email", "a@b.example",
                      "--description", "of a test", name, fields=USER, given={
                          "name": name, "domain_id": "default", "default_project_id": project, "email": "a@b.example", "enabled": True,
                          "description": "of a test", "password_expires_at": None, "options": {}})["id"]
    shell.refused(admin, "user", "create", name, saying="409")
    shell.show(admin, "user", "create", "--or-show", name, fields=USER, given={"id": user})
    shell.order(admin, "user", "set", "--password", "y-password-2", "--email", "c@d.example", name)
    shell.show(admin, "user", "show", name, fields=USER, given={"id": user, "email": "c@d.example"})
    shell.order(admin, "role", "add", "--user", name, "--project", project, "member")
    mine = cast.entry(cast.name("mine"), user_id=user, password="y-password-2", project_id=project)
    shell.show(mine, "user", "show", user, fields=USER, given={"id": user})
    shell.refused(mine, "user", "list", saying="403")
    shell.order(mine, "user", "password", "set", "--original-password", "y-password-2", "--password", "z-password-3")
    shell.refused(mine, "token", "issue", saying="HTTP 401")
    cast.entry(mine, user_id=user, password="z-password-3", project_id=project)
    shell.show(mine, "token", "issue", fields=("expires", "id", "project_id", "user_id"), given={"user_id": user})
    shell.refused(mine, "user", "password", "set", "--original-password", "wrong", "--password", "w-password-4", saying="401")
    listed(shell, cast, user, name, project)
    options(shell, cast, name)
    groups(shell, cast, user, name)

    shell.order(admin, "user", "set", "--disable", name)
    shell.refused(mine, "token", "issue", saying="HTTP 401")
    rows = shell.rows(admin, "user", "list", "--disabled", fields=("ID", "Name"))
    shell.claim("user list --disabled has it", user in {row["ID"] for row in rows}, rows)
    shell.order(admin, "user", "set", "--enable", "--name", f"{name}-2", name)
    shell.order(admin, "user", "delete", f"{name}-2")
    shell.refused(admin, "user", "show", user, saying="No User found")
    shell.order(admin, "project", "delete", project)


def listed(shell: Shell, cast, user, name, project):
    admin = cast.admin
    rows = shell.rows(admin, "user", "list", fields=("ID", "Name"))
    shell.claim("user list has it", {"ID": user, "Name": name} in rows, rows)
    rows = shell.rows(admin, "user", "list", "--long", fields=("ID", "Name", "Project", "Domain", "Description", "Email", "Enabled"))
    shell.claim("user list --long says more",
                any((row["ID"], row["Project"], row["Domain"], row["Email"]) == (user, project, "default", "c@d.example") for row in rows), rows)
    rows = shell.rows(admin, "user", "list", "--project", project, fields=("ID", "Name"))
    shell.claim("user list --project has those with a role there", [row["ID"] for row in rows] == [user], rows)
    rows = shell.rows(admin, "user", "list", "--domain", "default", fields=("ID", "Name"))
    shell.claim("user list --domain has it", user in {row["ID"] for row in rows}, rows)


def options(shell: Shell, cast, name):
    """Options of a user: set and taken back, and a password that may not be changed by its own user."""
    admin, mine = cast.admin, cast.name("mine")
    shell.order(admin, "user", "set", "--ignore-lockout-failure-attempts", "--ignore-password-expiry",
                "--ignore-change-password-upon-first-use", "--enable-lock-password", name)
    held = shell.run(admin, "user", "show", name).data["options"]
    shell.claim("user set sets options", held == {
        "ignore_lockout_failure_attempts": True, "ignore_password_expiry": True, "ignore_change_password_upon_first_use": True,
        "lock_password": True}, held)
    shell.refused(mine, "user", "password", "set", "--original-password", "z-password-3", "--password", "w-password-4", saying="400")
    shell.order(admin, "user", "set", "--disable-lock-password", "--multi-factor-auth-rule", "password,totp",
                "--enable-multi-factor-auth", name)
    held = shell.run(admin, "user", "show", name).data["options"]
    shell.claim("user set takes them back, and sets rules of several factors",
                (held.get("lock_password"), held.get("multi_factor_auth_enabled"), held.get("multi_factor_auth_rules"))
                == (False, True, [["password", "totp"]]), held)
    shell.refused(mine, "token", "issue", saying="Not all required auth rules were satisfied: [['password', 'totp']]")
    shell.order(admin, "user", "set", "--disable-multi-factor-auth", name)
    shell.run(mine, "token", "issue")


def groups(shell: Shell, cast, user, name):
    admin, group_name = cast.admin, cast.name("group")
    group = shell.show(admin, "group", "create", "--description", "of a test", group_name, fields=GROUP,
                       given={"name": group_name, "description": "of a test", "domain_id": "default"})["id"]
    shell.refused(admin, "group", "create", group_name, saying="409")
    shell.show(admin, "group", "create", "--or-show", group_name, fields=GROUP, given={"id": group})
    shell.order(admin, "group", "set", "--description", "changed", group_name)
    shell.show(admin, "group", "show", group_name, fields=GROUP, given={"id": group, "description": "changed"})
    rows = shell.rows(admin, "group", "list", fields=("ID", "Name"))
    shell.claim("group list has it", {"ID": group, "Name": group_name} in rows, rows)
    rows = shell.rows(admin, "group", "list", "--long", fields=("ID", "Name", "Domain ID", "Description"))
    shell.claim("group list --long says more", any(row["ID"] == group and row["Description"] == "changed" for row in rows), rows)

    def contains(wanted):
        answer = shell.run(admin, "group", "contains", "user", group_name, name, json_output=False, may_fail=True)
        said = f"{answer.text}{answer.complaint}"
        shell.claim(f"group contains user says {wanted}", wanted in said, said)
    contains("not in group")
    shell.order(admin, "group", "add", "user", group_name, name)
    contains(f"{name} in group {group_name}")
    rows = shell.rows(admin, "user", "list", "--group", group_name, fields=("ID", "Name"))
    shell.claim("user list --group has it", [row["ID"] for row in rows] == [user], rows)
    rows = shell.rows(admin, "group", "list", "--user", name, fields=("ID", "Name"))
    shell.claim("group list --user has it", [row["ID"] for row in rows] == [group], rows)
    shell.order(admin, "group", "remove", "user", group_name, name)
    contains("not in group")
    shell.order(admin, "group", "set", "--name", f"{group_name}-2", group_name)
    shell.order(admin, "group", "delete", f"{group_name}-2")
    shell.refused(admin, "group", "show", group, saying="No Group found")
