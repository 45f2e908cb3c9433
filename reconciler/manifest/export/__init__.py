"""Manifests from live endpoints."""
