# Callers in other languages: a Spring Boot application and a Node program, built once.
JAVA_CALLER := tests/interop/java/target/java-interop.jar
NODE_CALLER := tests/interop/node/node_modules/.package-lock.json
NODE_PACKAGES := tests/interop/node/package.json tests/interop/node/package-lock.json

.PHONY: test-interop
test-interop: $(READY) interop-callers  ## Spring and Node call us by name, and we them; about 5 minutes
	$(PY) -m pytest tests/interop

.PHONY: interop-callers
interop-callers: $(JAVA_CALLER) $(NODE_CALLER)

$(JAVA_CALLER): tests/interop/java/pom.xml $(shell find tests/interop/java/src -type f)
	@$(call need,java,openjdk-17-jdk-headless) && $(call need,mvn,maven)
	mvn --batch-mode --quiet --file $< package
	@touch $@

$(NODE_CALLER): $(NODE_PACKAGES)
	@$(call need,node,nodejs) && $(call need,npm,npm)
	npm ci --prefix tests/interop/node --omit=dev --no-audit --no-fund
	@touch $@

# $(call need,PROGRAM,PACKAGE): stop with a clear message where a program is missing.
need = { command -v $(1) >/dev/null || { echo "$(1) is missing: install it (Debian: $(2))" >&2; exit 1; }; }
