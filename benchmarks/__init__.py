"""Measurements beside peers, one command each; `make help` lists them."""
