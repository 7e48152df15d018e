# Model services side by side. SECONDS and ROUNDS change the length of a run.
.PHONY: bench-serving bench-serving-short bench-iris
bench-serving: $(READY)  ## model services beside MLServer, BentoML, LitServe; about 18 minutes
	@bash benchmarks/serving/setup.sh
	$(PY) -m benchmarks.serving --seconds $(or $(SECONDS),3) --rounds $(or $(ROUNDS),2)

bench-serving-short: $(READY)  ## the same with few services and one row, no results kept
	@bash benchmarks/serving/setup.sh
	$(PY) -m benchmarks.serving --short --rows 1 --seconds $(or $(SECONDS),1) --rounds 1

bench-iris: $(READY)  ## a service of make new-service beside MLServer, BentoML, LitServe; about 5 minutes
	@bash benchmarks/serving/setup.sh
	$(PY) -m benchmarks.serving.iris --seconds $(or $(SECONDS),3) --rounds $(or $(ROUNDS),2)
