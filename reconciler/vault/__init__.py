"""HashiCorp Vault or OpenBao through hvac."""
