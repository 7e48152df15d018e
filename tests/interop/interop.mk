# Callers in other languages, built once: Spring Boot applications, those of the examples too, and
# Node programs.
JARS := tests/interop/java/target/java-interop.jar examples/spring-client/target/spring-client.jar \
  examples/spring-gateway/target/spring-gateway.jar benchmarks/gateway/spring/target/spring-gateway.jar
NODE_CALLER := tests/interop/node/node_modules/.package-lock.json
NODE_PACKAGES := tests/interop/node/package.json tests/interop/node/package-lock.json

.PHONY: test-interop
test-interop: $(READY) interop-callers  ## Spring and Node call us by name, and we them; about 7 minutes
	$(PY) -m pytest tests/interop

.PHONY: interop-callers
interop-callers: $(JARS) $(NODE_CALLER) $(POSTMAN_PACKAGES)

define jar
$(1): $(firstword $(subst /target/, ,$(1)))/pom.xml $(shell find $(firstword $(subst /target/, ,$(1)))/src -type f)
	@$$(call need,java,openjdk-17-jdk-headless) && $$(call need,mvn,maven)
	mvn --batch-mode --quiet --file $$< package
	@touch $$@
endef
$(foreach each,$(JARS),$(eval $(call jar,$(each))))

$(NODE_CALLER): $(NODE_PACKAGES)
	@$(call need,node,nodejs) && $(call need,npm,npm)
	npm ci --prefix tests/interop/node --omit=dev --no-audit --no-fund
	@touch $@

# $(call need,PROGRAM,PACKAGE): stop with a clear message where a program is missing.
need = { command -v $(1) >/dev/null || { echo "$(1) is missing: install it (Debian: $(2))" >&2; exit 1; }; }
