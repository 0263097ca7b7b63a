"""Which tests one process must run, one after another, when `make test` runs several processes.

Tests of a module share servers, so a module is a group. The exceptions are here: modules whose tests fall into groups
by the server that they use, and modules that are better together. A test's group is found from its id alone.
"""

from __future__ import annotations

import re

# They mostly wait. Beside the stalled clients of test_deadlines.py, whose end this process waits for anyway.
DEADLINES = {"tests/test_deadlines.py", "tests/test_flow_deadlines.py", "tests/test_limits.py"}
# What in the id of a test tells the server: each of these packages starts many, one for each.
SITES = {
    "tests/conformance/": re.compile(r"\[(?:wsgi|asgi)-[12]\b"),
    "tests/frameworks/": re.compile(r"\[[a-z]+(?:-wsgi|-asgi)?-(?:direct|nginx)-[14]\b"),
}


def group_of(test: str) -> str:
    """The name of the group of a test, given its id."""
    module = test.partition("::")[0]
    if module in DEADLINES:
        return "deadlines"
    for package, site in SITES.items():
        if module.startswith(package) and (found := site.search(test)):
            return package + found[0]
    return module
