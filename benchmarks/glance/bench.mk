.PHONY: bench-picture
bench-picture: $(READY)  ## draw the README's benchmark picture from the kept results
	@$(PY) -m benchmarks.glance
