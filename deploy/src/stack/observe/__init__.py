"""Prometheus and Grafana for the stack: what is written to deploy/observe, and a process."""

from stack import ROOT

FOLDER = ROOT / "deploy" / "observe"
