# What an operator of compute applies, plans again, changes and destroys: a flavor and who may use it, quotas, an aggregate,
# a server group and a server in it.
terraform {
  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
    }
  }
}

# The cloud comes from OS_CLIENT_CONFIG_FILE and OS_CLOUD.
provider "openstack" {}

variable "prefix" {
  type = string
}

resource "openstack_identity_project_v3" "tenant" {
  name = "${var.prefix}-tenant"
}

resource "openstack_compute_flavor_v2" "own" {
  name        = "${var.prefix}-own"
  description = "for one project"
  ram         = 64
  vcpus       = 1
  disk        = 1
  is_public   = false

  extra_specs = {
    "price" = "low"
  }
}

resource "openstack_compute_flavor_access_v2" "tenant" {
  flavor_id = openstack_compute_flavor_v2.own.id
  tenant_id = openstack_identity_project_v3.tenant.id
}

resource "openstack_compute_quotaset_v2" "tenant" {
  project_id    = openstack_identity_project_v3.tenant.id
  instances     = 3
  cores         = 6
  ram           = 4096
  key_pairs     = 10
  server_groups = 2
}

resource "openstack_compute_aggregate_v2" "racks" {
  name  = "${var.prefix}-racks"
  hosts = [var.host]

  metadata = {
    disk = "ssd"
  }
}

variable "host" {
  type = string
}

resource "openstack_compute_keypair_v2" "key" {
  name = "${var.prefix}-operator"
}

resource "openstack_compute_servergroup_v2" "together" {
  name     = "${var.prefix}-together"
  policies = ["affinity"]
}

resource "openstack_compute_instance_v2" "member" {
  name        = "${var.prefix}-member"
  image_name  = "gapura-test"
  flavor_name = "m1.nano"
  key_pair    = openstack_compute_keypair_v2.key.name

  network {
    name = "private"
  }

  scheduler_hints {
    group = openstack_compute_servergroup_v2.together.id
  }
}
