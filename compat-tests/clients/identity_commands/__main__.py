"""Every identity command of the `openstack` client, what each prints, and what each does.

A chapter is a module. It makes what it needs under names of its own and takes it away again, so that chapters can be run
alone. When all have run, the client's own list of identity commands is gone through: each was run, or stands in
`left_out` with its reason.
"""

import os
import secrets
import shutil
import sys
import tempfile

import yaml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import assignments  # noqa: E402
import catalogue  # noqa: E402
import credentials  # noqa: E402
import left_out  # noqa: E402
import limits  # noqa: E402
import people  # noqa: E402
import projects  # noqa: E402
import trusts  # noqa: E402
from shell import Shell  # noqa: E402

CHAPTERS = {module.__name__: module for module in (catalogue, projects, people, assignments, credentials, trusts, limits)}


class Cast:
    """Who acts: the cloud's administrator, and users made for a chapter, each with an entry in the clouds file."""

    def __init__(self, shell, clouds_file, admin="gapura"):
        self.shell = shell
        self.admin = admin
        self.run = secrets.token_hex(3)
        self.clouds_file = clouds_file

    def name(self, noun):
        return f"commands-{noun}-{self.run}"

    def entry(self, cloud, **auth):
        """Adds a cloud in which others act: what is given goes in place of the administrator's."""
        with open(self.clouds_file, encoding="utf-8") as file:
            clouds = yaml.safe_load(file)
        own = clouds["clouds"][self.admin]
        kind = auth.pop("auth_type", None)
        clouds["clouds"][cloud] = {**own, "auth": {"auth_url": own["auth"]["auth_url"], **auth}, **({"auth_type": kind} if kind else {})}
        with open(self.clouds_file, "w", encoding="utf-8") as file:
            yaml.safe_dump(clouds, file)
        return cloud

    def member(self, noun, role="member"):
        """A project with a user in it, and the cloud in which that user acts: their ids and its name."""
        password = secrets.token_urlsafe(12)
        project = self.shell.run(self.admin, "project", "create", self.name(f"{noun}-project")).data["id"]
        user = self.shell.run(self.admin, "user", "create", "--password", password, self.name(noun)).data["id"]
        self.shell.run(self.admin, "role", "add", "--user", user, "--project", project, role, json_output=False)
        cloud = self.entry(self.name(noun), user_id=user, password=password, project_id=project)
        return {"project": project, "user": user, "cloud": cloud, "password": password}

    def dismiss(self, *members):
        for member in members:
            self.shell.order(self.admin, "user", "delete", member["user"])
            self.shell.order(self.admin, "project", "delete", member["project"])


def main(clouds_file, *asked):
    folder = tempfile.mkdtemp(prefix="gapura-identity-commands.")
    mine = os.path.join(folder, "clouds.yaml")
    shutil.copy(clouds_file, mine)
    os.chmod(mine, 0o600)
    shell = Shell(mine)
    try:
        for name in asked or CHAPTERS:
            shell.chapter(name, CHAPTERS[name].walk, Cast(shell, mine))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not asked:
        left_out.account_for(shell)
    return shell.finish()


sys.exit(main(*sys.argv[1:]))
