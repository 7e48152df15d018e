# The model package: train, build, publish. Included by the Makefile.
MODEL := libs/model_pkg
INDEX_PORT ?= 8081
INDEX_FOLDER ?= .local/index

# The distributions that train: scikit-learn and all it needs. The package carries their part of the lock.
TRAINING := joblib|narwhals|numpy|scikit-learn|scipy|threadpoolctl

.PHONY: train-model
train-model: $(READY)  ## evaluate, gate and train what config.yml has and no release is yet; verify the rest
	awk '/^[^ ]/ {keep = /^($(TRAINING))==/} keep' requirements.lock > $(MODEL)/src/car_evaluation_model/training.lock
	$(PY) -m car_evaluation_model.train_pipeline $(VERSION)

.PHONY: model-wheels
model-wheels: $(READY)  ## build the wheels of all model versions, or of VERSION, into libs/model_pkg/dist
	$(PY) $(MODEL)/release.py $(VERSION)

.PHONY: index
index: $(READY)  ## private package index (login: INDEX_USERNAME, INDEX_PASSWORD)
	$(PY) $(MODEL)/index.py $(INDEX_FOLDER) --port $(INDEX_PORT)

.PHONY: release-model
release-model: train-model  ## train and publish what INDEX_URL lacks of all versions, or VERSION (same login)
	$(PY) $(MODEL)/release.py --publish $(VERSION)
