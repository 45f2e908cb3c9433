"""A URL that passes validation is accepted by the API in the form in which it is sent."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconciler.manifest.lint.endpoint_url import check_endpoint_url
from reconciler.urls import normalize_url
from tests.fixtures.examples import examples

ROOT = Path(__file__).resolve().parents[2]
_DESCRIPTION = yaml.safe_load((ROOT / "schemas/zof-webhooks.openapi.yaml").read_text(encoding="utf-8"))
API_URL = _DESCRIPTION["components"]["schemas"]["Url"]
HOSTS = (
    "hooks.example.com",
    "straße.example.com",
    "MÜNCHEN。example。com.",
    "8.8.8.8",
    "[2606:4700::1111]",
    "a_b.com",
    "xn--.com",
)
TEXT = st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), max_size=12)


@st.composite
def urls(draw: st.DrawFn) -> str:
    scheme = draw(st.sampled_from(["https://", "HTTPS://", "hTTps://"]))
    host = draw(st.sampled_from(HOSTS) | TEXT)
    port = draw(st.sampled_from(["", ":", ":443", ":0443", ":0", ":65536", ":٣", ":8443"]))
    tail = draw(st.text("/?&=%5bB[]@:;,+!$'()*~._-aZ0#|^ é", max_size=40))
    return f"{scheme}{host}{port}{draw(st.sampled_from(['', '/', '?']))}{tail}"


@examples(400)
@given(urls())
@example("https://straße.example.com/x")
@example("HTTPS://hooks.example.com/x")
@example("https://hooks.example.com:0443/x")
@example("https://hooks.example.com:/x")
@example("https://hooks.example.com/x?f[a]=1")
def test_what_passes_validation_is_what_the_api_accepts(url: str) -> None:
    """Its canonical form satisfies the shipped description of the API, and stays as it is."""
    assume(len(url) <= API_URL["maxLength"])
    if check_endpoint_url(url):
        return
    canonical = normalize_url(url)
    assert re.fullmatch(API_URL["pattern"].removeprefix("^").removesuffix("$"), canonical)
    assert len(canonical) <= API_URL["maxLength"]
    assert normalize_url(canonical) == canonical
