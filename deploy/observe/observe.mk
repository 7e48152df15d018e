# What watches: the files of Prometheus and Grafana, and Debian's Prometheus.
.PHONY: observe-files
observe-files: $(READY)  ## write dashboards, alerts and Prometheus' file from the metrics' definitions
	@PYTHONPATH=deploy/src $(PY) -m stack.written

.PHONY: prometheus
prometheus: .local/prometheus  ## fetch Debian's Prometheus into .local, where it is not installed

.local/prometheus:
	@rm -rf $@.partial && mkdir -p $@.partial
	@cd $@.partial && { apt-get -qq download prometheus || { apt-get -qq update && apt-get -qq download prometheus; }; }
	@dpkg-deb -x $@.partial/prometheus_*.deb $@.partial && rm $@.partial/*.deb
	@mv $@.partial $@

.PHONY: test-observe
test-observe: $(READY)  ## ask a Prometheus that scraped the running stack each query of each dashboard
	$(PYTEST) tests/observe $(TEST_ARGS)
