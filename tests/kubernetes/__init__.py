"""The manifests of deploy/kubernetes: one text, valid, restricted, closed but for what is told."""
