.PHONY: bench-console
bench-console: $(READY) gateway-compiled  ## the console's cost with 200 services of 50 instances; writes benchmarks/results/console.*
	PYTHONPATH=$$($(PY) -m stack.compiled) $(PY) -m benchmarks.console --seconds $(or $(SECONDS),30)
