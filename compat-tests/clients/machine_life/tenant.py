"""A project's member who has servers made, and what can be asked of one through the client."""

import os
import re
import sys

import openstack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "main_job"))

from journey import Journey  # noqa: E402
from machine import Machine  # noqa: E402

#: Emulated guests on a busy machine take their time; nothing here is measured by it.
PATIENCE = 120


class Tenant:
    def __init__(self, journey: Journey, cloud, operator, host, image, network):
        self.journey = journey
        # Orders go by the command; what is looked at again and again, by the library beneath it, which need not start anew.
        config = openstack.config.OpenStackConfig(config_files=[journey.clouds_file], load_envvars=False)
        self.compute = openstack.connection.Connection(config=config.get_one(cloud)).compute
        self.cloud = cloud
        self.operator = operator
        self.host = host
        self.image = image
        self.network = network

    def ask(self, *words, **options):
        return self.journey.run(self.cloud, *words, show=False, **options)

    def order(self, *words, **options):
        return self.ask(*words, json_output=False, **options)

    def command(self, *words, **options):
        """As the operator."""
        return self.journey.run(self.operator, *words, json_output=False, show=False, **options)

    def boot(self, name, *words, image=None, flavor="m1.nano"):
        """A server that runs, and its domain."""
        made = self.ask("server", "create", "--image", image or self.image, "--flavor", flavor, "--network", self.network,
                        *words, "--wait", name).data
        self.journey.need(f"{name} is ACTIVE", made["status"] == "ACTIVE", made)
        machine = Machine(self.host, made["id"])
        self.journey.need("libvirt says that it runs", machine.state == "running", machine.state)
        return made["id"], machine

    def shown(self, server):
        return self.ask("server", "show", server).data

    def becomes(self, server, status, patience=PATIENCE):
        def seen():
            shown = self.compute.get_server(server)
            return shown.status == status and shown.task_state is None
        self.journey.need(f"it becomes {status}", self.journey.until(seen, patience, 0.1), self.compute.get_server(server).status)

    def console(self, server):
        return self.compute.get_server_console_output(server)["output"] or ""

    def hears(self, server, pattern, patience=PATIENCE):
        """The last match of a pattern on the guest's console, once there is one."""
        def heard():
            found = list(re.finditer(pattern, self.console(server)))
            return found[-1] if found else None
        return self.journey.until(heard, patience)

    def is_up(self, server, boots=1):
        """The guest has booted so many times, as it says itself."""
        def ready():
            return self.console(server).count("GUEST: ready") >= boots
        self.journey.need("the guest says that it is ready", self.journey.until(ready, PATIENCE), self.console(server)[-400:])

    def last_beat(self, server):
        beat = self.hears(server, r"HB (\d+) ")
        return int(beat[1]) if beat else -1

    def delete(self, *servers):
        self.order("server", "delete", "--wait", *servers)
