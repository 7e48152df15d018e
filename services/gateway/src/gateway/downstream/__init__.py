"""Clients: the data port, their connections, requests sent ahead."""
