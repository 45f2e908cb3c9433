# For `plan`, `drift`, `status`, `history` and `export`: metadata only. A token with this policy cannot read a secret.
# Replace `secret` with your mount and `acme-prod` with your organization.
path "secret/metadata/webhooks/acme-prod" {
  capabilities = ["list"]
}
path "secret/metadata/webhooks/acme-prod/*" {
  capabilities = ["read", "list"]
}
# OpenBao returns all metadata in one response. HashiCorp Vault has no such path; the rules have no effect there.
path "secret/detailed-metadata/webhooks/acme-prod" {
  capabilities = ["list"]
}
path "secret/detailed-metadata/webhooks/acme-prod/*" {
  capabilities = ["list"]
}
