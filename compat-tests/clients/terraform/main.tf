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

resource "openstack_compute_instance_v2" "web" {
  name        = "${var.prefix}-web"
  image_name  = "gapura-test"
  flavor_name = "m1.nano"
  key_pair    = openstack_compute_keypair_v2.key.name
  user_data   = "#!/bin/sh\necho from terraform\n"

  network {
    name = "private"
  }

  metadata = {
    purpose = "test"
  }
}

output "address" {
  value = openstack_compute_instance_v2.web.access_ip_v4
}

output "instance" {
  value = openstack_compute_instance_v2.web.id
}
