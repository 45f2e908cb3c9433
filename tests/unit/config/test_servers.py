"""A file, which a pull request may change, never decides which server gets which credential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.config.resolve import Overrides, load_config
from reconciler.config.servers import require_trusted
from reconciler.config.settings import ApiSettings, NotificationSettings
from reconciler.errors import ExitCode, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[..., None]

HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
API, VAULT = "https://api.example.com/v1", "https://vault.example.com:8200"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check organizations, each given by its settings, in an environment; optionally only some of them."""
    monkeypatch.chdir(tmp_path)

    def one(organizations: list[str], chosen: tuple[str, ...] = (), **environ: str) -> None:
        lines = "".join(
            f"  - {{name: org-{number}, {settings}}}\n" for number, settings in enumerate(organizations)
        )
        Path("reconciler.yaml").write_text(HEAD + lines, encoding="utf-8")
        config = load_config(None, environ=environ, overrides=Overrides(organizations=chosen))
        require_trusted(config, environ)

    return one


def _api(url: str, more: str = "") -> str:
    return f"vault: {{prefix: p{len(url)}}}, api: {{url: '{url}'{more}}}"


def _vault(url: str) -> str:
    return f"vault: {{prefix: p, address: '{url}'}}"


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (_api("https://api.zof.ai/v1"), {}),
        (_api("https://API.zof.ai:443/v1/"), {}),
        (_api("http://127.0.0.1:8080/v1"), {}),
        (_api("https://localhost/v1"), {}),
        (_vault("http://[::1]:8200"), {}),
        (_api(API), {"RECONCILER_SERVERS": "https://api.example.com"}),
        (_api(API), {"RECONCILER_SERVERS": " https://x.example.com/ , https://API.example.com:443/,"}),
        (_vault(VAULT), {"RECONCILER_SERVERS": "https://api.example.com,https://vault.example.com:8200"}),
        (_api(API), {"ZOF_API_URL": API}),
        (_api(API), {"ZOF_API_URL": "https://proxy.example.com/v1"}),
        (_vault(VAULT), {"VAULT_ADDR": VAULT}),
        (_api(API, ", keyEnv: ZOF_API_KEY_2"), {"ZOF_API_URL": API}),
    ],
)
def test_a_server_that_the_operator_names_is_used(
    check: Check, settings: str, environ: dict[str, str]
) -> None:
    """The default, loopback, what a variable names, and what RECONCILER_SERVERS lists; ports count."""
    check([settings], **environ)


@pytest.mark.parametrize(
    ("settings", "environ", "origin"),
    [
        (_api("https://attacker.example/v1"), {}, "https://attacker.example "),
        (_api("https://api.zof.ai/v2"), {}, "https://api.zof.ai "),
        (_api("https://api.zof.ai.example/v1"), {}, "https://api.zof.ai.example "),
        (_api("https://api.zof.ai:444/v1"), {}, "https://api.zof.ai:444 "),
        (_api("https://localhost.example/v1"), {}, "https://localhost.example "),
        (_api(API), {"VAULT_ADDR": API}, "https://api.example.com "),
        (_api(API), {"ZOF_API_URL": " "}, "https://api.example.com "),
        (_api(API), {"RECONCILER_SERVERS": ""}, "https://api.example.com "),
        (_api(API), {"RECONCILER_SERVERS": "https://api.example.com:444"}, "https://api.example.com "),
        (_api(API), {"RECONCILER_SERVERS": "https://example.com,https://x.api.example.com"}, None),
        (_vault(VAULT), {}, "https://vault.example.com:8200 "),
        (_vault(VAULT), {"ZOF_API_URL": VAULT}, "https://vault.example.com:8200 "),
        (_vault(VAULT), {"RECONCILER_SERVERS": "https://vault.example.com"}, None),
    ],
)
def test_a_server_that_only_the_file_names_is_refused(
    check: Check, settings: str, environ: dict[str, str], origin: str | None
) -> None:
    """Exit 3 with the server's origin, the key in the file, and the variable that would allow it."""
    with pytest.raises(InvalidInput) as caught:
        check([settings], **environ)
    assert caught.value.exit_code is ExitCode.INVALID
    assert f"only the configuration names {origin or ''}" in caught.value.message
    assert "nothing was sent" in caught.value.message
    assert "RECONCILER_SERVERS" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        ("https://a.example.com/v1", "entry 1 of RECONCILER_SERVERS has a path"),
        ("https://a.example.com,b.example.com", "entry 2 of RECONCILER_SERVERS must begin with"),
        ("https://a.example.com, http://b.example.com", "entry 2 of RECONCILER_SERVERS uses plain http"),
        ("https://ada:hunter2@a.example.com", "entry 1 of RECONCILER_SERVERS contains a user name"),
        ("*", "entry 1 of RECONCILER_SERVERS must begin with"),
        ("https://*.example.com", "entry 1 of RECONCILER_SERVERS names no host"),
        ("https://a.example.com?x", "entry 1 of RECONCILER_SERVERS has a query"),
    ],
)
def test_a_list_that_is_not_one_of_origins_is_refused(check: Check, listed: str, problem: str) -> None:
    """A list that somebody may misunderstand is an error; it is not quoted."""
    with pytest.raises(InvalidInput) as caught:
        check(["manifests: [m]"], RECONCILER_SERVERS=listed)
    assert caught.value.message.startswith(problem)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


OTHER = "https://other.example.com/v1"
LISTED = {"RECONCILER_SERVERS": "https://api.example.com,https://other.example.com"}


@pytest.mark.parametrize(
    ("organizations", "chosen", "environ"),
    [
        ([_api(API), _api(OTHER)], (), {}),
        ([_api(API), _api(OTHER)], ("org-0",), {"ZOF_API_URL": API}),
        ([_api(API), "manifests: [m]"], (), {"ZOF_API_URL": "https://API.example.com/v1/"}),
        (["manifests: [m]", "manifests: [m]"], (), {"ZOF_API_URL": OTHER, "VAULT_ADDR": VAULT}),
    ],
)
def test_a_variable_may_agree_with_several_organizations(
    check: Check, organizations: list[str], chosen: tuple[str, ...], environ: dict[str, str]
) -> None:
    """It is for those that name no server, and may repeat what others name."""
    check(organizations, chosen, **environ, **LISTED)


@pytest.mark.parametrize(
    ("organizations", "chosen", "environ", "words"),
    [
        ([_api(API), _api(OTHER)], (), {"ZOF_API_URL": API}, "ZOF_API_URL contradicts `api.url` of org-1"),
        ([_api(API), _api(OTHER)], ("org-1",), {"ZOF_API_URL": API}, "`api.url` of org-1"),
        ([_api(API), "manifests: [m]"], (), {"ZOF_API_URL": OTHER}, "`api.url` of org-0"),
        ([_api("https://api.zof.ai/v1"), _api(OTHER)], (), {"ZOF_API_URL": OTHER}, "`api.url` of org-0"),
        (
            [_vault(VAULT), "manifests: [m]"],
            (),
            {"VAULT_ADDR": OTHER},
            "VAULT_ADDR contradicts `vault.address`",
        ),
    ],
)
def test_a_variable_that_contradicts_one_of_several_is_refused(
    check: Check, organizations: list[str], chosen: tuple[str, ...], environ: dict[str, str], words: str
) -> None:
    """One variable must not send the keys of all organizations to one server."""
    with pytest.raises(InvalidInput) as caught:
        check(organizations, chosen, **environ, **LISTED)
    assert caught.value.exit_code is ExitCode.INVALID
    assert words in caught.value.message


def test_settings_made_otherwise_choose_no_other_variable() -> None:
    """The code checks what the schema requires of `keyEnv` and `urlsEnv`, too."""
    config = load_config(None, environ={})
    (settings,) = config.organizations
    stolen = replace(settings, api=ApiSettings(key_env="GITHUB_TOKEN"))
    for bad in (
        replace(config, organizations=(stolen,)),
        replace(config, notifications=NotificationSettings(urls_env="VAULT_TOKEN")),
    ):
        with pytest.raises(InvalidInput, match="must match"):
            require_trusted(bad, {})
