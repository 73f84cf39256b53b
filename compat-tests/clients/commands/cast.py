"""Who acts: the cloud's administrator, and users made for a chapter, each with an entry in the clouds file."""

import secrets

import yaml


class Cast:
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
        # In hexadecimal: what begins with a dash is an option to the client.
        password = secrets.token_hex(12)
        project = self.shell.run(self.admin, "project", "create", self.name(f"{noun}-project")).data["id"]
        user = self.shell.run(self.admin, "user", "create", "--password", password, self.name(noun)).data["id"]
        self.shell.run(self.admin, "role", "add", "--user", user, "--project", project, role, json_output=False)
        cloud = self.entry(self.name(noun), user_id=user, password=password, project_id=project)
        return {"project": project, "user": user, "cloud": cloud, "password": password}

    def dismiss(self, *members):
        for member in members:
            self.shell.order(self.admin, "user", "delete", member["user"])
            self.shell.order(self.admin, "project", "delete", member["project"])
