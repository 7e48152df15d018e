# Public clients of the Open Inference Protocol, in an environment of their own: they pin versions
# of the same libraries that the services use.
V2_VENV := .venv/v2-clients

.PHONY: v2-clients
v2-clients: $(V2_VENV)/.ready  ## make the environment of the public V2 clients

$(V2_VENV)/.ready: libs/service_conformance/src/service_conformance/tests/v2_clients/requirements.txt
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python $(V2_VENV)
	.venv/bin/uv pip install --quiet --python $(V2_VENV)/bin/python -r $<
	touch $@

# MLServer's codecs, which need other versions than those clients.
MLSERVER_VENV := .venv/mlserver-client

.PHONY: mlserver-client
mlserver-client: $(MLSERVER_VENV)/.ready  ## make the environment of MLServer's codecs

$(MLSERVER_VENV)/.ready: tests/field/serving/inference/clients/mlserver.txt
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python $(MLSERVER_VENV)
	.venv/bin/uv pip install --quiet --python $(MLSERVER_VENV)/bin/python -r $<
	touch $@
