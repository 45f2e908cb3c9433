"""The Zof Webhooks API over httpx."""
