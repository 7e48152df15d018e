"""Starts the classifier: `python -m classifier`."""

from model_service import main

from classifier.app import Classifier

if __name__ == "__main__":
    main(Classifier)
