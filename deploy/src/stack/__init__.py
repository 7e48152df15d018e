"""The whole system on one machine: Nacos, two models twice, the gateway."""
