# The gateway with its data path compiled by mypyc. `python -m stack.compiled` builds it where it is
# missing and prints the folder that PYTHONPATH puts before the sources.
COMPILED = $$($(PY) -m stack.compiled)

WHEELS := .local/wheels

.PHONY: gateway-compiled gateway-wheels release-gateway test-gateway-compiled
gateway-compiled: $(READY)  ## compile the gateway's data path with mypyc (needs gcc); prints the folder
	@$(PY) -m stack.compiled

gateway-wheels: $(READY)  ## the gateway's wheels and those it needs, compiled and pure, into .local/wheels
	@rm -rf $(WHEELS)
	@for member in libs/failover libs/nacos_client libs/service_kit services/gateway; do (cd $$member && \
	  GATEWAY_COMPILED=0 $(CURDIR)/$(PY) -m hatchling build -t wheel -d $(CURDIR)/$(WHEELS)); done
	@if compiled=$(COMPILED); then cp $$compiled/*.whl $(WHEELS); \
	  else echo "gateway-wheels: there are only pure wheels"; fi

release-gateway: gateway-wheels  ## publish the gateway's wheels to INDEX_URL (login: INDEX_USERNAME, INDEX_PASSWORD)
	@UV_PUBLISH_USERNAME=$$INDEX_USERNAME UV_PUBLISH_PASSWORD=$$INDEX_PASSWORD \
	  $(UV) publish --quiet --trusted-publishing never --publish-url $$INDEX_URL $(WHEELS)/*.whl

test-gateway-compiled: $(READY)  ## the gateway's tests on the compiled data path
	compiled=$(COMPILED); PYTHONPATH=$$compiled $(PYTEST) -m "not slow" libs/failover services/gateway/tests tests/field/gateway $(TEST_ARGS)
