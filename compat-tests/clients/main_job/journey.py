"""How a journey with the real client is walked: each command a process of its own, each claim counted.

The `openstack` command is run as a user runs it, so its start, its version discovery and its exit code are part of what
is tested. A claim that fails does not stop the journey; a command that later ones need does stop its chapter.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time


class ChapterEnds(Exception):
    """A step failed that the rest of the chapter stands on."""


@dataclasses.dataclass
class Answer:
    """What a command said. `data` is its JSON, when it printed some."""

    status: int
    text: str
    complaint: str
    seconds: float

    @property
    def data(self):
        return json.loads(self.text)


class Journey:
    def __init__(self, openstack, clouds_file, brief=False):
        self.openstack = openstack
        self.clouds_file = clouds_file
        self.brief = brief
        self.passed = 0
        self.failures = []
        self.commands = []
        self.chapters = []

    def chapter(self, title, steps, *arguments):
        """Walks one chapter; its failure leaves the next one its chance. Returns what `steps` returns."""
        print(f"\n== {title}", flush=True)
        began = time.monotonic()
        try:
            return steps(self, *arguments)
        except ChapterEnds as end:
            print(f"   the chapter ends here: {end}", flush=True)
        except Exception as surprise:  # an answer of another shape than any client expects
            self.claim(f"{title}: goes to its end", False, repr(surprise))
        finally:
            self.chapters.append((title, time.monotonic() - began))

    def run(self, cloud, *command, json_output=True, may_fail=False, show=True):
        """Runs `openstack COMMAND` in a cloud of the clouds file. Unless it `may_fail`, its success is a claim."""
        line = [*command, *(["-f", "json"] if json_output else [])]
        # Nothing of the caller's own cloud may lend a hand.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment.update(OS_CLIENT_CONFIG_FILE=self.clouds_file, OS_CLOUD=cloud, PYTHONWARNINGS="ignore")
        began = time.monotonic()
        status, text, complaint = self.perform(line, environment)
        answer = Answer(status, text, complaint.strip(), time.monotonic() - began)
        words = ["…" if before == "--password" else word for before, word in zip(("", *command), command)]
        spoken = f"openstack {' '.join(words)}"
        self.commands.append((spoken, answer.seconds))
        print(f"$ {spoken}   [{cloud}, {answer.seconds:.1f} s]", flush=True)
        if show and not self.brief:
            self._show(answer)
        if not may_fail:
            self.need(spoken, answer.status == 0, answer.complaint or f"exit code {answer.status}")
        return answer

    def perform(self, line, environment):
        """Runs one command; returns its exit code, output and complaint."""
        done = subprocess.run([self.openstack, *line], env=environment, capture_output=True, text=True, timeout=600)
        return done.returncode, done.stdout, done.stderr

    def claim(self, what, holds, otherwise=""):
        """Counts a claim; prints it only when it does not hold, with what was seen instead."""
        if holds:
            self.passed += 1
        else:
            self.failures.append(what)
            print(f"   FAILED: {what}" + (f": {otherwise}" if str(otherwise) else ""), flush=True)
        return bool(holds)

    def need(self, what, holds, otherwise=""):
        """A claim without which the chapter makes no sense."""
        if not self.claim(what, holds, otherwise):
            raise ChapterEnds(what)

    def until(self, look, seconds, pause=0.5):
        """Calls `look` until it returns something true or the time is over; returns its last answer."""
        end = time.monotonic() + seconds
        while True:
            seen = look()
            if seen or time.monotonic() > end:
                return seen
            time.sleep(pause)

    def finish(self, prefix=""):
        """Prints the summary, whose last line is `N passed, N failed`. Returns the exit code."""
        print("\n== Summary")
        for title, seconds in self.chapters:
            print(f"{seconds:7.1f} s  {title}")
        slowest = sorted(self.commands, key=lambda entry: -entry[1])[:5]
        for spoken, seconds in slowest:
            print(f"{seconds:7.1f} s  {spoken[:100]}")
        for failure in self.failures:
            print(f"FAILED: {failure}")
        print(f"{prefix}{self.passed} passed, {len(self.failures)} failed", flush=True)
        return 1 if self.failures else 0

    @staticmethod
    def _show(answer):
        text = answer.text
        try:
            data = json.loads(text)
        except ValueError:
            lines = [line for line in text.splitlines() if line.strip()][:12]
        else:
            rows = data if isinstance(data, list) else [data]
            lines = []
            for row in rows[:6]:
                parts = [f"{name}={value}" for name, value in row.items() if value not in (None, "", {}, [])]
                lines.append(", ".join(part if len(part) < 100 else part[:97] + "..." for part in parts)[:400])
            if len(rows) > 6:
                lines.append(f"and {len(rows) - 6} more")
        for line in lines + answer.complaint.splitlines()[-2:]:
            print(f"   {line}")
        sys.stdout.flush()
