"""Chapter 1: who one is, what there is, and a new project with a user who can log in."""

import secrets

import yaml

from journey import Journey

#: The cloud of the clouds file in which the new user acts.
OTHER = "main-job-other"


def walk(journey: Journey, names, clouds, admin):
    """Returns the project and user made, for the chapters to come."""
    token = journey.run(admin, "token", "issue", show=False).data
    journey.claim("a token has an id, an expiry, a user and a project",
                  all(token.get(key) for key in ("id", "expires", "user_id", "project_id")), sorted(token))

    catalog = journey.run(admin, "catalog", "list").data
    kinds = {entry["Type"] for entry in catalog}
    journey.claim("the catalog has identity, image, compute and network",
                  {"identity", "image", "compute", "network"} <= kinds, kinds)
    journey.claim("every service of the catalog has a public endpoint",
                  all("public" in str(entry["Endpoints"]) for entry in catalog), catalog)

    versions = journey.run(admin, "versions", "show").data
    served = {entry["Service Type"]: entry for entry in versions if entry["Status"] == "CURRENT"}
    journey.claim("versions show finds a current version of each service",
                  {"identity", "image", "compute"} <= set(served), versions)
    compute = served.get("compute", {})
    journey.claim("compute says its lowest and highest microversion",
                  compute.get("Min Microversion") == "2.1" and compute.get("Max Microversion"), compute)

    project = journey.run(admin, "project", "create", names["project"]).data
    journey.claim("a new project is enabled and in the default domain",
                  project["enabled"] is True and project["domain_id"] == "default", project)

    # The password goes to the client by its own file afterwards; only this one command names it.
    password = secrets.token_urlsafe(18)
    user = journey.run(admin, "user", "create", "--password", password, "--project", project["id"], names["user"],
                       show=False).data
    journey.claim("a new user is enabled and shows no password", user["enabled"] is True and "password" not in user, sorted(user))
    journey.run(admin, "role", "add", "--user", user["id"], "--project", project["id"], "member", json_output=False)
    rows = journey.run(admin, "role", "assignment", "list", "--user", user["id"], "--project", project["id"], "--names").data
    journey.claim("the assignment is listed by its names",
                  [(row["Role"], row["Project"]) for row in rows] == [("member", f"{names['project']}@Default")], rows)

    auth = {
        "auth_url": clouds["clouds"][admin]["auth"]["auth_url"],
        "username": names["user"], "password": password, "project_name": names["project"],
        "user_domain_id": "default", "project_domain_id": "default",
    }
    region = clouds["clouds"][admin].get("region_name")
    common = {"auth": auth, "identity_api_version": 3, **({"region_name": region} if region else {})}
    clouds["clouds"][OTHER] = common
    clouds["clouds"][OTHER + "-wrong"] = {**common, "auth": {**auth, "password": "not-" + password}}
    clouds["clouds"][OTHER + "-nobody"] = {**common, "auth": {**auth, "username": "nobody-" + names["user"]}}
    with open(journey.clouds_file, "w", encoding="utf-8") as file:
        yaml.safe_dump(clouds, file)

    mine = journey.run(OTHER, "token", "issue", show=False).data
    journey.claim("the new user's token is of the new project and the new user",
                  (mine["project_id"], mine["user_id"]) == (project["id"], user["id"]), mine)

    refusal = "The request you have made requires authentication. (HTTP 401)"
    wrong = journey.run(OTHER + "-wrong", "token", "issue", may_fail=True)
    journey.claim("a wrong password is refused as Keystone refuses it", wrong.status == 1 and refusal in wrong.complaint, wrong.complaint)
    nobody = journey.run(OTHER + "-nobody", "token", "issue", may_fail=True)

    def plain(complaint):
        return complaint.split("(Request-ID")[0].strip()
    journey.claim("an unknown user is refused in the same words", nobody.status == 1 and plain(nobody.complaint) == plain(wrong.complaint),
                  nobody.complaint)
    forbidden = journey.run(OTHER, "user", "list", may_fail=True)
    journey.claim("a member may not list users", forbidden.status == 1 and "403" in forbidden.complaint, forbidden.complaint)
    return {"project": project["id"], "user": user["id"]}


def clean(journey: Journey, made, admin):
    journey.run(admin, "user", "delete", made["user"], json_output=False)
    journey.run(admin, "project", "delete", made["project"], json_output=False)
    gone = journey.run(OTHER, "token", "issue", may_fail=True)
    journey.claim("who was deleted can't log in", gone.status == 1 and "HTTP 401" in gone.complaint, gone.complaint)
