"""Writes the table of what is served into README.md, from api-specs; `--check` only says whether it is up to date.

The documents in api-specs are written from the table of routes, so the README's table is too: nobody keeps it by hand.
"""

import json
import os
import re
import sys
from collections import defaultdict

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
SERVICES = {"identity-v3": "identity v3", "image-v2": "image v2", "compute-v2.1": "compute v2.1", "network-v2.0": "network v2.0",
            "placement-v1": "placement v1"}
VERBS = {"get": "read", "head": "read", "post": "create", "put": "change", "patch": "change", "delete": "delete"}
BEGIN, END = "<!-- served: written by compat-tests/served.py -->", "<!-- served: end -->"


def resource(path):
    """The noun an operation is about: the first segment after the version."""
    parts = [part for part in path.split("/") if part and not re.fullmatch(r"v\d+(\.\d+)?", part)]
    return parts[0] if parts and not parts[0].startswith("{") else ""


def rows():
    for name, title in SERVICES.items():
        with open(f"{ROOT}/api-specs/{name}.json", encoding="utf-8") as file:
            paths = json.load(file)["paths"]
        nouns, actions, count = defaultdict(set), set(), 0
        for path, operations in paths.items():
            for method, operation in operations.items():
                if method not in VERBS:
                    continue
                listed = [entry["action"] for entry in operation.get("x-openstack", {}).get("actions", [])]
                actions.update(listed)
                count += max(1, len(listed))
                if noun := resource(path):
                    nouns[noun].add(VERBS[method])
        whole = sorted(noun for noun, verbs in nouns.items() if verbs - {"read"})
        only_read = sorted(set(nouns) - set(whole))
        text = ", ".join(whole)
        if only_read:
            text += ("; " if text else "") + "to read: " + ", ".join(only_read)
        if actions:
            text += "; actions: " + ", ".join(sorted(actions))
        yield f"| [{title}](api-specs/{name}.json) | {count} | {text} |"


def main():
    with open(f"{ROOT}/README.md", encoding="utf-8") as file:
        readme = file.read()
    table = "\n".join([BEGIN, "", "| service | operations | of |", "|---|---|---|", *rows(), "", END])
    fresh = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, readme, flags=re.S)
    if "--check" in sys.argv:
        if fresh != readme:
            print("README.md: the table of what is served is not that of api-specs; run compat-tests/served.py")
        return fresh != readme
    with open(f"{ROOT}/README.md", "w", encoding="utf-8") as file:
        file.write(fresh)
    return 0


sys.exit(main())
