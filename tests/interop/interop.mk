# Callers in other languages, built once: Spring Boot applications, those of the examples too, and
# Node programs.
JARS := tests/interop/java/target/java-interop.jar examples/spring-client/target/spring-client.jar \
  examples/spring-gateway/target/spring-gateway.jar benchmarks/gateway/spring/target/spring-gateway.jar
NODE_CALLER := tests/interop/node/node_modules/.package-lock.json
# Programs that generate clients from an OpenAPI document, and what those clients need.
GENERATORS := tests/interop/generated
JAVA_GENERATOR := $(GENERATORS)/java/target/openapi-generator-cli.jar
PYTHON_GENERATOR := .venv/generators/.ready
NODE_GENERATOR := $(GENERATORS)/typescript/node_modules/.package-lock.json

.PHONY: test-interop
test-interop: $(READY) interop-callers  ## Spring, Node and generated clients call us, and we them; about 8 minutes
	$(PY) -m pytest tests/interop

.PHONY: interop-callers
interop-callers: $(JARS) $(NODE_CALLER) $(POSTMAN_PACKAGES) $(JAVA_GENERATOR) $(PYTHON_GENERATOR) $(NODE_GENERATOR)

define jar
$(1): $(firstword $(subst /target/, ,$(1)))/pom.xml $(shell find $(firstword $(subst /target/, ,$(1)))/src -type f)
	@$$(call need,java,openjdk-17-jdk-headless) && $$(call need,mvn,maven)
	mvn --batch-mode --quiet --file $$< package
	@touch $$@
endef
$(foreach each,$(JARS),$(eval $(call jar,$(each))))

$(NODE_CALLER) $(NODE_GENERATOR): %/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@$(call need,node,nodejs) && $(call need,npm,npm)
	npm ci --prefix $* --omit=dev --no-audit --no-fund
	@touch $@

$(JAVA_GENERATOR): $(GENERATORS)/java/pom.xml
	@$(call need,java,openjdk-17-jdk-headless) && $(call need,mvn,maven)
	mvn --batch-mode --quiet --file $< package
	@touch $@

$(PYTHON_GENERATOR): $(GENERATORS)/python/requirements.txt
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv/generators
	.venv/bin/uv pip install --quiet --python .venv/generators/bin/python -r $<
	@touch $@

# $(call need,PROGRAM,PACKAGE): stop with a clear message where a program is missing.
need = { command -v $(1) >/dev/null || { echo "$(1) is missing: install it (Debian: $(2))" >&2; exit 1; }; }
