"""Applies identity.tf as the administrator: every identity resource of the provider made, planned again without a change,
changed in place, destroyed. Ends with `N passed, N failed`."""

import os
import sys

from engine import Terraform

#: What is changed in place: attributes of the configuration before and after. The resources of it are eight.
CHANGES = [
    ('"of a test"', '"changed by a test"'),
    ('"${var.prefix}@before.example"', '"${var.prefix}@after.example"'),
    ('"${var.prefix}-role"', '"${var.prefix}-role-renamed"'),
    ('"http://127.0.0.1:9/before"', '"http://127.0.0.1:9/after"'),
    ("default_limit = 10", "default_limit = 20"),
    ("resource_limit = 5", "resource_limit = 7"),
]
RESOURCES, CHANGED = 18, 8


def walk(terraform):
    if not terraform.init():
        return
    try:
        if not terraform.apply(f"apply makes {RESOURCES} resources", f"{RESOURCES} added"):
            return
        values = terraform.values()
        credential = values["openstack_identity_application_credential_v3"]
        terraform.claim("the application credential has a secret and its role",
                        len(credential["secret"]) > 40 and credential["roles"] == ["reader"], "it has not")
        ec2 = values["openstack_identity_ec2_credential_v3"]
        terraform.claim("the EC2 credential has an access key and a secret", ec2["access"] and ec2["secret"], "it has not")
        endpoint = values["openstack_identity_endpoint_v3"]
        terraform.claim("the endpoint names its service", endpoint["service_name"] == f"{terraform.prefix}-service", endpoint)
        found = terraform.outputs()
        terraform.claim("the data sources find what was made",
                        all(found[f"{noun}_found"] == found[noun] for noun in ("project", "user", "role", "group", "service")), found)
        terraform.claim("the scope says who asks", found["asker"] == "admin", found)
        terraform.unchanged("a second plan changes nothing")
        for old, new in CHANGES:
            terraform.replace(old, new)
        terraform.apply(f"{CHANGED} resources are changed in place", f"0 added, {CHANGED} changed, 0 destroyed")
        terraform.unchanged("and the plan after it changes nothing")
    finally:
        terraform.destroy(f"{RESOURCES} destroyed")


Terraform(os.path.abspath(sys.argv[1]), "identity.tf").walk(walk)
