"""The run's secrets are masked in every spelling, in whole or in long parts, and nothing else is."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.credentials.known import KnownSecrets
from reconciler.model import Secret

SECRET = "whsec_aB3/dE7+hI1kLm9nOp5qRs8tUv2wXy4z"
OTHER = "hvs.CAESIJ-otherTokenOfTheRun0123456789"


def known(*texts: str) -> KnownSecrets:
    secrets = KnownSecrets()
    secrets.add(*map(Secret, texts or (SECRET, OTHER)))
    return secrets


SPELLINGS = {
    "as it is": SECRET,
    "in capitals": SECRET.upper(),
    "in small letters": SECRET.lower(),
    "spread with spaces": " ".join(SECRET),
    "in groups": " ".join(SECRET[i : i + 4] for i in range(0, len(SECRET), 4)),
    "with hyphens": "-".join(SECRET),
    "over two lines": f"{SECRET[:20]}\n  {SECRET[20:]}",
    "URL-encoded": quote(SECRET, safe=""),
    "URL-encoded as a whole": "".join(f"%{ord(char):02x}" for char in SECRET),
    "in JSON": json.dumps(SECRET).replace("/", "\\/"),
    "in JSON's escapes": "".join(f"\\u{ord(char):04x}" for char in SECRET),
    "in Python's escapes": "".join(f"\\x{ord(char):02x}" for char in SECRET),
    "in Python's long escapes": "".join(f"\\U{ord(char):08X}" for char in SECRET),
    "in JavaScript's escapes": "".join(f"\\u{{{ord(char):x}}}" for char in SECRET),
    "in octal escapes": "".join(f"\\{ord(char):03o}" for char in SECRET),
    "in HTML": html.escape(SECRET),
    "in HTML's escapes": "".join(f"&#x{ord(char):x};" for char in SECRET),
    "in HTML's decimal escapes": "".join(f"&#{ord(char)};" for char in SECRET),
    "in HTML's escapes without an end": "".join(f"&#X{ord(char):08X}" for char in SECRET),
    "in full width": "".join(chr(ord(char) + 0xFEE0) for char in SECRET),
    "in mathematical letters": "".join(
        chr(0x1D41A + ord(char) - ord("a")) if char.islower() else char for char in SECRET
    ),
    "in hexadecimal digits": SECRET.encode().hex(),
    "cut at the end": SECRET[:20],
    "cut at the beginning": SECRET[15:],
    **{
        f"in base64 after {n} bytes": base64.b64encode(b"x" * n + SECRET.encode() + b"yz").decode()
        for n in range(4)
    },
    **{
        f"in base64 of URLs after {n} bytes": base64.urlsafe_b64encode(b"?" * n + SECRET.encode()).decode()
        for n in range(3)
    },
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_masked_in_any_spelling(text: str) -> None:
    """No long run of a spelling is left, and the words around it are."""
    shown = known().mask(f"it was {text}, they said")
    assert shown.startswith("it was ")
    assert shown.endswith(" they said")
    assert "***" in shown
    runs = {text[i : i + 12] for i in range(len(text) - 11)}
    assert not any(run in shown for run in runs)


def test_several_secrets_are_masked_and_other_texts_are_kept() -> None:
    """Each occurrence is masked; a text without one is returned as it is, whatever escapes it has."""
    secrets = known()
    assert secrets.mask(f"{SECRET} and {OTHER}, {SECRET}{OTHER}.") == "*** and ***, ***."
    for text in (
        "",
        "whsec_",
        "100 % of C:\\users &amp; others",
        "the token was refused",
        "ÄÖÜ İı \\u00",
        "\\u{ffffffff} \\U99999999 \\400 \\12",
        "&#99999999;",
    ):
        assert secrets.mask(text) == text
    assert KnownSecrets().mask(SECRET) == SECRET


def test_short_secrets_and_those_of_signs_are_masked_as_they_are() -> None:
    """They could not be told from ordinary words otherwise; one of five characters is not masked."""
    secrets = known("!?§$%&/()=*+", "hunter2", "short", "Äußerst-Geheim")
    assert secrets.mask("a !?§$%&/()=*+ b hunter2 c short d äußerst geheim") == "a *** b *** c short d ***"


def test_json_that_is_masked_is_still_json() -> None:
    """A mask takes the place of whole escapes."""
    value = json.loads(known().mask(json.dumps({"a": f"\\{SECRET}\\", "b": f"\x1b{SECRET}\n\u1234"})))
    assert value == {"a": "\\***\\", "b": "\x1b***\n\u1234"}


@pytest.mark.untraced
def test_a_report_of_a_large_fleet_is_masked() -> None:
    """Megabytes are searched by another program than short texts, with the same result."""
    filler = '{"url": "https://hooks.example.com/zof", "name": "ci-run-results"}\n' * 20_000
    assert known().mask(filler) == filler
    assert known().mask(f"{filler}{SECRET}{filler}") == f"{filler}***{filler}"
    many = KnownSecrets()
    many.add(*(Secret(f"{number:04d}{SECRET[::-1]}{number}") for number in range(300)), Secret(SECRET))
    assert many.mask(f"{filler[:20_000]}{SECRET}") == f"{filler[:20_000]}***"


def test_a_new_run_knows_nothing() -> None:
    """What an earlier run in this process knew is forgotten."""
    secrets = known("?!?!?!?!", SECRET)
    secrets.clear()
    assert secrets.mask(f"{SECRET} ?!?!?!?!") == f"{SECRET} ?!?!?!?!"


@given(before=st.text(max_size=40), after=st.text(max_size=40), gap=st.text(" \t\r\n-_.|", max_size=3))
def test_no_surroundings_hide_a_secret(before: str, after: str, gap: str) -> None:
    """Whatever stands around and between its characters, no part of it can be read."""
    shown = known().mask(before + gap.join(SECRET) + after)
    letters = "".join(char for char in shown.lower() if char.isalnum())
    folded = "".join(char for char in SECRET.lower() if char.isalnum())
    assert not any(folded[i : i + 14] in letters for i in range(len(folded) - 13))
