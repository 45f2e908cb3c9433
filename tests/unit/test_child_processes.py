"""What a child process inherits."""

from __future__ import annotations

from reconciler.child_processes import child_environment


def test_a_child_process_gets_no_credential() -> None:
    """It finds its programs and its configuration, and nothing that our environment holds for us."""
    needed = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "GIT_DIR": ".git"}
    credentials = dict.fromkeys(
        ("ZOF_API_KEY", "VAULT_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "GIT_CONFIG_VALUE_0"),
        "secret",
    )
    assert child_environment(needed | credentials) == needed
