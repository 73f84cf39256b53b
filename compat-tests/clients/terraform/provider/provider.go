//go:build tools

// Package provider pins the OpenStack provider of Terraform: its version in go.mod, the hashes of all its code in
// go.sum. So what is built is what was tested, whether or not a checksum database can be reached.
package provider

import _ "github.com/terraform-provider-openstack/terraform-provider-openstack/v3"
