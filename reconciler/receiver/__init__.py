"""Verify Zof webhook deliveries: what a service that receives them imports."""

from reconciler.receiver.signature import candidate_secrets, verify

__all__ = ["candidate_secrets", "verify"]
