"""Secrets from files and from the environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ReconcilerError, UsageError
from reconciler.receiver.signature import candidate_secrets
from reconciler.receiver.sources import environment_source, file_source, parse_source

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = {"signing_secret": "new", "previous_signing_secrets": json.dumps({"we_1": "old"})}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(FIELDS), ("new", "old")),
        (json.dumps({"data": {"data": FIELDS, "metadata": {}}}), ("new", "old")),
        ("whsec_abc", ("whsec_abc",)),
        ("whsec_abc\n", ("whsec_abc\n", "whsec_abc")),
        ("{not json", ("{not json",)),
        ("", ()),
    ],
)
def test_a_file_holds_fields_or_a_secret(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    """JSON from the Vault Agent or `vault kv get`, or only the secret: a line break may belong to either."""
    (tmp_path / "ci.json").write_text(text)
    assert candidate_secrets(file_source(f"{tmp_path}/{{name}}.json")("ci")) == expected


def test_a_folder_has_a_file_for_each_field(tmp_path: Path) -> None:
    """As Kubernetes mounts a secret: other files are not read, and a secret is exactly the file's content."""
    (tmp_path / "signing_secret").write_text("new\n")
    (tmp_path / "previous_signing_secret").write_text("old")
    (tmp_path / "ledger").write_bytes(b"\xff")
    assert candidate_secrets(file_source(str(tmp_path))("ci")) == ("new\n", "old")


def test_a_file_is_read_again(tmp_path: Path) -> None:
    """A replaced file is noticed, as is a link that is switched to another folder."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "signing_secret").write_text(version)
    link = tmp_path / "secret"
    read = file_source(str(link))
    for version in ("1", "2"):
        link.unlink(missing_ok=True)
        link.symlink_to(version)
        assert candidate_secrets(read("ci")) == (version,)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The message names the path and the reason, and quotes nothing."""
    (tmp_path / "binary").write_bytes(b"whsec_\xff")
    with pytest.raises(ReconcilerError, match=r"/missing: No such file"):
        file_source(f"{tmp_path}/missing")("ci")
    with pytest.raises(ReconcilerError, match=r"/binary: not a text in UTF-8"):
        file_source(f"{tmp_path}/binary")("ci")


def test_a_variable_is_found_by_the_name() -> None:
    """The webhook's name can be a part of the variable's."""
    read = environment_source("ZOF_SECRET_{name}", {"ZOF_SECRET_CI_RUNS": "whsec_abc"})
    assert candidate_secrets(read("ci-runs")) == ("whsec_abc",)
    with pytest.raises(ReconcilerError, match="ZOF_SECRET_OTHER is not set"):
        read("other")


def test_a_source_is_named_by_an_option() -> None:
    """Vault is elsewhere; anything unknown is a usage error."""
    assert parse_source("vault") is None
    assert parse_source("file:/x") is not None
    assert parse_source("env:X") is not None
    for text in ("file:", "env:", "vault:x", "consul:x", ""):
        with pytest.raises(UsageError):
            parse_source(text)
