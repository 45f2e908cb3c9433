"""The configuration: `reconciler.yaml`, flags and environment variables as settings."""
