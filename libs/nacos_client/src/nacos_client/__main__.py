"""`nacos-call`, also as `python -m nacos_client`."""

import os
import sys
from collections.abc import Sequence

from nacos_client.call import parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(parser().parse_args(argv), os.environ, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
