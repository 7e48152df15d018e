"""The car-evaluation model as a versioned package."""
