"""Accounts for Tempest to take turns with, so that it makes none of its own.

Those of its own it removes together with their project's security groups, wherever there is a network service. A cloud
without security groups can show it networks only this way.
"""

import secrets

import yaml

# A class of tests takes one team at a time. There is one class a worker, and what a worker gave back may be asked for again
# before it is free.
TEAMS = 4
ROLES = ["member", "reader", "manager"]


def make(cloud, path):
    """A team is a project with a user for each role; besides, strangers with projects of their own, and administrators."""
    roles = {role.name: role for role in cloud.identity.roles()}
    accounts, mark = [], secrets.token_hex(3)

    def account(project, user, role):
        password = secrets.token_urlsafe(12)
        made = cloud.identity.create_user(name=user, password=password, domain_id="default")
        cloud.identity.assign_project_role_to_user(project, made, roles[role])
        accounts.append({"username": user, "project_name": project.name, "password": password, "roles": [role]})

    for number in range(TEAMS):
        for name, members in [("stranger", ["member"]), ("team", ROLES), ("operator", ["admin"])]:
            project = cloud.identity.create_project(name=f"tempest-{mark}-{name}-{number}", domain_id="default")
            for role in members:
                account(project, f"{project.name}-{role}", role)
    # Who is wanted for "another one" is the first that is free: strangers before what a team needs whole.
    accounts.sort(key=lambda entry: "stranger" not in entry["username"])
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(accounts, file)
