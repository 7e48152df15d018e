"""The vendor's protocol behind our ports; nothing outside knows that the SDK exists.

Of the vendor's SDK (`nacos-sdk-python`, import name `v2`) only the wire messages are used. Its
services drop empty lists, call back under their locks, lose a registration for ever after a frozen
minute and log the password. The README lists the known traps, each with its answer here.
"""
