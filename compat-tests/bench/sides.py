"""The clouds that are measured beside each other: Gapura, and a real OpenStack where one is at hand.

`PEER` names a file with the peer's OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME (KEY=value lines, as in an
openrc). Where it is not set, only Gapura is measured.
"""

import concurrent.futures
import http.client
import json
import math
import os
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import yaml

PASSWORD = "bench-secret"
LUA = """
wrk.method = os.getenv("W_METHOD")
if os.getenv("W_BODY") ~= "" then wrk.body = os.getenv("W_BODY") end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('@@{"requests":%d,"us":%d,"p50":%f,"p99":%f,"failed":%d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Connection(http.client.HTTPConnection):
    """One that sends what it has at once: a request is a head and a body, and the second must not wait for an answer."""

    def connect(self):
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Side:
    """A Keystone, ours or the real one, as its administrator; and through its catalogue the services beside it."""

    def __init__(self, name, url, user, password, project):
        self.name, self.url, self.user, self.password, self.project = name, url.rstrip("/"), user, password, project
        self.local = threading.local()
        self.token = self.log_in(user, password, project)

    def request(self, method, path, body=None, headers=None, base=None):
        """(status, headers, decoded body), over one connection a thread and server; `base` is another service's address."""
        where = urllib.parse.urlsplit((base or self.url) + path)
        connections = self.local.__dict__.setdefault("connections", {})
        for attempt in (1, 2):
            connection = connections.get(where.netloc)
            if connection is None:
                connection = Connection(where.hostname, where.port, timeout=600)
                connections[where.netloc] = connection
            try:
                target = where.path + ("?" + where.query if where.query else "")
                headers = {"Content-Type": "application/json", **(headers or {})}
                connection.request(method, target, json.dumps(body) if body is not None else None, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                del connections[where.netloc]
                if attempt == 2:
                    raise
                continue
            if answer.will_close:
                connection.close()
                del connections[where.netloc]
            return answer.status, answer.headers, json.loads(text) if text[:1] == b"{" else text
        raise AssertionError("not reached")

    def call(self, method, path, body=None, expected=(200, 201, 204)):
        status, _, answer = self.request(method, path, body, {"X-Auth-Token": self.token})
        assert status in expected, (self.name, method, path, status, answer)
        return answer

    def endpoint(self, kind):
        """Where a service is, by the catalogue, without its version."""
        catalog = self.call("GET", "/auth/catalog")["catalog"]
        endpoints = next(service for service in catalog if service["type"] == kind)["endpoints"]
        return next(one["url"] for one in endpoints if one["interface"] == "public").rstrip("/").removesuffix("/v2")

    def login(self, user, password, project):
        """The body of a login by password on a project of the default domain."""
        default = {"id": "default"}
        return {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"name": user, "password": password, "domain": default}}},
            "scope": {"project": {"name": project, "domain": default}}}}

    def log_in(self, user, password, project):
        status, headers, answer = self.request("POST", "/auth/tokens", self.login(user, password, project))
        assert status == 201, (self.name, user, status, answer)
        return headers["X-Subject-Token"]

    def project_with(self, name, user_ids, role):
        """A project on which these users hold the role; made when missing."""
        found = self.call("GET", f"/projects?name={name}")["projects"]
        project = found[0] if found else self.call("POST", "/projects", {"project": {"name": name}})["project"]
        role_id = next(entry["id"] for entry in self.call("GET", "/roles")["roles"] if entry["name"] == role)
        held = self.call("GET", f"/role_assignments?scope.project.id={project['id']}&role.id={role_id}")["role_assignments"]
        missing = set(user_ids) - {one["user"]["id"] for one in held if "user" in one}
        grant = f"/projects/{project['id']}/users/%s/roles/{role_id}"
        each(2, lambda user: self.call("PUT", grant % user), missing)
        return project

    def users(self, count):
        """`count` users with passwords, made when missing: their ids by name."""
        def find():
            every = self.call("GET", "/users")["users"]
            return {user["name"]: user["id"] for user in every if user["name"].startswith("bench-user-")}

        def make(name):
            body = {"user": {"name": name, "password": PASSWORD, "email": f"{name}@example.org", "domain_id": "default"}}
            self.call("POST", "/users", body, expected=(201, 409))

        names = [f"bench-user-{number:04d}" for number in range(count)]
        have = find()
        # Keystone cuts every list at a thousand.
        missing = [name for name in names if name not in have] if len(have) < min(count, 990) else []
        if missing:
            each(2, make, missing)
            have = find()
        return have


def each(workers, work, items):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))


def ours(clouds_file=None):
    """The cloud of a clouds file, or of CLOUD_FILE."""
    with open(clouds_file or os.environ["CLOUD_FILE"], encoding="utf-8") as file:
        auth = yaml.safe_load(file)["clouds"]["gapura"]["auth"]
    return Side("Gapura", auth["auth_url"], auth["username"], auth["password"], auth["project_name"])


def peer():
    """The cloud of PEER; None where there is none."""
    if not os.environ.get("PEER"):
        return None
    with open(os.environ["PEER"], encoding="utf-8") as file:
        lines = dict(re.findall(r"^(?:export )?(\w+)=['\"]?(.*?)['\"]?$", file.read(), re.M))
    return Side("Keystone", lines["OS_AUTH_URL"], lines["OS_USERNAME"], lines["OS_PASSWORD"], lines["OS_PROJECT_NAME"])


def wrk(url, method="GET", headers=None, body=None, connections=16, seconds=5):
    """{"rate", "p50", "p99"} of one request over and over, times in ms; every answer must be a success."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    # Slow answers need a longer run: enough for each connection to have a few.
    began = time.monotonic()
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=120) as answer:
        answer.read()
    alone = time.monotonic() - began
    seconds = min(60, max(seconds, math.ceil(alone * connections * 1.5)))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", script.name]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        settings = dict(os.environ, W_METHOD=method, W_BODY=json.dumps(body) if body is not None else "")
        out = subprocess.run([*command, url], env=settings, capture_output=True, text=True, check=True).stdout
    told = json.loads(re.search(r"^@@(.*)$", out, re.M)[1])
    assert told["requests"] and not told["failed"], (url, told)
    return {"rate": told["requests"] / told["us"] * 1e6, "p50": told["p50"] / 1e3, "p99": told["p99"] / 1e3}


def medians(rounds):
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
