"""Application credentials with their access rules, stored credentials, EC2 credentials."""

import json

from shell import Shell

APPLICATION = ("ID", "Name", "Description", "Project ID", "Roles", "Unrestricted", "Access Rules", "Expires At")
RULE = ("ID", "Method", "Path", "Service")
STORED = ("blob", "id", "project_id", "type", "user_id")
EC2 = ("access", "links", "project_id", "secret", "trust_id", "user_id")


def walk(shell: Shell, cast):
    mine = cast.member("delegator")
    application(shell, cast, mine)
    access_rules(shell, cast, mine)
    stored(shell, cast, mine)
    ec2(shell, cast, mine)
    cast.dismiss(mine)


def application(shell: Shell, cast, mine):
    cloud, name = mine["cloud"], cast.name("credential")
    made = shell.show(cloud, "application", "credential", "create", "--description", "of a test", "--role", "reader", "--expiration",
                      "2099-01-01T00:00:00", name, fields=(*APPLICATION, "Secret"), given={
                          "Name": name, "Description": "of a test", "Project ID": mine["project"], "Unrestricted": False, "Access Rules": []})
    shell.claim("it has a secret, the role that was asked for, and its end",
                len(made["Secret"]) > 40 and "reader" in str(made["Roles"]) and "member" not in str(made["Roles"])
                and made["Expires At"].startswith("2099-01-01T00:00:00"), made)
    shown = shell.show(cloud, "application", "credential", "show", name, fields=APPLICATION, given={"ID": made["ID"]})
    shell.claim("the secret is shown once", made["Secret"] not in str(shown), "it is shown again")
    rows = shell.rows(cloud, "application", "credential", "list", fields=APPLICATION)
    shell.claim("application credential list has it", [row["ID"] for row in rows] == [made["ID"]], rows)
    rows = shell.rows(cast.admin, "application", "credential", "list", "--user", mine["user"], fields=APPLICATION)
    shell.claim("and its user's, for an administrator", [row["ID"] for row in rows] == [made["ID"]], rows)
    with_it = cast.entry(cast.name("application"), auth_type="v3applicationcredential", application_credential_id=made["ID"],
                         application_credential_secret=made["Secret"])
    shell.show(with_it, "token", "issue", fields=("expires", "id", "project_id", "user_id"),
               given={"project_id": mine["project"], "user_id": mine["user"]})
    shell.refused(with_it, "application", "credential", "create", "another", saying="403")
    free = shell.show(cloud, "application", "credential", "create", "--unrestricted", f"{name}-free", fields=(*APPLICATION, "Secret"),
                      given={"Unrestricted": True})
    freely = cast.entry(cast.name("free"), auth_type="v3applicationcredential", application_credential_id=free["ID"],
                        application_credential_secret=free["Secret"])
    shell.show(freely, "application", "credential", "create", f"{name}-child", fields=(*APPLICATION, "Secret"))
    shell.order(cloud, "application", "credential", "delete", name, f"{name}-free", f"{name}-child")
    # 401 here and 404 of Keystone, which says so of a credential that is gone.
    shell.refused(with_it, "token", "issue", saying="(HTTP 40")
    shell.refused(cloud, "application", "credential", "show", name, saying="No ApplicationCredential found")


def access_rules(shell: Shell, cast, mine):
    cloud, name = mine["cloud"], cast.name("ruled")
    rules = [{"service": "identity", "method": "GET", "path": "/v3/users/*"}]
    made = shell.show(cloud, "application", "credential", "create", "--access-rules", json.dumps(rules), name,
                      fields=(*APPLICATION, "Secret"))
    shell.claim("it keeps its rules", [{key: rule[key] for key in ("service", "method", "path")} for rule in made["Access Rules"]] == rules, made)
    rows = shell.rows(cloud, "access", "rule", "list", fields=("ID", "Service", "Method", "Path"))
    shell.claim("access rule list has it", [(row["Service"], row["Method"], row["Path"]) for row in rows] == [("identity", "GET", "/v3/users/*")], rows)
    rule = rows[0]["ID"] if rows else "none"
    shell.show(cloud, "access", "rule", "show", rule, fields=RULE, given={"ID": rule, "Method": "GET", "Service": "identity"})
    ruled = cast.entry(cast.name("ruled"), auth_type="v3applicationcredential", application_credential_id=made["ID"],
                       application_credential_secret=made["Secret"])
    shell.run(ruled, "user", "show", mine["user"])
    shell.refused(ruled, "application", "credential", "list", saying="401")
    shell.refused(cloud, "access", "rule", "delete", rule, saying="403")
    shell.order(cloud, "application", "credential", "delete", name)
    shell.order(cloud, "access", "rule", "delete", rule)
    rows = shell.rows(cloud, "access", "rule", "list", fields=("ID", "Service", "Method", "Path"))
    shell.claim("access rule list is empty again", not rows, rows)


def stored(shell: Shell, cast, mine):
    admin = cast.admin
    made = shell.show(admin, "credential", "create", "--type", "cert", "--project", mine["project"], mine["user"], "a blob", fields=STORED,
                      given={"blob": "a blob", "type": "cert", "user_id": mine["user"], "project_id": mine["project"]})["id"]
    columns = ("ID", "Type", "User ID", "Data", "Project ID")
    for words in ((), ("--user", mine["user"]), ("--type", "cert", "--user", mine["user"])):
        rows = shell.rows(admin, "credential", "list", *words, fields=columns)
        shell.claim(f"credential list {' '.join(words)} has it", made in {row["ID"] for row in rows}, rows)
    # The client sends the type with every change, and Keystone 30 takes none: the one command that works with neither.
    shell.refused(admin, "credential", "set", "--user", mine["user"], "--type", "cert", "--data", "another blob", "--project", mine["project"],
                  made, saying="('type' was unexpected)")
    shell.show(admin, "credential", "show", made, fields=STORED, given={"blob": "a blob"})
    shell.show(mine["cloud"], "credential", "show", made, fields=STORED, given={"blob": "a blob"})
    shell.order(admin, "credential", "delete", made)
    shell.refused(admin, "credential", "show", made, saying="No Credential found")


def ec2(shell: Shell, cast, mine):
    cloud = mine["cloud"]
    made = shell.show(cloud, "ec2", "credentials", "create", fields=EC2, given={"user_id": mine["user"], "project_id": mine["project"], "trust_id": None})
    shell.show(cloud, "ec2", "credentials", "show", made["access"], fields=EC2, given={"secret": made["secret"]})
    rows = shell.rows(cloud, "ec2", "credentials", "list", fields=("Access", "Secret", "Project ID", "User ID"))
    shell.claim("ec2 credentials list has it", [row["Access"] for row in rows] == [made["access"]], rows)
    shell.show(cast.admin, "ec2", "credentials", "show", "--user", mine["user"], made["access"], fields=EC2, given={"access": made["access"]})
    shell.order(cloud, "ec2", "credentials", "delete", made["access"])
    shell.refused(cloud, "ec2", "credentials", "show", made["access"], saying="404")
