"""What a guest has in memory goes on: through a pause, and through a suspension that ends its process."""

from tenant import Tenant


def walk(journey, tenant: Tenant, names):
    server, machine = tenant.boot(names["memory"])
    tenant.is_up(server)

    tenant.order("server", "pause", server)
    tenant.becomes(server, "PAUSED")
    journey.claim("libvirt says paused", machine.state == "paused", machine.state)
    tenant.order("server", "unpause", server)
    tenant.becomes(server, "ACTIVE")

    before = tenant.last_beat(server)
    tenant.order("server", "suspend", server)
    tenant.becomes(server, "SUSPENDED")
    journey.claim("a suspended server has no process", machine.process() is None and machine.state == "shut off", machine.state)
    tenant.order("server", "resume", server)
    tenant.becomes(server, "ACTIVE")
    beat = journey.until(lambda: tenant.last_beat(server) > before, 60)
    journey.claim("a resumed guest's counter goes on", beat, (before, tenant.last_beat(server)))
    journey.claim("it has booted once", tenant.console(server).count("GUEST: up") == 1, tenant.console(server)[-300:])
    tenant.delete(server)
