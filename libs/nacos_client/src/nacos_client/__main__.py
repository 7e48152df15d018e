"""The commands `nacos-call`, also as `python -m nacos_client`, and `nacos-canary`."""

import os
import sys
from collections.abc import Sequence

from nacos_client import promote
from nacos_client.call import parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run `nacos-call`; returns its exit status."""
    return run(parser().parse_args(argv), os.environ, sys.stdout, sys.stderr)


def canary(argv: Sequence[str] | None = None) -> int:
    """Run `nacos-canary`; returns its exit status."""
    options = promote.parser().parse_args(argv)
    return promote.run(options, os.environ, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
