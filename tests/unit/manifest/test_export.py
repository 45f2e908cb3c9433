"""Manifests that are written: they read back as what was live, and nothing of it becomes YAML of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from reconciler.manifest.export import Export, manifest_text, suggest_names
from reconciler.manifest.load import load_manifests
from reconciler.model import DeletionPolicy, Endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.manifest.load import Loaded

SCHEMA = "../schemas/webhook.schema.json"
URL = "https://hooks.example.com/zof"
NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def export(url: str = URL, *events: str, name: str = "ci", **known: object) -> Export:
    """Return an endpoint as it is to be written down."""
    endpoint = Endpoint("we_1", url, events or ("run.completed",))
    return Export(endpoint, name, "acme", **known)  # type: ignore[arg-type]


def loaded(tmp_path: Path, text: str) -> Loaded:
    """Return what the loader makes of a manifest."""
    file = tmp_path / "manifest.yaml"
    file.write_text(text, encoding="utf-8")
    return load_manifests([file])


def test_an_unmanaged_endpoint() -> None:
    """The whole text: what it is, how to adopt it, and what is to be decided."""
    assert manifest_text(export(URL, "run.completed", "run.failed"), SCHEMA) == (
        """\
# yaml-language-server: $schema=../schemas/webhook.schema.json
# Endpoint we_1 of organization acme: live and unmanaged.
# Until it is adopted, `reconciler plan` shows a conflict. If its signing secret is known:
#   reconciler adopt ci --id we_1 --secret-stdin
# If it is not, replace the endpoint with a new one:
#   reconciler adopt ci --id we_1 --rotate
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: ci
  # labels: {owner: team-name}    # to decide: who owns it
spec:
  url: https://hooks.example.com/zof
  events:
    - run.completed
    - run.failed
  # deletionPolicy: Delete    # to decide: Delete, Retain or Protect, once this file goes
  # secret: {overlap: 24h}    # to decide: how long a replaced secret stays valid
"""
    )


def test_a_managed_endpoint() -> None:
    """What the ledger knows is written down, and nothing is to be adopted."""
    text = manifest_text(
        export(managed=True, owner="platform", deletion_policy=DeletionPolicy.PROTECT), SCHEMA
    )
    assert "# Endpoint we_1 of organization acme: live and managed under this name.\n" in text
    assert "  labels:\n    owner: platform\nspec:\n" in text
    assert "  deletionPolicy: Protect\n" in text
    assert "adopt" not in text
    assert "to decide: who" not in text


def test_a_released_endpoint() -> None:
    """Its manifest's return takes it up again, without an adoption."""
    text = manifest_text(export(released=True, deletion_policy=DeletionPolicy.RETAIN), SCHEMA)
    assert "released earlier under this name" in text
    assert "reconciler adopt" not in text


def test_the_decisions_are_ready_to_use(tmp_path: Path) -> None:
    """Each commented line, without its `# `, is what the format allows there."""
    lines = manifest_text(export(), SCHEMA).splitlines()
    text = "\n".join(line.replace("  # ", "  ", 1) for line in lines) + "\n"
    (webhook,) = loaded(tmp_path, text).webhooks
    assert (webhook.owner, webhook.overlap.days) == ("team-name", 1)


@pytest.mark.parametrize(
    "hostile",
    [
        "1e5", "0o17", "0x1f", "12", "1.5", ".inf", ".nan", "~", "null", "true", "on", "No", "2026-11-01",
        "=", "<<", "- x", "a: b", "a #b", "# c", "&a", "*a", "!t", "|", ">", "%", "@", "`", "'", '"', "{",
        "[", "? x", "---", "...", "x\ny", "x\r\ny", "x\ty", "x\x85y", "x\u2028y", "\u202ex", "\ufeffx",
        "\x1b[31m", " x", "x ", "ü", "😀", "\\n", "x\n# reconciler adopt evil", "x\n---\nkind: Config",
        "9" * 100,
    ],
)  # fmt: skip
def test_a_hostile_event_is_a_text_and_nothing_else(tmp_path: Path, hostile: str) -> None:
    """Whatever the API says reads back as the same text in the same place; comments stay one line each."""
    text = manifest_text(export(URL, hostile, owner=hostile), SCHEMA)
    result = loaded(tmp_path, text)
    assert {diagnostic.rule for diagnostic in result.diagnostics} <= {"WH020"}, result.diagnostics
    webhooks = load_manifests([tmp_path], allow_unknown_events=True).webhooks
    assert [(each.events, each.labels, each.url) for each in webhooks] == [
        ((hostile,), {"owner": hostile}, URL)
    ]
    head = list(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    assert text.splitlines()[len(head)] == "apiVersion: webhooks.zof.ai/v1"
    assert all(line.isprintable() for line in text.split("\n"))
    said = text.count("WH020")
    plain = manifest_text(export(URL, "run.completed", owner="x"), SCHEMA)
    assert text.count("\n") == plain.count("\n") + said, "a text takes a line of its own"


@pytest.mark.parametrize(
    ("url", "events", "rules"),
    [
        ("http://hooks.example.com/", ("run.completed",), ["WH014", "WH024"]),
        ("https://user:pw@hooks.example.com/", ("run.completed",), ["WH025"]),
        ("https://10.0.0.1/", ("run.completed",), ["WH027"]),
        ("https://hooks.example.com/a b\nc: d", ("run.completed",), ["WH023"]),
        (URL, ("agent.melted",), ["WH020"]),
        (URL, (), ["WH015"]),
        (URL + "/" + "x" * 3000, ("run.completed",), ["WH014"]),
        ("no url at all", ("run.completed",), ["WH014", "WH024", "WH023"]),
    ],
)
def test_what_breaks_a_rule_is_said(
    tmp_path: Path, url: str, events: tuple[str, ...], rules: list[str]
) -> None:
    """An endpoint can be live and break a rule: the comment names each rule that `validate` is going to."""
    exported = Export(Endpoint("we_1", url, events), "ci", "acme")
    text = manifest_text(exported, SCHEMA)
    result = loaded(tmp_path, text)
    assert not result.ok
    for diagnostic in result.diagnostics:
        assert f"`reconciler validate` refuses it, {diagnostic.rule}: " in text
    assert {each.rule for each in result.diagnostics} <= set(rules)
    assert "user:pw" not in "".join(line for line in text.splitlines() if line.startswith("#"))


def test_half_a_surrogate_pair_is_told() -> None:
    """What is no text at all cannot be a manifest, and does not end the export."""
    text = manifest_text(export("https://hooks.example.com/\ud800"), SCHEMA)
    assert "half a surrogate pair" in text
    text.encode()


def test_two_at_one_url_are_told() -> None:
    """One webhook has one URL: the second of two is marked."""
    assert "WH022: other has this URL too" in manifest_text(export(twin="other"), SCHEMA)


def test_a_token_in_the_url_is_told() -> None:
    """Whoever commits the file should know that it holds a secret, and the name does not repeat it."""
    url = "https://chat.example.com/hooks/aB3dEf7hIj1kLm9nOp5q/x?key=1"
    assert "looks as if it contained a token" in manifest_text(export(url), SCHEMA)
    assert suggest_names({"we_1": url}) == {"we_1": "chat-example-com"}


def test_an_id_is_quoted_for_the_shell() -> None:
    """What a reader copies from the comment runs one command."""
    exported = Export(Endpoint("~we;rm", URL, ("run.completed",)), "ci", "acme")
    assert "reconciler adopt ci --id '~we;rm' --rotate" in manifest_text(exported, SCHEMA)


# --- names --------------------------------------------------------------------------------------------------


def test_names_come_from_host_and_path() -> None:
    """Case, port, dots and slashes make no difference, and the query stays out."""
    urls = {
        "1": "https://Hooks.Example.com/ZOF/Runs/?token=x",
        "2": "https://example.com",
        "3": "https://bücher.example/",
        "4": "https://[2606:4700::1]/x",
        "5": "::: no url",
        "6": "https://[::1",
        "7": "https://x.example.com/" + "long-" * 30,
    }
    names = suggest_names(urls)
    assert names["1"] == "hooks-example-com-zof-runs"
    assert names["2"] == "example-com"
    assert names["3"] == "xn-bcher-kva-example"
    assert names["4"] == "2606-4700-1-x"
    assert names["5"] != names["6"]
    assert len(names["7"]) <= 63


def test_names_that_collide_are_told_apart_by_the_id() -> None:
    """Each gets a digest, in whatever order they are listed; what others have is not taken."""
    urls = {"1": URL, "2": f"{URL}/", "3": "https://free.example.com/"}
    forwards = suggest_names(urls)
    assert forwards == suggest_names(dict(reversed(urls.items())))
    assert len(set(forwards.values())) == 3
    assert forwards["3"] == "free-example-com"
    assert forwards["1"].startswith("hooks-example-com-zof-")
    assert suggest_names({"3": urls["3"]}, {"free-example-com"})["3"].startswith("free-example-com-")
    taken = {"free-example-com", suggest_names({"3": urls["3"]}, {"free-example-com"})["3"]}
    assert suggest_names({"3": urls["3"]}, taken)["3"] not in taken


def test_a_url_with_a_token_says_which_rule_refuses_it_and_what_to_do(tmp_path: Path) -> None:
    """The comment names the code that `validate` then tells; it is itself no secret, and ignores nothing."""
    for path, code, advice in (
        ("in/Zq8vT3nW5xY7aB2cD4eF6gH8", "WH031", "ignore[WH031] why"),
        ("whsec_hunter2hunter2hunter2", "WH030", "give the receiver an address without it"),
    ):
        endpoint = Endpoint(
            "we_Ab3dEf6hIj9lMn2pQr5tUv8x", f"https://hooks.example.com/{path}", ("run.failed",)
        )
        text = manifest_text(Export(endpoint, "ci", "acme"), "schema.json")
        assert f"refuses it, {code}: " in text
        assert advice in text
        (tmp_path / "ci.yaml").write_text(text)
        assert {each.rule for each in load_manifests([tmp_path / "ci.yaml"]).diagnostics} == {code}
