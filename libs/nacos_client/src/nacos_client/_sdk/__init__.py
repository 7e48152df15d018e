"""The vendor's protocol behind our ports; nothing outside knows that the SDK exists.

Of the vendor's SDK (`nacos-sdk-python`, import name `v2`) the wire messages are used, and not its
services: those drop empty lists, call back under their locks, lose a registration for ever after a
frozen minute and log the password. The README lists each known trap and what answers it here.
"""
