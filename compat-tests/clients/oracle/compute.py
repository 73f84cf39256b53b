"""Walks compute's API at every microversion and lets Nova's own schemas judge each answer."""

import base64
import sys
import time

import requests
import yaml

from judge import NovaOracle

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@here"


class Cloud:
    def __init__(self, file, name="gapura"):
        with open(file, encoding="utf-8") as text:
            auth = yaml.safe_load(text)["clouds"][name]["auth"]
        user = {"name": auth["username"], "password": auth["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": auth["project_name"], "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = requests.post(auth["auth_url"] + "/auth/tokens", json=body, timeout=10)
        answer.raise_for_status()
        self.token = answer.headers["x-subject-token"]
        self.project = answer.json()["token"]["project"]["id"]
        self.user = answer.json()["token"]["user"]["id"]
        self.root = auth["auth_url"].rsplit("/identity", 1)[0]
        self.session = requests.Session()
        self.oracle = NovaOracle()
        self.passed, self.problems = 0, {}

    def raw(self, method, url, **kwargs):
        headers = {"X-Auth-Token": self.token, **kwargs.pop("headers", {})}
        return self.session.request(method, self.root + url, headers=headers, timeout=30, **kwargs)

    def call(self, method, path, version, body=None, judged=True):
        """A request at a version. The answer's problems are noted with the version they were first seen at."""
        headers = {"OpenStack-API-Version": f"compute {version}"}
        answer = self.raw(method, "/compute/v2.1" + path, json=body, headers=headers)
        try:
            shown = answer.json()
        except ValueError:
            shown = None
        if judged:
            problems = self.oracle.check(method, "/v2.1" + path, version, answer.status_code, shown, body)
            if answer.headers.get("OpenStack-API-Version") != f"compute {version}":
                problems.append("the version is not echoed")
            if method == "PUT" and "/tags/" in path:
                # Nova builds this answer by hand, so its decorators say nothing of 201 and 204.
                problems = [] if answer.status_code in (201, 204) else problems
            if path.startswith("/os-instance_usage_audit_log"):
                # The schema calls the names of hosts UUIDs, which is what Nova's samples happen to have there.
                problems = [problem for problem in problems if "/hosts_not_run/" not in problem]
            if answer.status_code in (401, 403):
                problems.append(f"refused: {shown}")
            if answer.status_code == 501:
                problems = [f"not built: {shown}"]
            self.passed += not problems
            action = "" if not path.endswith("/action") or not body else " " + next(iter(body))
            for problem in problems:
                place = path.replace(self.project, "P")
                self.problems.setdefault((method, place + action, problem), version)
        return answer.status_code, shown

    def until(self, server, states):
        for _ in range(100):
            status, shown = self.call("GET", f"/servers/{server}", "2.1", judged=False)
            if status == 404 or shown["server"]["status"] in states and not shown["server"]["OS-EXT-STS:task_state"]:
                return shown
            time.sleep(0.1)
        raise SystemExit(f"server {server} never became {states}: {shown}")


def an_image(cloud):
    body = {"name": "oracle", "container_format": "bare", "disk_format": "raw"}
    image = cloud.raw("POST", "/image/v2/images", json=body).json()["id"]
    headers = {"Content-Type": "application/octet-stream"}
    answer = cloud.raw("PUT", f"/image/v2/images/{image}/file", data=b"\0" * 65536, headers=headers)
    assert answer.status_code == 204, answer.text
    return image


def make(cloud, version, image, network, judged=True):
    minor = int(version.split(".")[1])
    server = {"name": "oracle", "imageRef": image, "flavorRef": "42", "networks": [{"uuid": network}],
              "metadata": {"a": "b"}, "user_data": base64.b64encode(b"#!").decode()}
    if minor >= 52:
        server["tags"] = ["red"]
    status, shown = cloud.call("POST", "/servers", version, {"server": server}, judged)
    assert status == 202, shown
    server = shown["server"]["id"]
    cloud.until(server, ["ACTIVE"])
    return server


def reads(cloud, server, port, request):
    """Everything that can be asked without changing anything."""
    project = cloud.project
    return [
        "/servers", "/servers/detail", f"/servers/{server}", "/servers?limit=1", "/servers/detail?limit=1",
        f"/servers/{server}/ips", f"/servers/{server}/ips/private", f"/servers/{server}/metadata",
        f"/servers/{server}/metadata/a", f"/servers/{server}/tags", f"/servers/{server}/os-interface",
        f"/servers/{server}/os-interface/{port}", f"/servers/{server}/os-volume_attachments",
        f"/servers/{server}/os-security-groups", f"/servers/{server}/os-instance-actions",
        f"/servers/{server}/os-instance-actions/{request}", f"/servers/{server}/migrations",
        "/flavors", "/flavors/detail", "/flavors/42", "/flavors?limit=1", "/flavors/detail?is_public=None",
        "/flavors/42/os-extra_specs", "/flavors/oracle-private/os-flavor-access", "/os-keypairs", "/os-keypairs/oracle",
        "/os-keypairs?limit=1", "/limits", f"/limits?tenant_id={project}", f"/os-quota-sets/{project}",
        f"/os-quota-sets/{project}/detail", f"/os-quota-sets/{project}/defaults", "/os-hypervisors",
        "/os-hypervisors/detail", "/os-hypervisors/statistics", "/os-services", "/os-availability-zone",
        "/os-availability-zone/detail", "/os-simple-tenant-usage?start=2020-01-01T00:00:00&detailed=1",
        f"/os-simple-tenant-usage/{project}?start=2020-01-01T00:00:00", "/os-server-groups", "/os-aggregates",
        "/os-migrations", f"/servers/{server}/diagnostics", f"/servers/{server}/topology",
        f"/servers/{server}/os-server-password", f"/servers/{server}/migrations/1", "/servers/00000000-0000-4000-8000-000000000000", "/flavors/none", "/os-keypairs/none",
        "/os-hypervisors/none", "/servers?limit=x", f"/os-quota-sets/{project}?user_id={cloud.user}",
        f"/os-quota-sets/{project}/detail?user_id={cloud.user}", "/os-quota-class-sets/default", "/os-hosts", "/extensions",
        "/extensions/os-server-groups", "/extensions/none", "/os-instance_usage_audit_log",
        "/os-instance_usage_audit_log/2020-01-01 00:00:00", "/os-networks", "/os-tenant-networks", "/images", "/images/detail",
        "/images?limit=1", "/os-server-groups?all_projects=1", "/os-cells", "/os-agents", "/flavors?name=nano",
    ]


def around(cloud, version, image, host):
    """What stands around servers, made, changed and taken away again at one version."""
    minor = int(version.split(".")[1])
    call = lambda *request: cloud.call(*request)  # noqa: E731
    group = {"name": "oracle", "policy": "affinity"} if minor >= 64 else {"name": "oracle", "policies": ["affinity"]}
    made = call("POST", "/os-server-groups", version, {"server_group": group})[1]["server_group"]["id"]
    call("GET", "/os-server-groups", version)
    call("GET", f"/os-server-groups/{made}", version)
    call("DELETE", f"/os-server-groups/{made}", version)
    call("GET", f"/os-server-groups/{made}", version)
    if minor >= 64:
        rules = {"name": "oracle", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}}
        made = call("POST", "/os-server-groups", version, {"server_group": rules})[1]["server_group"]["id"]
        call("DELETE", f"/os-server-groups/{made}", version)
    made = call("POST", "/os-aggregates", version, {"aggregate": {"name": "oracle", "availability_zone": "oracle"}})[1]["aggregate"]["id"]
    one = f"/os-aggregates/{made}"
    call("POST", "/os-aggregates", version, {"aggregate": {"name": "oracle"}})
    call("PUT", one, version, {"aggregate": {"name": "oracle-renamed"}})
    call("POST", one + "/action", version, {"set_metadata": {"metadata": {"disk": "ssd"}}})
    call("GET", one, version)
    call("GET", "/os-aggregates", version)
    call("DELETE", one, version)
    made = call("POST", "/os-aggregates", version, {"aggregate": {"name": "oracle"}})[1]["aggregate"]["id"]
    one = f"/os-aggregates/{made}"
    call("POST", one + "/action", version, {"add_host": {"host": host}})
    call("GET", one, version)
    call("DELETE", one, version)
    call("POST", one + "/action", version, {"remove_host": {"host": host}})
    call("DELETE", one, version)
    call("GET", one, version)
    call("PUT", "/os-quota-class-sets/oracle", version, {"quota_class_set": {"cores": 30}})
    call("PUT", f"/os-quota-sets/{cloud.project}?user_id={cloud.user}", version, {"quota_set": {"key_pairs": 50}})
    call("DELETE", f"/os-quota-sets/{cloud.project}?user_id={cloud.user}", version)
    hypervisor = call("GET", "/os-hypervisors", version)[1]["hypervisors"][0]["id"]
    for what in (f"{hypervisor}/uptime", "o/search", "nothing/search", "o/servers"):
        call("GET", f"/os-hypervisors/{what}", version)
    if minor < 53:
        names = {"host": host, "binary": "nova-compute"}
        call("PUT", "/os-services/disable", version, names)
        call("PUT", "/os-services/disable-log-reason", version, {**names, "disabled_reason": "x"})
        call("PUT", "/os-services/enable", version, names)
        if minor >= 11:
            call("PUT", "/os-services/force-down", version, {**names, "forced_down": False})
    if minor < 43:
        call("GET", f"/os-hosts/{host}", version)
        call("GET", "/os-hosts/none", version)
        call("PUT", f"/os-hosts/{host}", version, {"status": "enable"})
    if minor < 36:
        call("GET", f"/images/{image}", version)
        call("GET", "/images/none", version)
    if minor < 39:
        call("GET", f"/images/{image}/metadata", version)
        call("PUT", f"/images/{image}/metadata", version, {"metadata": {"a": "b"}})
        call("POST", f"/images/{image}/metadata", version, {"metadata": {"c": "d"}})
        call("PUT", f"/images/{image}/metadata/c", version, {"meta": {"c": "e"}})
        call("GET", f"/images/{image}/metadata/c", version)
        call("DELETE", f"/images/{image}/metadata/c", version)


def changes(cloud, version, server, image):
    """What changes a server and changes it back, judged at one version."""
    minor = int(version.split(".")[1])
    call = lambda *request: cloud.call(*request)  # noqa: E731
    call("PUT", f"/servers/{server}", version, {"server": {"name": "oracle"}})
    call("POST", f"/servers/{server}/metadata", version, {"metadata": {"c": "d"}})
    call("PUT", f"/servers/{server}/metadata/c", version, {"meta": {"c": "e"}})
    call("DELETE", f"/servers/{server}/metadata/c", version)
    call("PUT", f"/servers/{server}/metadata", version, {"metadata": {"a": "b"}})
    call("PUT", f"/servers/{server}/tags", version, {"tags": ["red", "blue"]})
    call("PUT", f"/servers/{server}/tags/green", version)
    call("GET", f"/servers/{server}/tags/green", version)
    call("DELETE", f"/servers/{server}/tags/green", version)
    for action, states in [
        ({"lock": None}, ["ACTIVE"]), ({"unlock": None}, ["ACTIVE"]), ({"os-getConsoleOutput": {}}, ["ACTIVE"]),
        ({"pause": None}, ["PAUSED"]), ({"unpause": None}, ["ACTIVE"]), ({"os-stop": None}, ["SHUTOFF"]),
        ({"os-start": None}, ["ACTIVE"]), ({"reboot": {"type": "HARD"}}, ["ACTIVE"]), ({"os-start": None}, ["ACTIVE"]),
        ({"suspend": None}, ["SUSPENDED"]), ({"resume": None}, ["ACTIVE"]),
        ({"rebuild": {"imageRef": image, "name": "oracle"}}, ["ACTIVE"]), ({"resize": {"flavorRef": "84"}}, ["VERIFY_RESIZE"]),
        ({"revertResize": None}, ["ACTIVE"]), ({"resize": {"flavorRef": "84"}}, ["VERIFY_RESIZE"]),
        ({"confirmResize": None}, ["ACTIVE"]), ({"resize": {"flavorRef": "42"}}, ["VERIFY_RESIZE"]),
        ({"confirmResize": None}, ["ACTIVE"]), ({"rescue": None}, ["RESCUE"]), ({"unrescue": None}, ["ACTIVE"]),
        ({"createImage": {"name": "oracle-copy"}}, ["ACTIVE"]),
        ({"createBackup": {"name": "oracle-backup", "backup_type": "daily", "rotation": 1}}, ["ACTIVE"]),
        ({"shelve": None}, ["SHELVED_OFFLOADED"]), ({"shelveOffload": None}, ["SHELVED_OFFLOADED"]),
        ({"unshelve": {"availability_zone": "nova"} if minor >= 77 else None}, ["ACTIVE"]), ({"unshelve": None}, ["ACTIVE"]),
        ({"os-resetState": {"state": "error"}}, ["ERROR"]), ({"os-resetState": {"state": "active"}}, ["ACTIVE"]),
        ({"injectNetworkInfo": None}, ["ACTIVE"]), ({"changePassword": {"adminPass": "secret"}}, ["ACTIVE"]),
        ({"resetNetwork": None}, ["ACTIVE"]), ({"restore": None}, ["ACTIVE"]),
    ] + ([({"trigger_crash_dump": None}, ["ACTIVE"])] if minor >= 17 else []):
        call("POST", f"/servers/{server}/action", version, action)
        cloud.until(server, states)
    keypair = {"name": "oracle-new", "public_key": KEY}
    call("POST", "/os-keypairs", version, {"keypair": keypair})
    call("POST", "/os-keypairs", version, {"keypair": keypair})
    call("DELETE", "/os-keypairs/oracle-new", version)
    call("DELETE", "/os-keypairs/oracle-new", version)
    if minor < 92:
        call("POST", "/os-keypairs", version, {"keypair": {"name": "oracle-new"}})
        call("DELETE", "/os-keypairs/oracle-new", version)
    flavor = {"name": "oracle-new", "id": "oracle-new", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": False}
    call("POST", "/flavors", version, {"flavor": flavor})
    call("POST", "/flavors", version, {"flavor": flavor})
    call("POST", "/flavors/oracle-new/os-extra_specs", version, {"extra_specs": {"a": "b"}})
    call("PUT", "/flavors/oracle-new/os-extra_specs/a", version, {"a": "c"})
    call("GET", "/flavors/oracle-new/os-extra_specs/a", version)
    call("DELETE", "/flavors/oracle-new/os-extra_specs/a", version)
    if minor >= 55:
        call("PUT", "/flavors/oracle-new", version, {"flavor": {"description": "new"}})
    call("POST", "/flavors/oracle-new/action", version, {"addTenantAccess": {"tenant": cloud.project}})
    call("POST", "/flavors/oracle-new/action", version, {"removeTenantAccess": {"tenant": cloud.project}})
    call("DELETE", "/flavors/oracle-new", version)
    call("PUT", f"/os-quota-sets/{cloud.project}", version, {"quota_set": {"cores": 30}})
    call("DELETE", f"/os-quota-sets/{cloud.project}", version)


def main():
    cloud = Cloud(sys.argv[1])
    full = ["2.1", "2.2", "2.3", "2.9", "2.11", "2.13", "2.15", "2.19", "2.26", "2.36", "2.39", "2.41", "2.43", "2.47", "2.50",
            "2.53", "2.54", "2.57", "2.63", "2.64", "2.69", "2.71", "2.73", "2.75", "2.77", "2.88", "2.89", "2.90", "2.91", "2.92", "2.96", "2.98", "2.100", "2.102", "2.103", "2.104"]
    every = [f"2.{minor}" for minor in range(1, 105)]
    image = an_image(cloud)
    network = cloud.raw("GET", "/network/v2.0/networks?name=private").json()["networks"][0]["id"]
    cloud.call("POST", "/os-keypairs", "2.1", {"keypair": {"name": "oracle", "public_key": KEY}}, judged=False)
    private = {"name": "oracle-private", "id": "oracle-private", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": False}
    cloud.call("POST", "/flavors", "2.1", {"flavor": private}, judged=False)
    server = make(cloud, "2.1", image, network)
    port = cloud.call("GET", f"/servers/{server}/os-interface", "2.1")[1]["interfaceAttachments"][0]["port_id"]
    request = cloud.call("GET", f"/servers/{server}/os-instance-actions", "2.1")[1]["instanceActions"][0]["request_id"]
    for version in every:
        for path in reads(cloud, server, port, request):
            cloud.call("GET", path, version)
        hypervisor = cloud.call("GET", "/os-hypervisors", version)[1]["hypervisors"][0]["id"]
        cloud.call("GET", f"/os-hypervisors/{hypervisor}", version)
        service = cloud.call("GET", "/os-services", version)[1]["services"][0]["id"]
        if int(version.split(".")[1]) >= 53:
            cloud.call("PUT", f"/os-services/{service}", version, {"status": "disabled", "disabled_reason": "x"})
            cloud.call("PUT", f"/os-services/{service}", version, {"status": "enabled"})
    host = cloud.call("GET", "/os-services", "2.1")[1]["services"][0]["host"]
    for version in full:
        changes(cloud, version, server, image)
        around(cloud, version, image, host)
        event = {"name": "network-changed", "server_uuid": server}
        cloud.call("POST", "/os-server-external-events", version, {"events": [event]})
        other = make(cloud, version, image, network)
        cloud.call("DELETE", f"/servers/{other}", version)
        cloud.until(other, [])
    # A server in error, and one being built, are shown in their own ways.
    cloud.call("POST", "/flavors", "2.1", {"flavor": {"name": "oracle-huge", "id": "oracle-huge", "ram": 64, "vcpus": 1,
                                                      "disk": 90000000}}, judged=False)
    body = {"server": {"name": "oracle", "imageRef": image, "flavorRef": "oracle-huge", "networks": [{"uuid": network}]}}
    failed = cloud.call("POST", "/servers", "2.1", body)[1]["server"]["id"]
    cloud.until(failed, ["ERROR"])
    for version in full:
        cloud.call("GET", f"/servers/{failed}", version)
        cloud.call("GET", "/servers/detail?status=ERROR", version)
    for gone in (failed, server):
        cloud.call("DELETE", f"/servers/{gone}", "2.1")
    for path in ("/flavors/oracle-huge", "/flavors/oracle-private", "/os-keypairs/oracle"):
        cloud.call("DELETE", path, "2.1")
    for (method, path, problem), version in sorted(cloud.problems.items()):
        print(f"{method} {path} @{version}: {problem}")
    print(f"{cloud.passed} passed, {len(cloud.problems)} failed")
    return bool(cloud.problems)


if __name__ == "__main__":
    sys.exit(main())
