"""The embedded servers: a Zof Webhooks API, OpenBao, and a demo receiver. Loopback only."""
