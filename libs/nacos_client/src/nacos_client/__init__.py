"""Nacos for an asyncio service: announce, watch configuration, discover, call by name."""
