# What the test applies, plans again and destroys: a key pair and an instance with it.
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

resource "openstack_compute_keypair_v2" "key" {
  name = "${var.prefix}-key"
}

variable "power" {
  type    = string
  default = "active"
}

resource "openstack_compute_instance_v2" "web" {
  name        = "${var.prefix}-web"
  image_name  = "gapura-test"
  flavor_name = "m1.nano"
  key_pair    = openstack_compute_keypair_v2.key.name
  power_state = var.power
  tags        = ["terraform", "web"]
  admin_pass  = "s3cret-word"
  user_data   = "#!/bin/sh\necho from terraform\n"

  network {
    name = "private"
  }

  metadata = {
    purpose = "test"
  }
}

data "openstack_compute_instance_v2" "seen" {
  id = openstack_compute_instance_v2.web.id
}

data "openstack_compute_flavor_v2" "seen" {
  name = "m1.nano"
}

data "openstack_compute_keypair_v2" "seen" {
  name = openstack_compute_keypair_v2.key.name
}

data "openstack_compute_availability_zones_v2" "seen" {}

output "seen" {
  value = [data.openstack_compute_instance_v2.seen.name, data.openstack_compute_flavor_v2.seen.ram,
  data.openstack_compute_keypair_v2.seen.name, data.openstack_compute_availability_zones_v2.seen.names[0]]
}

output "address" {
  value = openstack_compute_instance_v2.web.access_ip_v4
}

output "instance" {
  value = openstack_compute_instance_v2.web.id
}
