"""The compute commands that are not run, each with its reason; all others must have been."""

ATTACHING = "networks are chosen when a server is made; attaching later is not built and answers 501"
CONSOLES = "browsers' consoles come in a later issue: they answer 501"
FLOATING = "there are no floating IPs yet"
EVACUATING = "there is one host here: part two_hosts loses one of two"
MIGRATION = "there is one host here: the part nodes moves servers between two"
SECURITY_GROUPS = "there are no security groups yet"
SHARES = "there is no shared file system service"
VOLUMES = "there is no block storage service yet"

REASONS = {
    "aggregate cache image": "hosts are told of images by the image service (/v2/cache); asked of an aggregate it answers 501",
    "cloud cache delete": "it clears the client's own cache",
    "compute agent set": "the client lists agents first, which Nova has removed: `compute agent list` is run",
    "configuration show": "it shows the client's own configuration and asks nobody",
    "console connection": CONSOLES,
    "console url": CONSOLES,
    "project cleanup": "it asks block storage and orchestration, which are not there",
    "server add fixed ip": ATTACHING,
    "server add floating ip": FLOATING,
    "server add network": ATTACHING,
    "server add port": ATTACHING,
    "server add security group": SECURITY_GROUPS,
    "server add share": SHARES,
    "server add volume": VOLUMES,
    "server evacuate": EVACUATING,
    "server migration abort": MIGRATION,
    "server migration force complete": MIGRATION,
    "server migration show": MIGRATION,
    "server remove fixed ip": ATTACHING,
    "server remove floating ip": FLOATING,
    "server remove network": ATTACHING,
    "server remove port": ATTACHING,
    "server remove security group": SECURITY_GROUPS,
    "server remove share": SHARES,
    "server remove volume": VOLUMES,
    "server share": SHARES,
    "server ssh": "a server of the simulator has nobody who would answer",
    "server volume set": VOLUMES,
    "server volume update": VOLUMES,
}
