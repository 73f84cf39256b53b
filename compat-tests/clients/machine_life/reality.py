"""The cloud follows what machines do by themselves, and leaves alone what isn't its own."""

import subprocess
import time

from tenant import Tenant

BY_HAND = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os></domain>"""


def walk(journey, tenant: Tenant, names):
    server, machine = tenant.boot(names["reality"])
    tenant.is_up(server)
    defined = subprocess.run(["virsh", "-q", "-c", tenant.host.uri, "create", "/dev/stdin"], capture_output=True, text=True,
                             input=BY_HAND.format(name=names["by hand"]))
    journey.claim("a domain is made by hand", defined.returncode == 0, defined.stderr)

    machine.press_power_button()
    journey.need("the guest switches itself off", journey.until(lambda: machine.state == "shut off", 60, 0.05), machine.state)
    follows(tenant, server)
    tenant.order("server", "start", server)
    tenant.becomes(server, "ACTIVE")
    tenant.is_up(server, 2)

    machine.kill()
    journey.need("a killed guest is off, says libvirt", journey.until(lambda: machine.state == "shut off", 60, 0.05), machine.state)
    follows(tenant, server)
    again = tenant.order("server", "pause", server, may_fail=True)
    journey.claim("a guest that is off can't be paused, and is told so", "409" in again.complaint and "vm_state stopped" in again.complaint, again.complaint)
    tenant.order("server", "reboot", "--hard", "--wait", server)
    tenant.becomes(server, "ACTIVE")

    tenant.delete(server)
    state = tenant.host.state_of(names["by hand"])
    journey.claim("the domain made by hand still runs", state == "running", state)
    subprocess.run(["virsh", "-q", "-c", tenant.host.uri, "destroy", names["by hand"]], capture_output=True)


def follows(tenant: Tenant, server):
    """How soon it shows is printed, and no claim: two seconds are promised, on a machine that does nothing else."""
    began = time.monotonic()
    tenant.becomes(server, "SHUTOFF", 20)
    print(f"   shown SHUTOFF {time.monotonic() - began:.1f} s after libvirt said so")
    power = tenant.shown(server)["OS-EXT-STS:power_state"]
    tenant.journey.claim("its power state is shut down", power in (4, "Shutdown"), power)
