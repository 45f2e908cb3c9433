# For `plan`, `drift` and `status`: metadata only. A token with this policy cannot read a secret.
# Replace `secret` by your mount and `acme-prod` by your organization.
path "secret/metadata/webhooks/acme-prod" {
  capabilities = ["list"]
}
path "secret/metadata/webhooks/acme-prod/*" {
  capabilities = ["read", "list"]
}
# OpenBao gives all metadata in one answer; HashiCorp Vault has no such path, and the rules do no harm there.
path "secret/detailed-metadata/webhooks/acme-prod" {
  capabilities = ["list"]
}
path "secret/detailed-metadata/webhooks/acme-prod/*" {
  capabilities = ["list"]
}
