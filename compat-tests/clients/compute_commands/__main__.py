"""Every compute command of the `openstack` client, and the common ones that ask compute: what each prints and does.

A chapter is a module. It makes what it needs under names of its own and takes it away again, so that chapters can be run
alone. When all have run, the client's own list of commands is gone through: each was run, or stands in `left_out` with its
reason.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "commands")]

import actions  # noqa: E402
import aggregates  # noqa: E402
import allowance  # noqa: E402
import changes  # noqa: E402
import common  # noqa: E402
import creation  # noqa: E402
import flavors  # noqa: E402
import groups  # noqa: E402
import hosts  # noqa: E402
import keypairs  # noqa: E402
import left_out  # noqa: E402
import lists  # noqa: E402
import operators  # noqa: E402
import snapshots  # noqa: E402
import suite  # noqa: E402

CHAPTERS = {module.__name__: module for module in (
    flavors, keypairs, groups, creation, lists, changes, actions, snapshots, operators, hosts, aggregates, allowance, common)}

sys.exit(suite.run("compute", ("openstack.compute.v2", "openstack.common"), CHAPTERS, left_out.REASONS, *sys.argv[1:]))
