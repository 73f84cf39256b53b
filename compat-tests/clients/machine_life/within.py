"""What reaches into the guest: a password by its agent, an interrupt, what its config drive says after a rename."""

import hashlib
import json

from tenant import Tenant

PASSWORD = "a new one: for root"


def walk(journey, tenant: Tenant, names):
    server, machine = tenant.boot(names["within"], image=names["image"])
    tenant.is_up(server)
    journey.until(lambda: machine.agent("guest-ping"), 60)
    tenant.order("server", "set", "--password", PASSWORD, server)
    heard = tenant.hears(server, r"GUEST: password of root (\w+)", 30)
    journey.claim("the guest was given that password", heard and heard[1] == hashlib.sha256(PASSWORD.encode()).hexdigest(), heard)

    without, _ = tenant.boot(names["without agent"])
    refused = tenant.order("server", "set", "--password", PASSWORD, without, may_fail=True)
    journey.claim("a server whose image names no agent is refused", "409" in refused.complaint and "agent" in refused.complaint, refused.complaint)

    tenant.order("server", "dump", "create", server)
    nmi = tenant.hears(server, r"NMI received|NMI: |Dazed and confused", 30)
    journey.claim("an interrupt for a crash dump reaches the kernel", nmi, tenant.console(server)[-300:])

    figures = tenant.command("server", "show", "--diagnostics", server, "-f", "json")
    journey.claim("diagnostics tell that it runs", json.loads(figures.text).get("state") == "running", figures.text[:200])

    tenant.order("--os-compute-api-version", "2.90", "server", "set", "--hostname", names["renamed"], server)
    tenant.order("server", "reboot", "--hard", "--wait", server)
    heard = tenant.hears(server, rf"GUEST: config-drive .*hostname={names['renamed']}")
    journey.claim("after the next start the guest reads its new name", heard)
    tenant.delete(server, without)
