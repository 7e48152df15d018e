"""Nacos clients side by side on a real server; `make bench-nacos`."""
