"""Model services side by side: the same estimator, the same rows, one core."""
