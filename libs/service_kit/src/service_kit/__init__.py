"""What every service shares: runner, health, problem+json, request id, logs, metrics, settings."""
