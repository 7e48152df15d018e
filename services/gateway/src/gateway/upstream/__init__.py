"""Instances: their connections, the services they make up, and the directory that finds them."""
