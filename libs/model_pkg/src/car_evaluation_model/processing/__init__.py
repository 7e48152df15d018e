"""Data in, checked codes out."""
