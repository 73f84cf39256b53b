"""Applies main.tf, finds that a second plan changes nothing, renames in place, destroys; ends with `N passed, N failed`."""

import os
import sys

import openstack

from engine import Terraform


def walk(terraform):
    if not terraform.init():
        return
    try:
        if terraform.apply("apply makes a key pair and an instance", "2 added"):
            values = terraform.values()
            instance = values["openstack_compute_instance_v2"]
            terraform.claim("the instance has an address, a MAC and its flavor's id",
                            instance["access_ip_v4"] and instance["network"][0]["mac"] and instance["flavor_id"], instance)
            terraform.claim("the key pair came with a private key", "PRIVATE KEY" in values["openstack_compute_keypair_v2"]["private_key"])
            terraform.unchanged("a second plan changes nothing")
            terraform.replace('"${var.prefix}-web"', '"${var.prefix}-web-renamed"')
            terraform.apply("a new name is an update in place", "1 changed")
            terraform.unchanged("and the plan after it changes nothing")
            name = f"{terraform.prefix}-web-renamed"
            seen = terraform.outputs()["seen"]
            terraform.claim("the data sources see what is there", seen == [name, 192, f"{terraform.prefix}-key", "nova"], seen)
            terraform.replace('"m1.nano"\n  key_pair', '"m1.micro"\n  key_pair')
            terraform.replace('purpose = "test"', 'purpose = "trial"')
            terraform.replace('["terraform", "web"]', '["terraform", "db"]')
            if terraform.apply("a resize, other metadata and other tags are an update in place", "0 added, 1 changed"):
                cloud = openstack.connect(cloud=os.environ["OS_CLOUD"])
                server = cloud.compute.get_server(instance["id"])
                terraform.claim("and the server is so", (server.status, server.flavor["original_name"], server.metadata, sorted(server.tags))
                                == ("ACTIVE", "m1.micro", {"purpose": "trial"}, ["db", "terraform"]), server)
                terraform.unchanged("and the plan after it changes nothing")
                for power, status in (("shutoff", "SHUTOFF"), ("active", "ACTIVE"), ("paused", "PAUSED"), ("active", "ACTIVE")):
                    terraform.given["power"] = power
                    terraform.apply(f"power_state = {power} is an update in place", "1 changed")
                    seen = cloud.compute.get_server(instance["id"]).status
                    terraform.claim(f"and the server is {status}", seen == status, seen)
                terraform.unchanged("and nothing is left to change")
    finally:
        terraform.destroy("2 destroyed")


Terraform(os.path.abspath(sys.argv[1]), "main.tf").walk(walk)
