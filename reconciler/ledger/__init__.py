"""What we record about a webhook, in Vault: the ledger, the document that holds it, and its public part."""
