.PHONY: bench-scale bench-scale-short
bench-scale: $(READY) gateway-compiled  ## 100 gateways before 1,000 instances, simulated, with unit costs measured; 2 minutes
	@PYTHONPATH=$(COMPILED) $(PY) -m benchmarks.scale

bench-scale-short: $(READY)  ## the same with few of each, no results kept
	@$(PY) -m benchmarks.scale --short
