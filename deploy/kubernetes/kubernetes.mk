# What the manifests of Kubernetes are made and tried with. Programs are built from the Go proxy.
HELM_VERSION := v3.22.0
KUSTOMIZE_VERSION := v5.8.1
.PHONY: kubernetes-manifests kubernetes-secrets kubernetes-programs
kubernetes-manifests: $(READY)  ## write the kustomize manifests from the chart, and the services into both
	@PYTHONPATH=deploy/src $(PY) -m stack.written

kubernetes-secrets: $(READY)  ## print a namespace with new Secrets: `make kubernetes-secrets | kubectl create -f -`
	@$(PY) -m stack.kubernetes_secrets '$(or $(NAMESPACE),modelserve)'

kubernetes-programs: .local/kubernetes/helm-$(HELM_VERSION) .local/kubernetes/kustomize-$(KUSTOMIZE_VERSION)  ## build helm and kustomize (needs Go)
	@ln -sf helm-$(HELM_VERSION) .local/kubernetes/helm
	@ln -sf kustomize-$(KUSTOMIZE_VERSION) .local/kubernetes/kustomize

.local/kubernetes/helm-%:
	@command -v go >/dev/null || { echo 'MISSING PROGRAM go: helm cannot be built' >&2; exit 1; }
	GOBIN=$(CURDIR)/.local/kubernetes go install helm.sh/helm/v3/cmd/helm@$*
	@mv .local/kubernetes/helm $@

.local/kubernetes/kustomize-%:
	@command -v go >/dev/null || { echo 'MISSING PROGRAM go: kustomize cannot be built' >&2; exit 1; }
	GOBIN=$(CURDIR)/.local/kubernetes go install sigs.k8s.io/kustomize/kustomize/v5@$*
	@mv .local/kubernetes/kustomize $@
