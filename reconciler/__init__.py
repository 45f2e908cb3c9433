"""GitOps reconciler for Zof webhooks. Read by the nouns: `model`, `ledger`, then `plan.protocol`."""

__version__ = "0.1.0"
