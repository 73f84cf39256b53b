"""The `openstack` client, run again and again from one process.

A start of the client costs a second, of which most is importing its code. Here that is done once, and each command runs in
a fork of what was imported: arguments, plug-ins, logging in, version discovery, output and exit code are the client's own,
unchanged, and nothing that one command leaves in memory reaches the next. What was run is remembered, so that in the end
the client itself can say what was not.
"""

import contextlib
import os
import pty
import sys
import tempfile
from importlib.metadata import entry_points

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "main_job"))

import cliff.formatters.json_format  # noqa: E402, F401
import keystoneclient.v3.client  # noqa: E402, F401
import openstack.compute.v2._proxy  # noqa: E402, F401
import openstack.identity.v3._proxy  # noqa: E402, F401
import openstack.image.v2._proxy  # noqa: E402, F401
import openstack.network.v2._proxy  # noqa: E402, F401
from journey import Journey  # noqa: E402
from openstackclient import shell  # noqa: E402


class Shell(Journey):
    def __init__(self, clouds_file, groups):
        """`groups` is under what the client registers the commands that are counted."""
        super().__init__("openstack", clouds_file, brief=True)
        commands = [entry for group in groups for entry in entry_points(group=group)]
        for entry in commands:
            entry.load()
        self.known = sorted({entry.name.replace("_", " ") for entry in commands}, key=len, reverse=True)
        self.met = set()
        self.fed = None

    @contextlib.contextmanager
    def feeding(self, path):
        """Commands run meanwhile read the file as their input; others sit at a terminal, of which they read nothing."""
        self.fed = path
        try:
            yield
        finally:
            self.fed = None

    def perform(self, line, environment):
        spoken = " ".join(line)
        # The longest name alone: `image set` is not run by running `image set …` of something else.
        self.met.update(next(([name] for name in self.known if f"{spoken} ".startswith(f"{name} ")), []))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                self._be_the_client(line, environment, out, err)
            _, ended = os.waitpid(child, 0)
            for file in (out, err):
                file.seek(0)
            return os.waitstatus_to_exitcode(ended), out.read().decode(errors="replace"), err.read().decode()

    def _be_the_client(self, line, environment, out, err):
        """In the fork: never returns."""
        status = 1
        try:
            os.dup2(os.open(self.fed, os.O_RDONLY) if self.fed else pty.openpty()[1], 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.clear()
            os.environ.update(environment)
            status = shell.main(line)
        except SystemExit as end:  # its parser of arguments ends the process
            status = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def order(self, cloud, *words):
        """A command that prints nothing: whatever it does say is a failure."""
        answer = self.run(cloud, *words, json_output=False)
        self.claim(f"openstack {' '.join(words[:3])} prints nothing", not answer.text.strip(), answer.text)

    def show(self, cloud, *words, fields, given=None):
        """A command that prints one thing: exactly these fields, and those with these values. Returns them."""
        data = self.run(cloud, *words).data
        name = " ".join(words[:3])
        self.claim(f"openstack {name} prints its fields", sorted(data) == sorted(fields), f"{sorted(data)}, not {sorted(fields)}")
        for field, value in (given or {}).items():
            self.claim(f"openstack {name} says {field} = {value}", data.get(field) == value, repr(data.get(field)))
        return data

    def rows(self, cloud, *words, fields):
        """A command that prints a list with exactly these columns, in their order. Returns its rows."""
        rows = self.run(cloud, *words).data
        name = " ".join(words[:3])
        wrong = [row for row in rows if list(row) != list(fields)]
        self.claim(f"openstack {name} prints its columns", not wrong, wrong[:1])
        return rows

    def refused(self, cloud, *words, saying):
        """A command that must fail with these words."""
        answer = self.run(cloud, *words, json_output=False, may_fail=True)
        self.claim(f"openstack {' '.join(words[:4])} is refused: {saying}", answer.status != 0 and saying in answer.complaint,
                   f"{answer.status}: {answer.text}{answer.complaint}")
        return answer
