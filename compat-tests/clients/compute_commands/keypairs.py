"""Key pairs: made by the cloud or by their owner, shown, listed, kept apart by user, and deleted."""

import os
import subprocess
import tempfile

from shell import Shell

MADE = ("created_at", "fingerprint", "id", "is_deleted", "name", "type", "user_id")
SHOWN = (*MADE, "private_key")
ROW = ("Name", "Fingerprint", "Type")


def walk(shell: Shell, cast):
    admin = cast.admin
    mine, other = cast.member("keyed"), cast.member("keyless")
    cloud, name = mine["cloud"], cast.name("key")
    with tempfile.TemporaryDirectory(prefix="gapura-compute-commands.") as folder:
        key = os.path.join(folder, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of a test", "-f", key], check=True)
        with open(f"{key}.pub", encoding="utf-8") as file:
            public = file.read().strip()
        prints = subprocess.run(["ssh-keygen", "-l", "-E", "md5", "-f", key], check=True, capture_output=True, text=True).stdout
        fingerprint = prints.split()[1].removeprefix("MD5:")
        given = {"name": name, "id": name, "type": "ssh", "user_id": mine["user"], "fingerprint": fingerprint}
        shell.show(cloud, "keypair", "create", "--public-key", f"{key}.pub", name, fields=MADE, given=given)
        shell.show(cloud, "keypair", "show", name, fields=SHOWN, given={**given, "is_deleted": False, "private_key": None})
        said = shell.run(cloud, "keypair", "show", "--public-key", name, json_output=False).text
        shell.claim("keypair show --public-key prints the key that was given", said.strip() == public, said)
        shell.refused(cloud, "keypair", "create", "--public-key", f"{key}.pub", name, saying="already exists")
        broken = os.path.join(folder, "broken.pub")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("ssh-ed25519 no-key")
        shell.refused(cloud, "keypair", "create", "--public-key", broken, cast.name("broken"), saying="Keypair data is invalid")
        own = os.path.join(folder, "own")
        shell.show(cloud, "keypair", "create", "--private-key", own, cast.name("own"), fields=MADE)
        shown = shell.run(cloud, "keypair", "show", "--public-key", cast.name("own"), json_output=False).text.split()
        os.chmod(own, 0o600)  # the client leaves it open to all, which OpenSSH refuses
        derived = subprocess.run(["ssh-keygen", "-y", "-f", own], check=True, capture_output=True, text=True).stdout.split()
        shell.claim("the private key that the client wrote belongs to the public one", derived[:2] == shown[:2], (derived, shown))
    for wrong in ("", "a/b", "x" * 256):
        shell.refused(cloud, "keypair", "create", wrong, saying="400")
    listed(shell, cast, mine, other, name)
    shell.refused(other["cloud"], "keypair", "show", name, saying="No Keypair found")
    shell.refused(other["cloud"], "keypair", "delete", name, saying="1 of 1 keys failed to delete")
    # The administrator makes one for somebody, who then has it.
    shell.run(admin, "keypair", "create", "--user", other["user"], cast.name("gift"))
    shell.show(other["cloud"], "keypair", "show", cast.name("gift"), fields=SHOWN, given={"user_id": other["user"]})
    shell.order(admin, "keypair", "delete", "--user", other["user"], cast.name("gift"))
    shell.refused(other["cloud"], "keypair", "show", cast.name("gift"), saying="No Keypair found")
    shell.order(cloud, "keypair", "delete", name, cast.name("own"))
    shell.claim("deleted key pairs are gone", shell.run(cloud, "keypair", "list").data == [])
    cast.dismiss(mine, other)


def listed(shell: Shell, cast, mine, other, name):
    rows = shell.rows(mine["cloud"], "keypair", "list", fields=ROW)
    shell.claim("keypair list has both", [row["Name"] for row in rows] == sorted([name, cast.name("own")]), rows)
    shell.claim("another has none of them", shell.run(other["cloud"], "keypair", "list").data == [])
    rows = shell.run(cast.admin, "keypair", "list", "--user", mine["user"]).data
    shell.claim("keypair list --user has somebody's", len(rows) == 2, rows)
    rows = shell.run(cast.admin, "keypair", "list", "--project", mine["project"]).data
    shell.claim("keypair list --project has those of its users", len(rows) == 2, rows)
    shell.refused(mine["cloud"], "keypair", "list", "--user", other["user"], saying="403")
