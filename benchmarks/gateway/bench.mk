# Gateways side by side. SECONDS, ROUNDS and MINUTES change the length of a run.
.PHONY: bench-gateway bench-gateway-short bench-gateway-sampling bench-gateway-growth bench-gateway-growth-short soak-gateway trace-gateway
bench-gateway: $(READY) gateway-compiled  ## the gateway beside nginx, HAProxy, Envoy, Traefik, Spring, httpx
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.gateway --seconds $(or $(SECONDS),3) --rounds $(or $(ROUNDS),3)

bench-gateway-short: $(READY) gateway-compiled  ## one load, the gateway as make up starts it beside HAProxy and Envoy
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.gateway --short --seconds $(or $(SECONDS),2) --rounds $(or $(ROUNDS),1)

bench-gateway-sampling: $(READY) gateway-compiled  ## what traces cost, by the share that is sampled; 5 minutes
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.gateway --sampling --seconds $(or $(SECONDS),3) --rounds $(or $(ROUNDS),3)

bench-gateway-growth: $(READY) gateway-compiled  ## the gateway's cost by instances, routes, services and workers; 10 minutes
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.gateway.growth

bench-gateway-growth-short: $(READY) gateway-compiled  ## the same with few cases, no results kept; 2 minutes
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.gateway.growth --short

soak-gateway: $(READY) gateway-compiled  ## the gateway under load for MINUTES (10): memory and files must not grow
	@bash benchmarks/gateway/setup.sh
	$(PY) -m benchmarks.gateway.soak --minutes $(or $(MINUTES),10)

trace-gateway: $(READY)  ## one warm GET through the gateway: its calls, and how often they cross a file
	$(PY) -m benchmarks.gateway.trace
