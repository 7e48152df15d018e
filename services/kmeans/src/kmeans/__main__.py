"""Starts the clusterer: `python -m kmeans`."""

from model_service import main

from kmeans.app import Clusterer

if __name__ == "__main__":
    main(Clusterer)
