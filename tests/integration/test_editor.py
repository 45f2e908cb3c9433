"""What an editor shows of our schemas: the real yaml-language-server, asked as an editor asks it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.manifest.webhooks import KNOWN_EVENTS
from tests.fixtures.language_server import MISSING, WHY_MISSING, LanguageServer, language_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(MISSING, reason=WHY_MISSING)
EXAMPLES = sorted(
    each
    for each in (ROOT / "examples").rglob("*.yaml")
    if each.parent.name not in {"kubernetes", "prometheus"}
)
"""Those that are ours to describe."""
HEAD = f"# yaml-language-server: $schema={(ROOT / 'schemas' / 'webhook.schema.json').as_uri()}\n"
MANIFEST = f"""{HEAD}apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: a
spec:
  url: https://hooks.example.com/a
  events:
    - run.failed
  deletionPolicy: Protect
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    with language_server(ROOT) as running:
        yield running


class Document:
    """A manifest that is open in the editor."""

    _opened = 0

    def __init__(self, server: LanguageServer, text: str, uri: str | None = None) -> None:
        Document._opened += 1
        self._server = server
        self._text = text
        self.uri = uri or f"file:///manifests/{Document._opened}.yaml"
        document = {"uri": self.uri, "languageId": "yaml", "version": 1, "text": text}
        server.notify("textDocument/didOpen", textDocument=document)

    def problems(self) -> list[dict[str, Any]]:
        return self._server.diagnostics(self.uri)

    def hover(self, words: str) -> str:
        """What is shown beside the first occurrence of some words."""
        found = self._ask("hover", self._text.index(words) + 1)
        return str(found["contents"]["value"]).replace("&nbsp;", " ").replace("\\", "")

    def completion(self, after: str) -> dict[str, str]:
        """What is offered after some words: texts and what is said about them."""
        found = self._ask("completion", self._text.index(after) + len(after))
        return {item["label"].strip('"'): str(item.get("documentation", "")) for item in found["items"]}

    def _ask(self, what: str, offset: int) -> Any:
        before = self._text[:offset]
        position = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        return self._server.request(f"textDocument/{what}", textDocument={"uri": self.uri}, position=position)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("events", "The event types to deliver: at least one, each once"),
        ("run.failed", "A run ended with failures."),
        ("url", "Where deliveries go: an https URL on a public host"),
        ("Protect", "Removing the manifest is refused"),
        ("name", "1 to 63 lower-case letters"),
    ],
)
def test_hovering_says_what_a_key_or_value_means(server: LanguageServer, words: str, shown: str) -> None:
    """The schema's descriptions appear where the mouse is."""
    assert shown in Document(server, MANIFEST).hover(words)


def test_event_types_are_offered_with_what_they_mean(server: LanguageServer) -> None:
    """In the list of events, each type that the API knows is offered, and described."""
    offered = Document(server, MANIFEST.replace("- run.failed", "- ")).completion("    - ")
    assert offered.keys() >= set(KNOWN_EVENTS)
    assert "A run ended with failures." in offered["run.failed"]


def test_keys_are_offered_with_what_they_mean(server: LanguageServer) -> None:
    """Below `spec`, the keys that are not there yet are offered."""
    offered = Document(server, f"{MANIFEST}  ").completion("Protect\n  ")
    assert offered.keys() >= {"description", "secret", "allowEventGap", "test"}
    assert "Whether a test delivery is sent" in offered["test"]
    assert "url" not in offered


def test_deletion_policies_are_offered(server: LanguageServer) -> None:
    """A value that is one of a few is offered."""
    offered = Document(server, MANIFEST.replace("Policy: Protect", "Policy: ")).completion("Policy: ")
    assert offered.keys() >= {"Delete", "Retain", "Protect"}


def test_an_unknown_key_is_underlined(server: LanguageServer) -> None:
    """A misspelt key is a problem at its place while it is typed."""
    (problem,) = Document(server, MANIFEST.replace("deletionPolicy", "deletePolicy")).problems()
    assert "deletePolicy" in problem["message"]
    assert problem["range"]["start"] == {"line": 9, "character": 2}


def test_an_event_type_of_a_later_version_is_not_underlined(server: LanguageServer) -> None:
    """The list of events helps, and does not forbid: whether a type exists is for `validate` to say."""
    assert Document(server, MANIFEST.replace("run.failed", "run.exploded")).problems() == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_name_their_schema_and_satisfy_it(server: LanguageServer, example: Path) -> None:
    """Each example begins with the line that editors look for; it leads to our schema; nothing is wrong."""
    text = example.read_text(encoding="utf-8")
    line = text.partition("\n")[0]
    schema = line.removeprefix("# yaml-language-server: $schema=")
    assert (example.parent / schema).resolve().parent == ROOT / "schemas"
    assert Document(server, text, example.as_uri()).problems() == []
    broken = Document(server, text + "colour: blue\n", f"{example.as_uri()}.broken.yaml").problems()
    assert any("colour" in problem["message"] for problem in broken)
