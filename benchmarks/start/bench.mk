.PHONY: bench-start
bench-start: $(READY)  ## how long the stack takes to start, from nothing and warm; writes benchmarks/results/start.*
	$(PY) -m benchmarks.start
