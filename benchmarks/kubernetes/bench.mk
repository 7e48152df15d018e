# A real Kubernetes on this machine, as root, from programs that are built once. SHORT=1: a few faults.
# FAULTS='canary|upgraded': those of these names, which replace their rows in the page.
.PHONY: test-kubernetes
test-kubernetes: $(READY)  ## faults in a real Kubernetes that is built here, under load (as root)
	$(PY) -m benchmarks.kubernetes $(if $(SHORT),--short) $(if $(FAULTS),--faults "$(FAULTS)")
