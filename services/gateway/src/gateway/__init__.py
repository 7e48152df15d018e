"""The gateway: healthy instances from Nacos, balancing, retries, no lost request."""
