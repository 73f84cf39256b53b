"""Applies main.tf, finds that a second plan changes nothing, renames in place, destroys; ends with `N passed, N failed`."""

import os
import sys

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
    finally:
        terraform.destroy("2 destroyed")


Terraform(os.path.abspath(sys.argv[1]), "main.tf").walk(walk)
