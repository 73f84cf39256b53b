"""Every image command of the `openstack` client, what each prints, and what each does.

A chapter is a module. It makes what it needs under names of its own and takes it away again, so that chapters can be run
alone. When all have run, the client's own list of image commands is gone through: each was run, or stands in `left_out`
with its reason. What is expected was first seen of a Glance 33, which passes all of it but the
fetch from loopback: it fetches from no address that is not public. The cache is another thing here than there, and was judged
by its words alone.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "commands"), os.path.join(HERE, "..")]

import cache  # noqa: E402
import definitions  # noqa: E402
import imports  # noqa: E402
import left_out  # noqa: E402
import life  # noqa: E402
import lists  # noqa: E402
import sharing  # noqa: E402
import suite  # noqa: E402

CHAPTERS = {module.__name__: module for module in (life, lists, sharing, imports, cache, definitions)}

sys.exit(suite.run("image", ("openstack.image.v2",), CHAPTERS, left_out.REASONS, *sys.argv[1:]))
