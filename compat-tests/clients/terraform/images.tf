# Every image resource and data source of the provider: two images of a member's, one of them shared with another project,
# which accepts it.
terraform {
  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
    }
  }
}

# The clouds come from OS_CLIENT_CONFIG_FILE; the owner's is OS_CLOUD.
provider "openstack" {}

provider "openstack" {
  alias = "other"
  cloud = var.other_cloud
}

variable "prefix" {
  type = string
}

variable "other_cloud" {
  type = string
}

# A file, and the address under which a web server has it.
variable "file" {
  type = string
}

variable "url" {
  type = string
}

resource "openstack_images_image_v2" "uploaded" {
  name             = "${var.prefix}-uploaded"
  local_file_path  = var.file
  container_format = "bare"
  disk_format      = "raw"
  visibility       = "shared"
  min_disk_gb      = 1
  min_ram_mb       = 64
  tags             = ["terraform", "before"]

  properties = {
    purpose = "before"
    passing = "yes"
  }
}

resource "openstack_images_image_v2" "fetched" {
  name             = "${var.prefix}-fetched"
  image_source_url = var.url
  web_download     = true
  container_format = "bare"
  disk_format      = "raw"
}

data "openstack_identity_auth_scope_v3" "other" {
  provider = openstack.other
  name     = "other"
}

resource "openstack_images_image_access_v2" "share" {
  image_id  = openstack_images_image_v2.uploaded.id
  member_id = data.openstack_identity_auth_scope_v3.other.project_id
}

resource "openstack_images_image_access_accept_v2" "answer" {
  provider  = openstack.other
  image_id  = openstack_images_image_access_v2.share.image_id
  member_id = openstack_images_image_access_v2.share.member_id
  status    = "accepted"
}

data "openstack_images_image_v2" "by_name" {
  name        = openstack_images_image_v2.uploaded.name
  most_recent = true
}

data "openstack_images_image_v2" "by_property" {
  tag        = "terraform"
  visibility = "shared"
  size_min   = openstack_images_image_v2.uploaded.size_bytes
  size_max   = openstack_images_image_v2.uploaded.size_bytes

  properties = {
    purpose = openstack_images_image_v2.uploaded.properties.purpose
  }
}

data "openstack_images_image_ids_v2" "mine" {
  name_regex = "^${var.prefix}-"
  sort       = "name:desc"
  owner      = openstack_images_image_v2.fetched.owner
  depends_on = [openstack_images_image_v2.uploaded]
}

data "openstack_images_image_ids_v2" "accepted" {
  provider      = openstack.other
  name          = "${var.prefix}-uploaded"
  visibility    = "shared"
  member_status = "accepted"
  depends_on    = [openstack_images_image_access_accept_v2.answer]
}

output "uploaded" { value = openstack_images_image_v2.uploaded.id }
output "fetched" { value = openstack_images_image_v2.fetched.id }
output "checksums" { value = [openstack_images_image_v2.uploaded.checksum, openstack_images_image_v2.fetched.checksum] }
output "sizes" { value = [openstack_images_image_v2.uploaded.size_bytes, openstack_images_image_v2.fetched.size_bytes] }
output "by_name" { value = data.openstack_images_image_v2.by_name.id }
output "by_property" { value = data.openstack_images_image_v2.by_property.id }
output "mine" { value = data.openstack_images_image_ids_v2.mine.ids }
output "accepted" { value = data.openstack_images_image_ids_v2.accepted.ids }
output "status" { value = openstack_images_image_access_accept_v2.answer.status }
