"""Signatures of deliveries, and the secrets in the fields of a Vault document."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.receiver import signature as receiver
from reconciler.receiver.signature import candidate_secrets, sign, verify

BODY = b'{"id": "evt_1", "type": "run.completed"}'
# Surrogates cannot be written as UTF-8, and no stored secret has one.
secret_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_a_signature_is_hmac_sha256_in_lower_case_hex() -> None:
    """The result for test case 1 of RFC 4231 is the published one, so other tools compute the same."""
    expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert sign(b"Hi There", "\x0b" * 20) == expected


@given(body=st.binary(), secrets=st.lists(secret_texts, min_size=1), data=st.data())
def test_any_of_the_secrets_verifies(body: bytes, secrets: list[str], data: st.DataObject) -> None:
    """A delivery signed with any one of the candidates is accepted, wherever it is in the list."""
    assert verify(body, sign(body, data.draw(st.sampled_from(secrets))), secrets)


@given(body=st.binary(), other=st.binary(), secret=secret_texts)
def test_another_body_is_refused(body: bytes, other: bytes, secret: str) -> None:
    """A signature is valid only for exactly the same bytes."""
    assert verify(other, sign(body, secret), secret) is (other == body)


@given(signature=st.one_of(st.none(), st.text()), secrets=st.lists(secret_texts))
def test_nonsense_is_refused_without_an_error(signature: str | None, secrets: list[str]) -> None:
    """Any other header is a failed verification, never an exception."""
    assert verify(BODY, signature, secrets) is False


@pytest.mark.parametrize("change", [str.upper, lambda text: f" {text}", lambda text: text[:-1], lambda _: ""])
def test_only_the_exact_signature_counts(change: Any) -> None:
    """Upper case, spaces and a truncated signature are refused."""
    assert not verify(BODY, change(sign(BODY, "whsec_a")), "whsec_a")


def test_an_empty_secret_verifies_nothing() -> None:
    """An empty field is not a secret, because anybody could sign with it."""
    assert not verify(BODY, sign(BODY, ""), ["", "whsec_a"])
    assert not verify(BODY, sign(BODY, ""), "")


def test_every_secret_is_tried_even_after_a_match() -> None:
    """The work is the same whichever candidate matched."""
    tried = []

    def candidates() -> Any:
        for secret in ("whsec_a", "whsec_b", "whsec_c"):
            tried.append(secret)
            yield secret

    assert verify(BODY, sign(BODY, "whsec_a"), candidates())
    assert tried == ["whsec_a", "whsec_b", "whsec_c"]


def test_all_secrets_of_a_document_are_candidates() -> None:
    """The current, pending and previous secrets, the current one first, without duplicates."""
    fields = {
        "signing_secret": "current",
        "pending_signing_secret": "pending",
        "previous_signing_secret": "newest",
        "previous_signing_secrets": json.dumps({"we_1": "oldest", "we_2": "newest"}),
        "endpoint_id": "we_3",
        "url": "https://hooks.example.com/",
        "ledger": "{}",
    }
    assert candidate_secrets(fields) == ("current", "pending", "newest", "oldest")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"signing_secret": None, "previous_signing_secrets": None},
        {"signing_secret": "", "pending_signing_secret": 7, "previous_signing_secret": ["x"]},
        {"previous_signing_secrets": "{"},
        {"previous_signing_secrets": "[" * 100_000},
        {"previous_signing_secrets": '["x"]'},
        {"previous_signing_secrets": '{"we_1": 1, "we_2": ""}'},
        {"previous_signing_secrets": {"we_1": "x"}},
    ],
)
def test_damaged_fields_give_no_candidates(fields: dict[str, object]) -> None:
    """A document in another format raises nothing and adds no secret."""
    assert candidate_secrets(fields) == ()


def test_the_module_stands_alone() -> None:
    """It imports the standard library only, so a consumer can copy the file."""
    tree = ast.parse(Path(receiver.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    assert imported <= sys.stdlib_module_names
