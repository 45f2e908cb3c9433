"""Hosts that look like others: scripts that do not go together, look-alikes, and punycode."""

from __future__ import annotations

import pytest

from reconciler.manifest.lint.warnings import deceptive_host

PLAIN = (
    "https://hooks.example.com/",
    "https://münchen.example.com/",
    "https://例え.テスト/",
    "https://ひらカタ漢字abc.jp/",
    "https://한국abc.kr/",
    "https://россия.рф/",
    "https://ελλάδ\u03b1.gr/",
    "https://עברית.example.com/",
    "https://aբե.am/",
    "https://hooks.example.com/xn--a",
    "not a url: xn--é",
    "https://[é",
    "https://xn--a.example.com/",
    "https://ex\u202eample.com/",
)
MIXED, LOOKALIKE, PUNYCODE = "mixes", "only letters that look", "punycode"
DECEPTIVE = {
    "https://p\u0430ypal.com/": (MIXED, "p\u0430ypal.com", "xn--pypal-4ve.com"),
    "https://XN--pypal-4ve.com/": (MIXED, "p\u0430ypal.com", "xn--pypal-4ve.com"),
    "https://abcжд.com/": (MIXED, "abcжд.com", "xn--abc-pddj.com"),
    "https://\u03b1bc.com/": (MIXED, "\u03b1bc.com", None),
    "https://漢\u03b1bc.com/": (MIXED, "漢\u03b1bc.com", None),
    "https://\u0440\u0430\u0443\u0440\u0430.com/": (LOOKALIKE, "\u0440\u0430\u0443\u0440\u0430.com", None),
    "https://xn--80ak6aa92e.com/": (LOOKALIKE, "\u0430\u0440\u0440\u04cf\u0435.com", "xn--80ak6aa92e.com"),
    "https://xn--mnchen-3ya.example.com/": (PUNYCODE, "münchen.example.com", "xn--mnchen-3ya.example.com"),
    "https://Xn--Mnchen-3YA.example.com:443/": (PUNYCODE, "münchen.example.com", None),
}  # fmt: skip


@pytest.mark.parametrize("url", PLAIN, ids=ascii)
def test_a_host_in_one_script_is_what_it_looks_like(url: str) -> None:
    """One script a label is fine, as is Latin with one that does not look like it; so is what is no host."""
    assert deceptive_host(url) is None


@pytest.mark.parametrize("url", DECEPTIVE, ids=ascii)
def test_a_deceptive_host_is_shown_in_both_forms(url: str) -> None:
    """Cyrillic or Greek among Latin, look-alikes alone, and punycode are told with both spellings."""
    why, unicode_form, ascii_form = DECEPTIVE[url]
    said = deceptive_host(url)
    assert said is not None
    assert why in said
    assert f"`{unicode_form}` is `{ascii_form or 'xn--'}" in said


def test_a_host_that_may_be_a_secret_is_not_shown() -> None:
    """A host that is made like a secret is told of without being quoted."""
    assert deceptive_host("https://é0123456789abcdef0123456789abcdef.b\u0430d.com/") == (
        "the URL's host mixes letters of several scripts"
    )
