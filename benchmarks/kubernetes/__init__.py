"""A real Kubernetes on one machine, and faults in it under constant load."""
