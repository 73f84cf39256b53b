"""Every placement command of the `openstack` client: what each prints, and that what would write is refused.

A chapter is a module. When all have run, the client's own list of commands is gone through: each was run, or stands in
`left_out` with its reason.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "commands"), os.path.join(HERE, "..", "compute_commands")]

import candidates  # noqa: E402
import holdings  # noqa: E402
import left_out  # noqa: E402
import providers  # noqa: E402
import suite  # noqa: E402
import writing  # noqa: E402

CHAPTERS = {module.__name__: module for module in (providers, holdings, candidates, writing)}

sys.exit(suite.run("placement", ("openstack.placement.v1",), CHAPTERS, left_out.REASONS, *sys.argv[1:]))
