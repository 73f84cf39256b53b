"""The Identity panels, as an administrator uses them: each lists, creates, changes and deletes. Ends with `N passed, N failed`."""

import secrets
import sys

from browser import Browser, row_of

RUN = secrets.token_hex(3)


def name(noun):
    return f"horizon-{noun}-{RUN}"


def walk(horizon, clouds_file, cloud):
    if not horizon.login(clouds_file, cloud):
        return
    project = projects(horizon)
    groups(horizon, users(horizon, project))
    roles(horizon)
    domains(horizon)
    application_credentials(horizon)
    horizon.act("a project is deleted", "/identity/", "tenants", "delete", project)
    text = horizon.page("Projects, after it", "/identity/")
    horizon.claim("and is in the list no more", project and project not in text)


def listed(horizon, title, path, noun):
    """Opens a panel; returns the id of what a form made there."""
    row = row_of(horizon.page(title, path, (noun,)), noun)
    horizon.claim(f"{title} has a row for it", row)
    return row


def projects(horizon):
    horizon.page("Projects", "/identity/", ("admin", "Create Project"))
    horizon.submit("a project is created", "/identity/create", name=name("project"), description="of a test")
    project = listed(horizon, "Projects", "/identity/", name("project"))
    horizon.page("a project's page", f"/identity/{project}/detail/", (name("project"), "of a test"))
    horizon.submit("a project is changed", f"/identity/{project}/update/", name=name("renamed"), description="changed")
    horizon.page("Projects, after a change", "/identity/", (name("renamed"),))
    return project


def users(horizon, project):
    path = "/identity/users/"
    horizon.page("Users", path, ("admin", "Create User"))
    roles = horizon.send("the roles are fetched", "GET", "/api/keystone/roles/")
    member = next((role["id"] for role in roles["items"] if role["name"] == "member"), "")
    horizon.submit("a user is created", f"{path}create/", name=name("user"), email="a@b.example", password="horizon-password-1",
                   confirm_password="horizon-password-1", project=project, role_id=member, description="of a test")
    user = listed(horizon, "Users", path, name("user"))
    horizon.page("a user's page", f"{path}{user}/detail/", (name("user"), "a@b.example"))
    horizon.page("a user's roles", f"{path}{user}/detail/?tab=user_details__roleassignments", ("member",))
    horizon.submit("a user is changed", f"{path}{user}/update/", email="c@d.example")
    horizon.page("a user's page, after it", f"{path}{user}/detail/", ("c@d.example",))
    horizon.submit("a password is changed", f"{path}{user}/change_password/", password="horizon-password-2",
                   confirm_password="horizon-password-2")
    horizon.act("a user is disabled", path, "users", "toggle", user)
    horizon.act("and enabled", path, "users", "toggle", user)
    return user


def groups(horizon, user):
    path = "/identity/groups/"
    horizon.page("Groups", path, ("Create Group",))
    horizon.submit("a group is created", f"{path}create", name=name("group"), description="of a test")
    group = listed(horizon, "Groups", path, name("group"))
    horizon.submit("a group is changed", f"{path}{group}/update/", name=name("renamed-group"))
    horizon.act("a user is put into it", f"{path}{group}/add_members/", "group_non_members", "add", user)
    horizon.page("its members", f"{path}{group}/manage_members/", (name("user"),))
    horizon.act("a user is taken out of it", f"{path}{group}/manage_members/", "group_members", "removeGroupMember", user)
    horizon.act("a group is deleted", path, "groups", "delete", group)
    horizon.act("a user is deleted", "/identity/users/", "users", "delete", user)
    text = horizon.page("Users, after it", "/identity/users/")
    horizon.claim("and is in the list no more", user and user not in text)


def roles(horizon):
    """A panel that runs in the browser: its page, and what it sends."""
    horizon.page("Roles", "/identity/roles/")
    made = horizon.send("a role is created", "POST", "/api/keystone/roles/", {"name": name("role")})
    path = f"/api/keystone/roles/{made['id']}"
    horizon.send("a role is changed", "PATCH", path, {"name": name("renamed-role")})
    horizon.data("a role", path, lambda body: name("renamed-role") in body)
    horizon.send("a role is deleted", "DELETE", path)
    horizon.data("the list of roles", "/api/keystone/roles/", lambda body: '"member"' in body and made["id"] not in body)


def domains(horizon):
    path = "/identity/domains/"
    horizon.page("Domains", path, ("Default", "Create Domain"))
    horizon.submit("a domain is created", f"{path}create", name=name("domain"), description="of a test")
    domain = listed(horizon, "Domains", path, name("domain"))
    horizon.submit("a domain is changed", f"{path}{domain}/update/", name=name("renamed-domain"), description="changed")
    horizon.page("Domains, after a change", path, (name("renamed-domain"),))
    horizon.act("a domain is disabled", path, "domains", "disable", domain)
    horizon.act("a domain is deleted", path, "domains", "delete", domain)
    text = horizon.page("Domains, after it", path)
    horizon.claim("and is in the list no more", domain and domain not in text)


def application_credentials(horizon):
    path = "/identity/application_credentials/"
    horizon.page("Application Credentials", path, ("Create Application Credential",))
    horizon.submit("an application credential is created, and its secret told", f"{path}create/", name=name("credential"),
                   description="of a test", shows="Download clouds.yaml")
    credential = listed(horizon, "Application Credentials", path, name("credential"))
    horizon.page("an application credential's page", f"{path}{credential}/detail/", (name("credential"),))
    horizon.act("an application credential is deleted", path, "application_credentials", "delete", credential)
    text = horizon.page("Application Credentials, after it", path)
    horizon.claim("and is in the list no more", credential and credential not in text)


base, *arguments = sys.argv[1:]
Browser(base).walk(walk, *arguments)
