"""`python -m tests.nacos_wire 3.0.3`: that Nacos in memory, until its standard input ends.

It prints the variables of a client's environment as JSON. In a process of its own it leaves the
event loops of tests alone: gRPC's part of asyncio is one for all loops of a process, and goes on as
long as one of them has a server.
"""

import json
import sys

from tests.nacos_wire import WireNacos

with WireNacos(sys.argv[1]) as nacos:
    print(json.dumps(nacos.access.environment), flush=True)
    sys.stdin.read()
