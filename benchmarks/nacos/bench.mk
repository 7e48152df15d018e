.PHONY: bench-nacos
bench-nacos: $(READY)  ## Nacos clients side by side, about 17 minutes on a quiet machine; writes benchmarks/results/nacos.*
	$(PY) -m benchmarks.nacos

.PHONY: bench-nacos-short
bench-nacos-short: $(READY)  ## the same, only to see that it runs
	$(PY) -m benchmarks.nacos --short
