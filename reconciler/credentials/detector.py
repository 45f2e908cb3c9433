"""Find credentials in texts and URLs, by shape, by name and by randomness.

`known_secret` and `likely_secret` decide what a rule reports: they must not be wrong about digests, commits,
UUIDs, dates and ordinary names, which are normal in manifests. `looks_secret` decides what may be shown: when
in doubt, nothing. It hides everything that the other two report.

Every pattern takes time in proportion to the text. Those for reports are kept as texts, which `re` compiles
when it first needs them: that takes 4 ms, and few runs do.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from reconciler.credentials.capabilities import TRACE, holds_capability
from reconciler.patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHAPES: tuple[tuple[str, str], ...] = (
    (r"whsec_[A-Za-z0-9+/_-]{16,}", "a webhook's signing secret"),
    (r"zof_[A-Za-z0-9_-]{16,}", "a Zof API key"),
    (r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])", "an AWS access key id"),
    (r"gh[opsur]_[A-Za-z0-9]{36,}", "a GitHub token"),
    (r"github_pat_[A-Za-z0-9_]{22,}", "a GitHub token"),
    (r"gl(?:pat|rt|dt|ptt)-[A-Za-z0-9_-]{20,}", "a GitLab token"),
    (r"xox[abceoprs]-[A-Za-z0-9-]{20,}", "a Slack token"),
    (r"xapp-[0-9]-[A-Za-z0-9-]{20,}", "a Slack token"),
    (r"hv[sbr]\.[A-Za-z0-9_-]{24,}", "a Vault token"),
    (r"s\.(?=[A-Za-z]{0,23}[0-9])[A-Za-z0-9]{24}(?![A-Za-z0-9_.-])", "a Vault or OpenBao token"),
    (r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", "a Stripe key"),
    (r"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{40,}", "an API key"),
    (r"AIza[A-Za-z0-9_-]{35}", "a Google API key"),
    (r"npm_[A-Za-z0-9]{36}", "an npm token"),
    (r"pypi-AgE[A-Za-z0-9_-]{40,}", "a PyPI token"),
    (r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{40,}", "a SendGrid key"),
    (r"AGE-SECRET-KEY-1[A-Z0-9]{40,}", "an age key"),
    (r"SK[0-9a-f]{32}(?![A-Za-z0-9])", "a Twilio key"),
    (r"do[opr]_v1_[0-9a-f]{64}", "a DigitalOcean token"),
    (r"dckr_pat_[A-Za-z0-9_-]{20,}", "a Docker token"),
    (r"shp(?:at|ca|pa|ss)_[0-9a-f]{32}", "a Shopify token"),
    (r"hf_[A-Za-z0-9]{30,}", "a Hugging Face token"),
    (r"(?:glsa|glc)_[A-Za-z0-9_+/=-]{32,}", "a Grafana token"),
    (r"ATATT3x[A-Za-z0-9_=-]{40,}", "an Atlassian token"),
    (r"dapi[0-9a-f]{32}(?![A-Za-z0-9])", "a Databricks token"),
    (r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])", "a Telegram token"),
    (r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.", "a JSON Web Token"),
)
_PRIVATE_KEY = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY"
_KNOWN = rf"(?<![A-Za-z0-9_-])(?:{'|'.join(f'({pattern})' for pattern, _ in _SHAPES)})|({_PRIVATE_KEY})"
_KINDS = (*(kind for _, kind in _SHAPES), "a private key")
# A user name and a password before a host; not a placeholder in brackets or with a dollar sign.
_PASSWORD = r"://[^\s/?#@:<{$*]{0,100}:[^\s/?#@<{$*]{3,100}@"
_URL = r"(?i)https?://[^\s\"'<>]+"
# A parameter that is named for a secret, with a value that is not just a word.
_PARAMETER = (
    r"(?i)[?&;](?:[a-z]{1,16}[_-])?(?:token|secret|passw(?:or)?d|api_?key|access_?key|sig|signature|auth)"
    r"=(?=[^&;#\s]{0,64}?[0-9])(?=[^&;#\s]{0,64}?[A-Za-z])[^&;#\s]{12,}"
)
# `password: x` and `token=x`, where x is not a plain word, a name with hyphens, a path or a reference.
_NAMES = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|(?:access|private|signing|client)[_-]?key"
    r"|authorization|credentials?)"
)
_NAMED = (
    rf"(?i){_NAMES}[\"']?\s{{0,9}}[:=][\s|>-]{{0,80}}+[\"']?(?:(?:bearer|basic)\s{{1,9}})?"
    r"(?![A-Za-z0-9]{1,64}+(?:[-_.][A-Za-z0-9]{1,64}+){1,20}+(?![^\s\"',;&)\]}]))"
    r"(?=[^\s\"'<>]{0,64}?[0-9])(?=[^\s\"'<>]{0,64}?[A-Za-z])"
    r"(?:[^\s\"'$<>{}\[\]/:,;&#*()=]{6,256}+|[A-Za-z0-9+/]{32,256}+)={0,2}(?![^\s\"',;&)\]}])"
)
_NAMES_A_SECRET = rf"(?i){_NAMES}\Z"
# An AWS secret access key: forty letters and digits of all kinds, with a slash or a plus sign somewhere.
_FORTY = r"(?<![A-Za-z0-9+/=_.-])(?=[A-Za-z0-9]{0,39}[/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9+/=_.-])"
_LEAST_OF_CASE = 8
_RUN = r"[A-Za-z0-9+/_=-]{20,}"
_PIECE = r"[A-Za-z0-9]{16,}"
_LEAST_CHANGES = 0.34
"""In a random text of letters and digits 44 % of the neighbours begin something new; in names, a fifth."""
_LEAST_DIFFERENT = 0.62
_ALPHABET = 32
"""Of twenty random letters and digits 17 are different, of 32 there are 25; words repeat their letters."""

# The fast search looks for what each secret has and few manifests do: sixteen letters and digits in a row,
# forty with the signs of base64, what may hide it in an escape or precede a host, or a known beginning.
_TRACE = (
    r"[A-Za-z0-9]{16}|[A-Za-z0-9+/]{40}|[=@\\]|PRIVATE KEY|(?:whsec|zof|github_pat|dckr_pat|glsa|glc)_"
    rf"|hv[sbr]\.|gl(?:p|rt-|dt-)|xox|xapp-|AIza|SG\.|:AA|eyJ|sk-|pypi-|(?i:{TRACE})"
)
_NAME_PART = "passw|passphrase|pwd|secret|token|key|authorization|credential"
"""A part of each of `_NAMES`, in small letters."""

# What may be shown: the patterns are looser, and bounded, because a file may have 8 MiB of anything.
_SENSITIVE = (
    r"secret|token|passw|passphrase|pwd|(?:api|access|private|signing|client).?key|key.?env"
    r"|credential|authoriz|bearer"
)
_SENSITIVE_KEY = re.compile(_SENSITIVE, re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"(?:{_SENSITIVE})[\w.-]{{0,40}}[\"']?\s{{0,9}}[:=]", re.IGNORECASE)
_ANY_PARAMETER = re.compile(
    rf"[?&;][\w.%-]{{0,40}}?(?:{_SENSITIVE}|key|sig|auth|code)[\w.%-]{{0,40}}=", re.IGNORECASE
)
# The settings of the signing secret that our own format has: times, not secrets.
_HARMLESS = frozenset({("secret", "createdAfter"), ("secret", "overlap")})
_ANY_SHAPE = re.compile(
    r"whsec_|eyJ[\w-]{10}|AKIA[0-9A-Z]{12}|PRIVATE KEY|://[^/@\n]*@|:[^\s:@]*@"
    r"|\b(?:hv[sbr]\.|s\.[A-Za-z0-9]{20}|gh[opsu]_|github_pat_|xox[abp]-|[sr]k_|zof_)"
)
_ANY_RUN = re.compile(_RUN)
_PART = re.compile(r"[A-Za-z0-9+/_=-]{12,}")
"""What may be the rest of a secret in a file that ends in the middle of it."""
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
# A part of a URL that is made of words: small or capital letters, `camelCase`, and short numbers.
_WORD = re.compile(
    r"(?:[A-Z]?[a-z]{2,15}(?:[A-Z][a-z]{2,15}){0,4}|[A-Z]{1,10}|[A-Za-z])?[0-9]{0,4}"
    r"|[a-z]{1,12}[0-9]{1,3}[a-z]{1,12}|[0-9]{1,10}"
)
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")
_SHORT_PART = 16
"""A shorter part of a URL is only hidden for its shape."""


def may_hold_secret(data: bytes) -> bool:
    """Return whether a file needs a closer look: a fast search that spares nearly all files."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return True
    if matcher(_TRACE)(text):
        return True
    return matcher(_NAME_PART)(text.lower()) and re.search(_NAMED, text) is not None


def known_secret(text: str, *, endpoint: bool = False) -> str | None:
    """Return what kind of secret `text` certainly holds, or None.

    Args:
        text: a value, a key or a line.
        endpoint: whether it is the URL of an endpoint, for which another rule forbids user names.
    """
    if found := re.search(_KNOWN, text):
        return _KINDS[(found.lastindex or 1) - 1]
    return "a password in a URL" if not endpoint and re.search(_PASSWORD, text) else None


def likely_secret(text: str, *, endpoint: bool = False) -> str | None:
    """Return what in `text` looks like a secret, or None.

    Args:
        text: a value or a key.
        endpoint: whether it is the URL of an endpoint, where a random path is a token. In other URLs, such
            as those of documents, a path with a random id is normal.
    """
    if holds_capability(text):
        return "an address that allows anybody who knows it to post messages"
    if re.search(_PARAMETER, text):
        return "a secret in a parameter of a URL"
    if re.search(_NAMED, text):
        return "a secret, going by its name"
    if any(map(_has_both_cases, re.findall(_FORTY, text))):
        return "a secret access key"
    rest = text if endpoint else re.sub(_URL, " ", text)
    if any(_is_random(piece) for run in re.findall(_RUN, rest) for piece in re.findall(_PIECE, run)):
        return "a random text, as keys and tokens are"
    return None


def names_secret(key: str) -> bool:
    """Return whether a value under `key` is a secret, or a reference to one: `api_key`, not `secretName`."""
    return re.search(_NAMES_A_SECRET, key) is not None


def _has_both_cases(text: str) -> bool:
    """Return whether a text has many capitals and many small letters, and a digit: paths do not."""
    counts = (sum(map(str.isupper, text)), sum(map(str.islower, text)))
    return min(counts) >= _LEAST_OF_CASE and any(map(str.isdigit, text))


def _is_random(piece: str) -> bool:
    """Return whether letters and digits follow each other as they do by chance, and never in names."""
    kinds = ["0" if char.isdigit() else "A" if char.isupper() else "a" for char in piece]
    different = len(set(piece[:_ALPHABET]))
    if len(set(kinds)) < len("0Aa") or different < _LEAST_DIFFERENT * min(len(piece), _ALPHABET):
        return False
    # A capital and the small letters after it are one word.
    changes = sum(one != other and (one, other) != ("A", "a") for one, other in pairwise(kinds))
    return changes >= _LEAST_CHANGES * (len(kinds) - 1)


def can_hold_secret(key: str, below: str | int | None) -> bool:
    """Return whether the value under `key`, at its own key or index `below`, can be a secret."""
    return _SENSITIVE_KEY.search(key) is not None and (key, below) not in _HARMLESS


def is_sensitive(path: Sequence[str | int]) -> bool:
    """Return whether the value at `path` can hold a secret, judged by the keys on the way."""
    return any(isinstance(key, str) and can_hold_secret(key, below) for key, below in pairwise((*path, None)))


def looks_secret(text: str) -> bool:
    """Return whether `text` contains something like a key, a token, a digest or a password in a URL."""
    if _ANY_SHAPE.search(text) or _HEX.search(text) or _ANY_PARAMETER.search(text):
        return True
    if any(map(_mixes_kinds, _ANY_RUN.findall(text))):
        return True
    return known_secret(text) is not None or likely_secret(text, endpoint=True) is not None


def is_token(part: str) -> bool:
    """Return whether a part of a URL, between two separators, is rather a token than made of words.

    Nobody reviewed the URL, so in doubt it is one: tokens may have no digits, or hyphens and underscores.
    """
    if looks_secret(part):
        return True
    return len(part) >= _SHORT_PART and not all(map(_WORD.fullmatch, _NO_WORD.split(part)))


def value_looks_secret(value: str) -> bool:
    """Return whether a scalar's text looks like a secret, or assigns a value to the name of one."""
    return looks_secret(value) or _ASSIGNMENT.search(value) is not None


def names_any_secret(text: str) -> bool:
    """Return whether a text, such as a comment, has the name of a secret anywhere."""
    return _SENSITIVE_KEY.search(text) is not None


def mentions_secrets(text: str) -> bool:
    """Return whether a text that could not be parsed has the name or a part of a secret anywhere."""
    return names_any_secret(text) or any(map(_mixes_kinds, _PART.findall(text)))


def _mixes_kinds(run: str) -> bool:
    """Return whether a run mixes digits and both cases, as base64 does and words do not."""
    return (
        any("0" <= char <= "9" for char in run)
        and any("a" <= char <= "z" for char in run)
        and any("A" <= char <= "Z" for char in run)
    )
