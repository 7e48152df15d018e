"""The car-evaluation classifier as a service."""
