# Every identity resource and data source of the provider, as an administrator of the cloud applies them.
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

resource "openstack_identity_project_v3" "project" {
  name        = "${var.prefix}-project"
  description = "of a test"
  tags        = ["terraform", "test"]
}

resource "openstack_identity_project_v3" "child" {
  name      = "${var.prefix}-child"
  parent_id = openstack_identity_project_v3.project.id
}

resource "openstack_identity_user_v3" "user" {
  name               = "${var.prefix}-user"
  password           = "terraform-password-1"
  default_project_id = openstack_identity_project_v3.project.id
  description        = "of a test"

  ignore_lockout_failure_attempts = true

  extra = {
    email = "${var.prefix}@before.example"
  }

  multi_factor_auth_rule {
    rule = ["password", "totp"]
  }
}

resource "openstack_identity_group_v3" "group" {
  name        = "${var.prefix}-group"
  description = "of a test"
}

resource "openstack_identity_user_membership_v3" "membership" {
  user_id  = openstack_identity_user_v3.user.id
  group_id = openstack_identity_group_v3.group.id
}

resource "openstack_identity_role_v3" "role" {
  name = "${var.prefix}-role"
}

resource "openstack_identity_role_assignment_v3" "user" {
  user_id    = openstack_identity_user_v3.user.id
  project_id = openstack_identity_project_v3.project.id
  role_id    = openstack_identity_role_v3.role.id
}

resource "openstack_identity_role_assignment_v3" "group" {
  group_id  = openstack_identity_group_v3.group.id
  domain_id = "default"
  role_id   = openstack_identity_role_v3.role.id
}

resource "openstack_identity_inherit_role_assignment_v3" "user" {
  user_id   = openstack_identity_user_v3.user.id
  domain_id = "default"
  role_id   = openstack_identity_role_v3.role.id
}

resource "openstack_identity_inherit_role_assignment_v3" "group" {
  group_id   = openstack_identity_group_v3.group.id
  project_id = openstack_identity_project_v3.project.id
  role_id    = openstack_identity_role_v3.role.id
}

resource "openstack_identity_application_credential_v3" "credential" {
  name        = "${var.prefix}-credential"
  description = "of one test"
  roles       = ["reader"]
  expires_at  = "2099-01-01T00:00:00Z"

  access_rules {
    service = "compute"
    method  = "GET"
    path    = "/v2.1/servers"
  }
}

resource "openstack_identity_ec2_credential_v3" "credential" {}

resource "openstack_identity_service_v3" "service" {
  name        = "${var.prefix}-service"
  type        = "${var.prefix}-type"
  description = "of a test"
}

resource "openstack_identity_endpoint_v3" "endpoint" {
  name            = "${var.prefix}-endpoint"
  service_id      = openstack_identity_service_v3.service.id
  endpoint_region = "RegionOne"
  interface       = "public"
  url             = "http://127.0.0.1:9/before"
}

# Keystone refuses to change one that a limit of a project refers to, so what is changed is the other.
resource "openstack_identity_registered_limit_v3" "limit" {
  service_id    = openstack_identity_service_v3.service.id
  resource_name = "widgets"
  default_limit = 30
}

resource "openstack_identity_registered_limit_v3" "free" {
  service_id    = openstack_identity_service_v3.service.id
  resource_name = "gadgets"
  default_limit = 10
}

resource "openstack_identity_limit_v3" "limit" {
  project_id     = openstack_identity_project_v3.project.id
  service_id     = openstack_identity_registered_limit_v3.limit.service_id
  resource_name  = openstack_identity_registered_limit_v3.limit.resource_name
  resource_limit = 5
}

# A user without a password, disabled: the least that can be said of one.
resource "openstack_identity_user_v3" "nobody" {
  name    = "${var.prefix}-nobody"
  enabled = false
}

data "openstack_identity_project_v3" "project" {
  name       = openstack_identity_project_v3.project.name
  depends_on = [openstack_identity_project_v3.child]
}

data "openstack_identity_user_v3" "user" {
  name = openstack_identity_user_v3.user.name
}

data "openstack_identity_role_v3" "role" {
  name = openstack_identity_role_v3.role.name
}

data "openstack_identity_group_v3" "group" {
  name = openstack_identity_group_v3.group.name
}

data "openstack_identity_service_v3" "service" {
  name = openstack_identity_service_v3.service.name
}

data "openstack_identity_auth_scope_v3" "scope" {
  name = "own"
}

output "project" { value = openstack_identity_project_v3.project.id }
output "project_found" { value = data.openstack_identity_project_v3.project.id }
output "user" { value = openstack_identity_user_v3.user.id }
output "user_found" { value = data.openstack_identity_user_v3.user.id }
output "role" { value = openstack_identity_role_v3.role.id }
output "role_found" { value = data.openstack_identity_role_v3.role.id }
output "group" { value = openstack_identity_group_v3.group.id }
output "group_found" { value = data.openstack_identity_group_v3.group.id }
output "service" { value = openstack_identity_service_v3.service.id }
output "service_found" { value = data.openstack_identity_service_v3.service.id }
output "asker" { value = data.openstack_identity_auth_scope_v3.scope.user_name }
