"""Where deliveries can go: every odd spelling of a URL, and the rules that it breaks."""

from __future__ import annotations

import pytest

from reconciler.manifest.lint.endpoint_url import check_endpoint_url

MALFORMED, NOT_HTTPS, CREDENTIALS, FRAGMENT, NOT_PUBLIC = "WH023", "WH024", "WH025", "WH026", "WH027"

GOOD = (
    "https://hooks.example.com",
    "https://hooks.example.com/zof/in",
    "HTTPS://Hooks.Example.COM:443/",
    "https://hooks.example.com./",
    "https://hooks.example.com:/",
    "https://hooks.example.com:8443/a%20b?x=%C3%A9&y[]=@:1",
    "https://xn--mnchen-3ya.example.com/",
    "https://münchen.example.com/",
    "https://MÜNCHEN。example。com/",
    "https://8.8.8.8/",
    "HTTPS://straße.example.com:0443/x?f[a]=1",
    "https://" + ".".join(["a" * 63] * 3) + ".example/",
)
BAD = {
    # Scheme.
    "http://hooks.example.com/": [NOT_HTTPS],
    "ftp://hooks.example.com/": [NOT_HTTPS],
    "//hooks.example.com/": [NOT_HTTPS],
    "hooks.example.com": [NOT_HTTPS],
    "": [NOT_HTTPS],
    "javascript:alert(1)": [NOT_HTTPS],
    "https:hooks.example.com": [MALFORMED],
    "https://": [MALFORMED],
    "https:///zof": [MALFORMED],
    "https://?x": [MALFORMED],
    # User names and passwords.
    "https://user:hunter2@hooks.example.com/": [CREDENTIALS],
    "https://@hooks.example.com/": [CREDENTIALS],
    "https://hooks.example.com@127.0.0.1/": [CREDENTIALS, NOT_PUBLIC],
    "https://a@b@hooks.example.com/": [CREDENTIALS],
    # Fragments, even empty ones.
    "https://hooks.example.com/#top": [FRAGMENT],
    "https://hooks.example.com/#": [FRAGMENT],
    "https://hooks.example.com#@evil.example.com/": [FRAGMENT],
    # Characters.
    "https://hooks.example.com\\@evil.example.com/": [MALFORMED],
    "https://hooks.example.com/a b": [MALFORMED],
    " https://hooks.example.com/": [MALFORMED],
    "https://hooks.example.com/\n": [MALFORMED],
    "https://hooks.exam\tple.com/": [MALFORMED],
    "https://hooks.example.com/\0": [MALFORMED],
    "https://hooks.example.com/\x1b[31m": [MALFORMED],
    "https://hooks.example.com/\x7f": [MALFORMED],
    "https://hooks.example.com/\x85": [MALFORMED],
    "https://hooks.example.com/\u2028": [MALFORMED],
    'https://hooks.example.com/"': [MALFORMED],
    "https://hooks.example.com/{id}": [MALFORMED],
    "https://hooks.example.com/é": [MALFORMED],
    "https://hooks.example.com/?é": [MALFORMED],
    "https://hooks.example.com/%": [MALFORMED],
    "https://hooks.example.com/%zz": [MALFORMED],
    # Ports.
    "https://hooks.example.com:0/": [MALFORMED],
    "https://hooks.example.com:65536/": [MALFORMED],
    "https://hooks.example.com:x/": [MALFORMED],
    "https://hooks.example.com:-1/": [MALFORMED],
    "https://hooks.example.com:٤٤٣/": [MALFORMED],
    # Names.
    "https://-a.example.com/": [MALFORMED],
    "https://a_b.example.com/": [MALFORMED],
    "https://xn--a.example.com/": [MALFORMED],
    "https://xn--.example.com/": [MALFORMED],
    "https://hooks.xn--ls8h.example.com:8443/": [MALFORMED],
    "https://a..example.com/": [MALFORMED],
    "https://.example.com/": [MALFORMED],
    "https://hooks.example.com../": [MALFORMED],
    "https://hooks.example.com。/": [MALFORMED],
    "https://hooks.example.com%2eevil.example.com/": [MALFORMED],
    "https://ex\u202eample.com/": [MALFORMED],
    "https://\u2102\u2100.example.com/": [MALFORMED],
    f"https://{'a' * 64}.example.com/": [MALFORMED],
    f"https://{'a.' * 126}example/": [MALFORMED],
    "https://intranet/": [NOT_PUBLIC],
    "https://com/": [NOT_PUBLIC],
    "https://localhost./": [NOT_PUBLIC],
    "https://LOCAL\u00adHOST/": [NOT_PUBLIC],
    "https://a.localhost/": [NOT_PUBLIC],
    "https://printer.local/": [NOT_PUBLIC],
    "https://metadata.google.internal/": [NOT_PUBLIC],
    "https://router.home.arpa/": [NOT_PUBLIC],
    "https://home.arpa/": [NOT_PUBLIC],
    "https://hooks.test/": [NOT_PUBLIC],
    # IPv4 in every spelling.
    "https://127.0.0.1/": [NOT_PUBLIC],
    "https://127.0.0.1./": [NOT_PUBLIC],
    "https://10.0.0.1/": [NOT_PUBLIC],
    "https://172.16.0.1/": [NOT_PUBLIC],
    "https://192.168.0.1/": [NOT_PUBLIC],
    "https://169.254.169.254/": [NOT_PUBLIC],
    "https://100.64.0.1/": [NOT_PUBLIC],
    "https://0.0.0.0/": [NOT_PUBLIC],
    "https://224.0.0.1/": [NOT_PUBLIC],
    "https://255.255.255.255/": [NOT_PUBLIC],
    "https://127.1/": [MALFORMED],
    "https://2130706433/": [MALFORMED],
    "https://0177.0.0.1/": [MALFORMED],
    "https://0x7f.0.0.1/": [MALFORMED],
    "https://0x7f000001/": [MALFORMED],
    "https://127.0.0.0x1/": [MALFORMED],
    "https://256.1.1.1/": [MALFORMED],
    "https://1.2.3.4.5/": [MALFORMED],
    "https://hooks.123/": [MALFORMED],
    "https://127.0.0.%31/": [MALFORMED],
    "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": [NOT_PUBLIC],
    "https://①②⑦.0.0.1/": [NOT_PUBLIC],
    "https://127。0。0。1/": [NOT_PUBLIC],
    # IPv6, and IPv4 inside it.
    # Public, but the API refuses it.
    "https://[2606:4700:4700::1111]:8443/": [MALFORMED],
    "https://[::ffff:8.8.8.8]/": [MALFORMED],
    "https://hooks.example.com/?" + "[" * 700: [MALFORMED],
    "https://[::1]/": [NOT_PUBLIC],
    "https://[::]/": [NOT_PUBLIC],
    "https://[fe80::1]/": [NOT_PUBLIC],
    "https://[fc00::1]/": [NOT_PUBLIC],
    "https://[fec0::1]/": [NOT_PUBLIC],
    "https://[ff0e::1]/": [NOT_PUBLIC],
    "https://[2001:db8::1]/": [NOT_PUBLIC],
    "https://[3fff::1]/": [NOT_PUBLIC],
    "https://[2001::1]/": [NOT_PUBLIC],
    "https://[::ffff:127.0.0.1]/": [NOT_PUBLIC],
    "https://[::FFFF:7F00:1]/": [NOT_PUBLIC],
    "https://[::127.0.0.1]/": [NOT_PUBLIC],
    "https://[64:ff9b::7f00:1]/": [NOT_PUBLIC],
    "https://[64:ff9b:1::a00:1]/": [NOT_PUBLIC],
    "https://[2002:7f00:1::]/": [NOT_PUBLIC],
    "https://[2002:808:808::1]/": [NOT_PUBLIC],
    "https://[2001:1::1]/": [NOT_PUBLIC],
    "https://192.0.0.9/": [NOT_PUBLIC],
    "https://[fe80::1%25eth0]/": [MALFORMED],
    "https://[2606:4700::1111%25eth0]/": [MALFORMED],
    "https://[v1.example.com]/": [MALFORMED],
    "https://[v1.a:b]/": [MALFORMED],
    "https://[hooks.example.com]/": [MALFORMED],
    "https://[::1/": [MALFORMED],
    "https://[1::2::3]/": [MALFORMED],
    "https://[2606:4700:4700::1111]x/": [MALFORMED],
    "https://x[2606:4700:4700::1111]/": [MALFORMED],
    "https://[2606:4700:4700::1111]]/": [MALFORMED],
    # All at once.
    "http://user@localhost:0/é%#x": [
        NOT_HTTPS,
        CREDENTIALS,
        FRAGMENT,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        NOT_PUBLIC,
    ],
}


@pytest.mark.parametrize("url", GOOD)
def test_a_public_https_url_is_fine(url: str) -> None:
    """Nothing is wrong with a URL that deliveries can reach, however it is spelt."""
    assert check_endpoint_url(url) == []


@pytest.mark.parametrize("url", BAD, ids=ascii)
def test_every_odd_url_breaks_its_rules(url: str) -> None:
    """A URL that deliveries cannot reach breaks exactly the rules of its kind."""
    assert [problem.rule.code for problem in check_endpoint_url(url)] == BAD[url]


def test_a_url_that_is_too_long_is_left_to_the_schema() -> None:
    """A huge URL costs no time here: the schema refuses it for its length."""
    assert check_endpoint_url("http://é" * 1_000_000) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://intranet/", "the URL's host `intranet` is a name in a local network"),
        ("https://ex\u202eample.com/", r"the URL's host `ex\u202eample.com` is not a valid host name"),
        ("https://hooks.example.com/\x1b", "the URL contains the character U+001B"),
        ("https://hooks.example.com/{", "the URL contains the character `{`"),
        ("https://", "the URL has no host"),
        (
            "https://hooks.example.com/" + "[" * 700,
            "the URL has more than 2048 characters in the form in which it is sent",
        ),
        (
            "https://[2606:4700:4700::1111]/",
            "the URL's host is an IPv6 address, which the API does not accept",
        ),
        ("https://MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw/", "the URL's host is a name in a local network"),
        ("https://whsec_hunter2/", "the URL's host is not a valid host name"),
    ],
)
def test_a_sentence_quotes_the_host_unless_it_may_be_a_secret(url: str, words: str) -> None:
    """A host is quoted with visible escapes; one that is made like a secret is not."""
    assert [problem.message for problem in check_endpoint_url(url)] == [words]
