"""Identity beside a real Keystone, in one run and in turn: how many times as much is answered at sixteen connections.

With PEER (see sides.py) each line is measured on both, round by round; without it only Gapura's numbers are printed.
ROUNDS, SECONDS and USERS make it shorter while developing.
"""

import os
import time

import sides
from cloud import row

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "6"))
USERS = int(os.environ.get("USERS", "1000"))
CONNECTIONS = 16


class Measured:
    """What one side is asked, with what it must have first."""

    def __init__(self, side):
        self.side = side
        users = side.users(USERS)
        self.names = sorted(users)
        self.home = side.project_with("bench-home", list(users.values()), "member")
        admin = side.call("GET", "/users?name=" + side.user)["users"][0]["id"]
        self.other = side.project_with("bench-other", [admin], "admin")
        self.member = side.log_in(self.names[0], sides.PASSWORD, "bench-home")
        # Those of a round are logged in once each, and never again.
        self.fresh = iter(self.names[1:])

    def validation(self):
        headers = {"X-Auth-Token": self.side.token, "X-Subject-Token": self.member}
        return sides.wrk(self.side.url + "/auth/tokens", headers=headers, connections=CONNECTIONS, seconds=SECONDS)

    def first_logins(self):
        share = max(1, (len(self.names) - 1) // ROUNDS)
        deadline = time.monotonic() + SECONDS
        done = []

        def log_in(name):
            if time.monotonic() < deadline:
                self.side.log_in(name, sides.PASSWORD, "bench-home")
                done.append(time.monotonic())

        began = time.monotonic()
        sides.each(CONNECTIONS, log_in, [name for _, name in zip(range(share), self.fresh)])
        return {"rate": len(done) / (max(done) - began)}

    def repeated_logins(self):
        body = self.side.login(self.names[0], sides.PASSWORD, "bench-home")
        return self.post(body)

    def rescoping(self):
        scope = {"project": {"id": self.other["id"]}}
        return self.post({"auth": {"identity": {"methods": ["token"], "token": {"id": self.side.token}}, "scope": scope}})

    def post(self, body):
        return sides.wrk(self.side.url + "/auth/tokens", "POST", body=body, connections=CONNECTIONS, seconds=SECONDS)

    def users(self):
        headers = {"X-Auth-Token": self.side.token}
        return sides.wrk(self.side.url + "/users", headers=headers, connections=CONNECTIONS, seconds=SECONDS)


LINES = [
    ("validation: `GET /v3/auth/tokens`", Measured.validation, 60),
    ("first logins by password, each of another user", Measured.first_logins, 15),
    ("repeated logins of one user by password", Measured.repeated_logins, 500),
    ("re-scoping: `POST /v3/auth/tokens` with a token", Measured.rescoping, 40),
    (f"`GET /v3/users` of {USERS:,} users", Measured.users, 25),
]

measured = [Measured(side) for side in (sides.ours(), sides.peer()) if side]
heads = [one.side.name for one in measured]
print(f"| a second, at {CONNECTIONS} connections | " + " | ".join(heads + (["times", "promised"] if len(heads) > 1 else [])) + " |")
print("|---" * (1 + len(heads) + (2 if len(heads) > 1 else 0)) + "|")
p99 = 0.0
for name, ask, promised in LINES:
    rounds = [[] for _ in measured]
    for number in range(ROUNDS):
        turn = list(zip(measured, rounds))
        for one, results in turn if number % 2 == 0 else reversed(turn):
            results.append(ask(one))
    result = [sides.medians(one) for one in rounds]
    cells = [f"{one['rate']:,.0f}" if one["rate"] >= 100 else f"{one['rate']:.1f}" for one in result]
    if len(result) > 1:
        cells += [f"{result[0]['rate'] / result[1]['rate']:,.0f}", f"{promised}"]
    row(name, *cells)
    if ask is Measured.validation:
        p99 = result[0]["p99"]
print(f"\nValidation at {CONNECTIONS} connections: 99 % within {p99:.2f} ms (promised: 3 ms).")
