"""The whole system on one machine: Nacos, each model twice, the gateway."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The checkout: the stack is run from it and never installed as a wheel."""

STATE = ROOT / ".local"
"""Everything the stack keeps: jars, data, logs, process ids. Ignored by git."""
