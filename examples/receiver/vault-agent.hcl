# Writes the signing secrets of a webhook to a file, and again after each rotation. Run it beside the receiver:
#   vault agent -config=vault-agent.hcl     (or `bao agent`)
# Replace `acme-prod` and `ci-run-results`. The AppRole has the policy examples/vault/receive.hcl.
vault {
  address = "https://vault.example.com"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/vault-agent/role-id"
      secret_id_file_path                 = "/etc/vault-agent/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

template_config {
  # A new endpoint signs with its new secret from the first delivery, so read often.
  static_secret_render_interval = "10s"
}

template {
  destination          = "/run/zof/ci-run-results.json"
  perms                = "0600"
  error_on_missing_key = true
  contents             = <<-END
    {{ with secret "secret/data/webhooks/acme-prod/ci-run-results" }}{{ .Data.data | toJSON }}{{ end }}
  END
}
