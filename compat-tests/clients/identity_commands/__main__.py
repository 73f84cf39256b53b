"""Every identity command of the `openstack` client, what each prints, and what each does.

A chapter is a module. It makes what it needs under names of its own and takes it away again, so that chapters can be run
alone. When all have run, the client's own list of identity commands is gone through: each was run, or stands in
`left_out` with its reason.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "commands")]

import assignments  # noqa: E402
import catalogue  # noqa: E402
import credentials  # noqa: E402
import left_out  # noqa: E402
import limits  # noqa: E402
import people  # noqa: E402
import projects  # noqa: E402
import suite  # noqa: E402
import trusts  # noqa: E402

CHAPTERS = {module.__name__: module for module in (catalogue, projects, people, assignments, credentials, trusts, limits)}

sys.exit(suite.run("identity", ("openstack.identity.v3",), CHAPTERS, left_out.REASONS, *sys.argv[1:]))
