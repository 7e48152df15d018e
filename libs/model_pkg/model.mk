# The model package: train, build, publish. Included by the Makefile.
MODEL := libs/model_pkg
MODEL_VERSIONS := 1.0.0 1.1.0
INDEX_PORT ?= 8081
INDEX_FOLDER ?= .local/index

# The distributions that train: scikit-learn and all it needs. The package carries their part of the lock.
TRAINING := joblib|narwhals|numpy|scikit-learn|scipy|threadpoolctl

.PHONY: train-model
train-model: $(READY)  ## evaluate, gate and train every released model version, write cards
	awk '/^[^ ]/ {keep = /^($(TRAINING))==/} keep' requirements.lock > $(MODEL)/src/car_evaluation_model/training.lock
	$(PY) -m car_evaluation_model.train_pipeline $(MODEL_VERSIONS)

.PHONY: model-wheels
model-wheels: $(READY)  ## build the wheel of every model version into libs/model_pkg/dist
	$(PY) $(MODEL)/release.py $(MODEL_VERSIONS)

.PHONY: index
index: $(READY)  ## private package index (login: INDEX_USERNAME, INDEX_PASSWORD)
	$(PY) $(MODEL)/index.py $(INDEX_FOLDER) --port $(INDEX_PORT)

.PHONY: release-model
release-model: train-model  ## train, gate, build, publish to INDEX_URL (same login)
	$(PY) $(MODEL)/release.py --publish $(MODEL_VERSIONS)
