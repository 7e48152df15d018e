"""The configuration of the model: `config.yml`, parsed."""
