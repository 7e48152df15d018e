# The release of all distributions but the model, whose versions are models (libs/model_pkg/model.mk).
.PHONY: version wheels release-check release
version: $(READY)  ## write VERSION into every project and the changelog
	$(PY) deploy/release.py version $(VERSION)
	@PYTHONPATH=deploy/src $(PY) -m stack.written

wheels: gateway-wheels  ## the wheels of all distributions, pure and (gateway) compiled, into .local/wheels
	@for member in $(filter-out $(MODEL) deploy libs/failover libs/nacos_client libs/service_kit services/gateway,$(MEMBERS)); do (cd $$member && \
	  $(CURDIR)/$(PY) -m hatchling build -t wheel -d $(CURDIR)/$(WHEELS)); done
	@$(PY) $(MODEL)/release.py --output $(WHEELS)

release-check: wheels  ## build every wheel and try it: metadata, an empty environment, import, the README's example
	$(PY) deploy/release.py check $(WHEELS)

release: $(READY)  ## check and publish every distribution of a tagged version to INDEX_URL (same login as index)
	$(PY) deploy/release.py named
	$(MAKE) release-check
	$(MAKE) release-model
	@rm -f $(WHEELS)/car_evaluation_model-*
	$(PY) deploy/release.py publish $(WHEELS)
