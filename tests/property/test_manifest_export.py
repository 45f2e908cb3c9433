"""The laws of exporting: what is written reads back; names are valid, unique and the same in any order."""

from __future__ import annotations

import re

import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifest.export import Export, manifest_text, suggest_names
from reconciler.manifest.yaml.parsing import parse
from reconciler.model import Endpoint

# Without half surrogate pairs, which no UTF-8 file can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@given(TEXTS, st.lists(TEXTS, max_size=5), TEXTS, TEXTS)
def test_what_is_written_reads_back(url: str, events: list[str], owner: str, organization: str) -> None:
    """Our loader and PyYAML's read the same texts that the API said, whatever they are."""
    endpoint = Endpoint("we_1", url, tuple(events))
    text = manifest_text(Export(endpoint, "ci", organization, owner=owner), "schema.json")
    (document,) = parse(text.encode())
    expected = {
        "apiVersion": "webhooks.zof.ai/v1",
        "kind": "Webhook",
        "metadata": {"name": "ci", "labels": {"owner": owner}},
        "spec": {"url": url, "events": events},
    }
    assert document.value == expected
    assert yaml.safe_load(text) == expected


HOSTS = st.sampled_from(["hooks.example.com", "a.example", "x" * 63 + ".example", "[::1]", ""])
URLS = st.builds("https://{}/{}".format, HOSTS, st.text(max_size=80)) | st.text(max_size=30)


@given(st.dictionaries(st.text(max_size=5), URLS, max_size=12), st.data())
def test_names_are_valid_unique_and_independent_of_the_order(
    urls: dict[str, str], data: st.DataObject
) -> None:
    """Each name has the required form, no two are the same, and a shuffled listing gives the same names."""
    names = suggest_names(urls)
    assert names.keys() == urls.keys()
    assert len(set(names.values())) == len(names)
    assert all(NAME.fullmatch(name) for name in names.values())
    shuffled = data.draw(st.permutations(list(urls)))
    assert suggest_names({each: urls[each] for each in shuffled}) == names
    taken = set(data.draw(st.lists(st.sampled_from(sorted(names.values()) or ["x"]))))
    assert not taken & set(suggest_names(urls, taken).values())
