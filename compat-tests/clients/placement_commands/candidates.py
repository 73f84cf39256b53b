"""Where a request would fit."""

from shell import Shell
from speech import NEWEST, hosts

FIELDS = ("#", "allocation", "resource provider", "inventory used/capacity", "traits")


def walk(shell: Shell, cast):
    admin = cast.admin
    both = set(hosts(shell, admin).values())
    rows = shell.rows(admin, "allocation", "candidate", "list", "--resource", "VCPU=1", "--resource", "MEMORY_MB=64", *NEWEST, fields=FIELDS)
    shell.claim("a small request fits on each host", {row["resource provider"] for row in rows} == both, rows)
    rows = shell.run(admin, "allocation", "candidate", "list", "--resource", "VCPU=1", "--limit", "1", *NEWEST).data
    shell.claim("allocation candidate list --limit is kept to", len(rows) == 1, rows)
    for words in (("--resource", "VCPU=100000"), ("--resource", "VGPU=1"), ("--resource", "VCPU=1", "--required", "STORAGE_DISK_SSD"),
                  ("--resource", "VCPU=1", "--forbidden", "COMPUTE_NODE")):
        rows = shell.run(admin, "allocation", "candidate", "list", *words, *NEWEST).data
        shell.claim(f"what no host has fits nowhere: {' '.join(words)}", rows == [], rows)
    shell.refused(admin, "allocation", "candidate", "list", "--resource", "CPU=1", *NEWEST, saying="No such resource class CPU.")
