"""Trusts: one user lets another act in their stead."""

from shell import Shell

TRUST = ("expires_at", "id", "is_impersonation", "project_id", "redelegated_trust_id", "redelegation_count", "remaining_uses", "roles",
         "trustee_user_id", "trustor_user_id")
ROW = ("ID", "Expires At", "Impersonation", "Project ID", "Trustee User ID", "Trustor User ID")


def walk(shell: Shell, cast):
    trustor, trustee = cast.member("trustor"), cast.member("trustee")
    # By its id: who may not list roles can't name one.
    role = shell.run(cast.admin, "role", "show", "member").data["id"]
    given = {"is_impersonation": True, "project_id": trustor["project"], "trustee_user_id": trustee["user"],
             "trustor_user_id": trustor["user"], "remaining_uses": None}
    made = shell.show(trustor["cloud"], "trust", "create", "--project", trustor["project"], "--role", role, "--impersonate",
                      "--expiration", "2099-01-01T00:00:00", trustor["user"], trustee["user"], fields=TRUST, given=given)
    shell.claim("it has the role and its end", "member" in str(made["roles"]) and made["expires_at"].startswith("2099-01-01T00:00:00"), made)
    shell.show(trustor["cloud"], "trust", "show", made["id"], fields=TRUST, given=given)
    for cloud, words in ((cast.admin, ()), (trustor["cloud"], ("--trustor", trustor["user"])), (trustee["cloud"], ("--trustee", trustee["user"])),
                         (trustor["cloud"], ("--auth-user",))):
        rows = shell.rows(cloud, "trust", "list", *words, fields=ROW)
        shell.claim(f"trust list {' '.join(words)} has it", made["id"] in {row["ID"] for row in rows}, rows)
    by_trust = cast.entry(cast.name("by-trust"), user_id=trustee["user"], password=trustee["password"], trust_id=made["id"])
    shell.show(by_trust, "token", "issue", fields=("expires", "id", "project_id", "user_id"),
               given={"user_id": trustor["user"], "project_id": trustor["project"]})
    shell.refused(trustee["cloud"], "trust", "delete", made["id"], saying="403")
    shell.order(trustor["cloud"], "trust", "delete", made["id"])
    shell.refused(by_trust, "token", "issue", saying="HTTP 40")
    shell.refused(cast.admin, "trust", "show", made["id"], saying="No Trust found")
    cast.dismiss(trustor, trustee)
