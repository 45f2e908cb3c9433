# For a receiver of the webhook `ci-run-results`: its document, and nothing else. A token with this policy can
# neither write nor list, and cannot read the secret of another webhook. Repeat the rule for each webhook.
# Replace `secret` with your mount and `acme-prod` with your organization.
path "secret/data/webhooks/acme-prod/ci-run-results" {
  capabilities = ["read"]
}
