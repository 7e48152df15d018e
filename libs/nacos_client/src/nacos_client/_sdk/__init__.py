"""The protocol of the vendor's SDK behind our ports; nothing outside knows how Nacos is spoken.

It is gRPC, and HTTP alone where gRPC has no answer (`either.py`). The SDK itself
(`nacos-sdk-python`, import name `v2`) is not used. Its services drop empty lists, call back under
their locks, lose a registration for ever after a frozen minute and log the password. The README
lists the known traps, each with its answer here.
"""
