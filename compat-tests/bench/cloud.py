"""What every measurement needs: a client of the standard library, the server's memory, wrk, and a table."""

import http.client
import json
import os
import re
import statistics
import subprocess
import urllib.parse

import yaml


class Cloud:
    """One cloud of a clouds.yaml, over one connection, with a token."""

    def __init__(self, clouds_file, name):
        with open(clouds_file, encoding="utf-8") as file:
            self.auth = yaml.safe_load(file)["clouds"][name]["auth"]
        self.url = self.auth["auth_url"].partition("/identity")[0]
        where = urllib.parse.urlsplit(self.url)
        self.connection = http.client.HTTPConnection(where.hostname, where.port, timeout=300)
        self.token = self.log_in()

    def login_body(self):
        return {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": self.auth["username"], "password": self.auth["password"], "domain": {"id": "default"}}}},
            "scope": {"project": {"name": self.auth["project_name"], "domain": {"id": "default"}}}}}

    def log_in(self):
        status, headers, answer = self.call("POST", "/identity/v3/auth/tokens", self.login_body(), token=False)
        assert status == 201, (status, answer)
        return headers["X-Subject-Token"]

    def call(self, method, path, body=None, token=True, headers=None):
        headers = {"Content-Type": "application/json", **(headers or {})}
        if token:
            headers["X-Auth-Token"] = self.token
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text[:1] in (b"{", b"[") else text

    def get(self, path, **headers):
        status, _, answer = self.call("GET", path, headers=headers)
        assert status == 200, (path, status, answer)
        return answer

    def named(self, path, collection, name):
        return next(entry for entry in self.get(path)[collection] if entry["name"] == name)


def memory_mib(pid):
    """Resident memory of a process, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) / 1024


def wrk(url, headers, connections, seconds):
    """(p50 in ms, requests a second); every answer must be a success."""
    command = ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    number, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", out).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit], float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def environment(name):
    value = os.environ.get(name)
    assert value, f"{name} is not set: source what harness/cloud.sh prints"
    return value


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def median(values):
    return statistics.median(values)
