"""`make` as a user runs it who has a login to a Nacos in the environment."""

import subprocess

from stack import ROOT
from stack.access import NacosAccess
from stack.plan import Plan
from stack.process import clean_environment


def make(plan: Plan, access: NacosAccess, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `make` with words, on a plan's ports; the login is that of `access`, its address is not.

    The environment is a shell's: tests that are run by make inherit variables of that make.
    """
    login = {**access.environment, "NACOS_SERVER_ADDR": "", "STACK_OFFSET": str(plan.offset)}
    clean = clean_environment().items()
    environment = {name: value for name, value in clean if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--silent", *words],
        cwd=ROOT,
        env={**environment, **login},
        capture_output=True,
        text=True,
        check=False,
    )
