# Faults under load, in a network namespace of their own. ROUNDS repeats every fault.
.PHONY: bench-failover bench-failover-short
bench-failover: $(READY) gateway-compiled  ## faults under load: the gateway beside Spring, nginx, HAProxy, Envoy
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.failover --rounds $(or $(ROUNDS),1)

bench-failover-short: $(READY) gateway-compiled  ## a few faults before the gateway alone; fails if a request is lost
	$(PY) -m benchmarks.failover --short --rounds $(or $(ROUNDS),1)
