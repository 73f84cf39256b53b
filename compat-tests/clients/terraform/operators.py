"""Applies operators.tf, finds that a second plan changes nothing, changes in place, destroys; ends with `N passed, N failed`."""

import os
import sys

import openstack

from engine import Terraform


class Operators(Terraform):
    """The same, with the name of the cloud's host."""

    def variables(self):
        given = super().variables()
        return {**given, "var": [*given["var"], f"host={self.host}"]}


def walk(terraform):
    cloud = openstack.connect(cloud=os.environ["OS_CLOUD"])
    terraform.host = next(iter(cloud.compute.hypervisors())).name
    if not terraform.init():
        return
    try:
        if not terraform.apply("apply makes a flavor, access to it, quotas, an aggregate, a group and a server in it", "8 added"):
            return
        values = terraform.values()
        group, server = values["openstack_compute_servergroup_v2"], values["openstack_compute_instance_v2"]
        aggregate = cloud.compute.find_aggregate(f"{terraform.prefix}-racks")
        terraform.claim("the aggregate has the host and its metadata",
                        aggregate.hosts == [terraform.host] and aggregate.metadata.get("disk") == "ssd", aggregate)
        members = cloud.compute.get_server_group(group["id"]).member_ids
        terraform.claim("the server is in its group", members == [server["id"]], members)
        terraform.unchanged("a second plan changes nothing")
        terraform.replace('"low"', '"high"')
        terraform.replace('disk = "ssd"', 'disk = "nvme"')
        terraform.replace("instances     = 3", "instances     = 5")
        terraform.replace('-racks"', '-racks-renamed"')
        terraform.apply("extra specs, metadata, a name and a quota are changed in place", "0 added, 3 changed, 0 destroyed")
        quota = cloud.compute.get_quota_set(values["openstack_identity_project_v3"]["id"])
        terraform.claim("the quota holds", quota.instances == 5, quota)
        terraform.unchanged("and the plan after it changes nothing")
    finally:
        terraform.destroy("8 destroyed")


Operators(os.path.abspath(sys.argv[1]), "operators.tf").walk(walk)
