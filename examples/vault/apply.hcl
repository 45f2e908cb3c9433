# For `apply`, `rotate` and `adopt`: everything that `plan.hcl` allows, and access to the documents.
# Replace `secret` with your mount and `acme-prod` with your organization.
path "secret/metadata/webhooks/acme-prod" {
  capabilities = ["list"]
}
path "secret/metadata/webhooks/acme-prod/*" {
  capabilities = ["create", "read", "update", "list"]
}
path "secret/detailed-metadata/webhooks/acme-prod" {
  capabilities = ["list"]
}
path "secret/detailed-metadata/webhooks/acme-prod/*" {
  capabilities = ["list"]
}
path "secret/data/webhooks/acme-prod/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/delete/webhooks/acme-prod/*" {
  capabilities = ["update"]
}
path "secret/undelete/webhooks/acme-prod/*" {
  capabilities = ["update"]
}
path "secret/destroy/webhooks/acme-prod/*" {
  capabilities = ["update"]
}
