"""The model as the service holds it: one reference with its table, verified before it is used."""
