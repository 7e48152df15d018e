# Postman collections of the services behind a gateway, made from their OpenAPI documents.
POSTMAN := deploy/postman
POSTMAN_PACKAGES := $(POSTMAN)/node_modules/.package-lock.json
COLLECTIONS ?= .local/postman
GATEWAY ?= http://127.0.0.1:8000

.PHONY: postman
postman: $(READY) $(POSTMAN_PACKAGES)  ## write a Postman collection of each service behind GATEWAY, and run them
	@mkdir -p $(COLLECTIONS)
	@files=$$(node $(POSTMAN)/collections.mjs $(GATEWAY) $(COLLECTIONS) \
	  $$($(PY) -c 'from stack.services import found; print(*(each.name for each in found()))')); \
	  for file in $$files; do $(POSTMAN)/node_modules/.bin/newman run $$file; done

$(POSTMAN_PACKAGES): $(POSTMAN)/package.json $(POSTMAN)/package-lock.json
	@$(call need,node,nodejs) && $(call need,npm,npm)
	npm ci --prefix $(POSTMAN) --omit=dev --no-audit --no-fund --silent
	@touch $@
