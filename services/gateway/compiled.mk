# The gateway with its data path compiled by mypyc: PYTHONPATH=.local/compiled puts it first.
COMPILED := .local/compiled

.PHONY: gateway-compiled test-gateway-compiled
gateway-compiled: $(COMPILED)/.ready  ## compile the gateway's data path with mypyc (needs gcc)

$(COMPILED)/.ready: $(READY) services/gateway/compile.py \
    $(wildcard libs/failover/src/failover/*.py services/gateway/src/gateway/*.py services/gateway/src/gateway/*/*.py)
	$(PY) services/gateway/compile.py $(COMPILED)
	@touch $@

test-gateway-compiled: gateway-compiled  ## the gateway's tests on the compiled data path
	PYTHONPATH=$(CURDIR)/$(COMPILED) $(PYTEST) -m "not slow" libs/failover services/gateway/tests $(TEST_ARGS)
