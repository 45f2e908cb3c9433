"""Where settings come from: flag before environment before file before default, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.config.file import ConfigInvalid
from reconciler.config.resolve import Overrides, load_config
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.config.settings import Config, OrganizationSettings

HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Config\n"
FILE = (
    HEAD
    + """
organizations:
  - name: from-file
    manifests: [from/file]
    api: {url: https://file.example.com/, requestsPerMinute: 7}
    vault: {address: https://file.example.com/, namespace: file, mount: file, prefix: file/prefix}
"""
)
TWO = (
    HEAD
    + """
organizations:
  - {name: one, vault: {mount: a, prefix: same}}
  - {name: two, vault: {mount: b, prefix: same}}
"""
)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Load a configuration from a text (None: there is no file), an environment and flags."""
    monkeypatch.chdir(tmp_path)

    def one(text: str | None, environ: dict[str, str] | None = None, **flags: Any) -> Config:
        if text is not None:
            Path("reconciler.yaml").write_text(text)
        return load_config(None, environ=environ or {}, overrides=Overrides(**flags))

    return one


SETTINGS: dict[str, Callable[[OrganizationSettings], object]] = {
    "organization": lambda each: each.name,
    "manifests": lambda each: each.manifests,
    "paths": lambda each: each.paths,
    "api url": lambda each: each.organization.api_url,
    "address": lambda each: each.vault.address,
    "namespace": lambda each: each.vault.namespace,
    "mount": lambda each: each.vault.mount,
    "prefix": lambda each: each.vault.prefix,
}
DEFAULT: dict[str, object] = {
    "organization": "default",
    "manifests": ("manifests",),
    "paths": (),
    "api url": "https://api.zof.ai/v1",
    "address": None,
    "namespace": "",
    "mount": "secret",
    "prefix": "webhooks/default",
}
IN_FILE: dict[str, object] = {
    "organization": "from-file",
    "manifests": ("from/file",),
    "paths": (),
    "api url": "https://file.example.com",
    "address": "https://file.example.com",
    "namespace": "file",
    "mount": "file",
    "prefix": "file/prefix",
}
ENVIRONMENT = {
    "ZOF_API_URL": " https://env.example.com/v1/ ",
    "VAULT_ADDR": "http://127.0.0.1:8200/",
    "VAULT_NAMESPACE": "env",
}
IN_ENVIRONMENT: dict[str, object] = {
    "api url": "https://env.example.com/v1",
    "address": "http://127.0.0.1:8200",
    "namespace": "env",
}
FLAGS: dict[str, Any] = {
    "paths": ("from/flag", "b"),
    "vault_mount": "flag",
    "vault_prefix": "flag/prefix",
}
IN_FLAGS: dict[str, object] = {"paths": ("from/flag", "b"), "mount": "flag", "prefix": "flag/prefix"}
UNDECLARED = {"organization": "from-env", "prefix": "webhooks/from-env"}


@pytest.mark.parametrize(
    ("text", "environ", "flags", "expected"),
    [
        (None, {}, {}, DEFAULT),
        (None, dict.fromkeys((*ENVIRONMENT, "ZOF_ORGANIZATION"), ""), {}, DEFAULT),
        (None, dict.fromkeys((*ENVIRONMENT, "ZOF_ORGANIZATION"), " \n"), {}, DEFAULT),
        (None, ENVIRONMENT, {}, DEFAULT | IN_ENVIRONMENT),
        (None, {"ZOF_ORGANIZATION": "from-env"}, {}, DEFAULT | UNDECLARED),
        (
            None,
            {"ZOF_ORGANIZATION": "from-env"},
            {"organizations": ("flag",)},
            DEFAULT | {"organization": "flag", "prefix": "webhooks/flag"},
        ),
        (
            None,
            {},
            {"organizations": ("twice", "twice")},
            DEFAULT | {"organization": "twice", "prefix": "webhooks/twice"},
        ),
        (None, {}, FLAGS, DEFAULT | IN_FLAGS),
        (FILE, {}, {}, IN_FILE),
        (FILE, ENVIRONMENT, {}, IN_FILE | IN_ENVIRONMENT),
        (FILE, ENVIRONMENT, FLAGS, IN_FILE | IN_ENVIRONMENT | IN_FLAGS),
        (FILE, {"ZOF_ORGANIZATION": "other"}, {"organizations": ("from-file",)}, IN_FILE),
    ],
)
def test_flags_win_over_environment_over_file_over_defaults(
    load: Callable[..., Config],
    text: str | None,
    environ: dict[str, str],
    flags: dict[str, Any],
    expected: dict[str, object],
) -> None:
    """Each setting comes from the first of flag, environment, file and default that says it."""
    (organization,) = load(text, environ, **flags).organizations
    assert {name: read(organization) for name, read in SETTINGS.items()} == expected


def test_what_neither_flag_nor_environment_can_say_comes_from_the_file(load: Callable[..., Config]) -> None:
    """The quota and the guards of the file stand."""
    (organization,) = load(FILE, ENVIRONMENT, **FLAGS).organizations
    assert organization.api.requests_per_minute == 7
    assert organization.guards.max_deletes == 10


@pytest.mark.parametrize(
    ("environ", "flags", "chosen"),
    [
        ({}, {}, ["one", "two"]),
        ({"ZOF_ORGANIZATION": "two"}, {}, ["two"]),
        ({"ZOF_ORGANIZATION": "two"}, {"organizations": ("one",)}, ["one"]),
        ({}, {"organizations": ("two", "one", "two")}, ["one", "two"]),
        ({}, {"organizations": ("two",), "vault_prefix": "mine", "paths": ("m",)}, ["two"]),
    ],
)
def test_the_organizations_that_were_asked_for_are_chosen(
    load: Callable[..., Config], environ: dict[str, str], flags: dict[str, Any], chosen: list[str]
) -> None:
    """All organizations of the file, or those that were named, each once and in the file's order."""
    assert [each.name for each in load(TWO, environ, **flags).organizations] == chosen


BAD_HOST = "https://vault.example.com/?"
INVALID: list[tuple[str | None, dict[str, str], dict[str, Any], str, str | None]] = [
    (None, {"ZOF_API_URL": "http://api.zof.ai"}, {}, "ZOF_API_URL uses plain http", "https://api.zof.ai/v1"),
    (None, {"VAULT_ADDR": "vault.example.com"}, {}, "VAULT_ADDR must begin with", "https://vault"),
    (FILE, {"VAULT_ADDR": BAD_HOST}, {}, "VAULT_ADDR has a query", "https://vault"),
    (None, {"VAULT_NAMESPACE": "a//b"}, {}, "VAULT_NAMESPACE does not have the required form", "namespace"),
    (None, {"ZOF_ORGANIZATION": "a/b"}, {}, "the organization's name does not have", "1 to 63"),
    (None, {}, {"organizations": ("",)}, "the organization's name does not have", "1 to 63"),
    (None, {}, {"organizations": ("..",)}, "the organization's name does not have", "1 to 63"),
    (None, {}, {"vault_mount": "../sys"}, "--vault-mount does not have", "Segments"),
    (None, {}, {"vault_mount": ""}, "--vault-mount does not have", "Segments"),
    (FILE, {}, {"vault_prefix": "/a"}, "--vault-prefix does not have", "Segments"),
    (FILE, {}, {"vault_prefix": "a\n"}, "--vault-prefix does not have", "Segments"),
    (
        FILE,
        {},
        {"organizations": ("from-fil",)},
        "has no organization 'from-fil'",
        "did you mean `from-file`?",
    ),
    (TWO, {"ZOF_ORGANIZATION": "zzz"}, {}, "has no organization 'zzz'", "it has: one, two"),
    (TWO, {}, {"organizations": ("one", "three\n")}, "has no organization 'three\\n'", None),
    (TWO, {}, {"vault_mount": "c"}, "one and two have the same place in Vault: c/same", "`prefix`"),
    (
        TWO,
        {},
        {"organizations": ("two",), "vault_mount": "a"},
        "one and two have the same place in Vault",
        None,
    ),
]


@pytest.mark.parametrize(("text", "environ", "flags", "words", "hint"), INVALID)
def test_an_invalid_flag_or_variable_is_told_by_its_name(
    load: Callable[..., Config],
    text: str | None,
    environ: dict[str, str],
    flags: dict[str, Any],
    words: str,
    hint: str | None,
) -> None:
    """What is invalid exits 3 with a sentence that names the setting, and a hint."""
    with pytest.raises(InvalidInput) as caught:
        load(text, environ, **flags)
    assert caught.value.exit_code is ExitCode.INVALID
    assert words in caught.value.message
    assert (hint or "") in (caught.value.hint or "")
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (None, {"organizations": ("one", "two")}),
        (TWO, {"paths": ("m",)}),
        (TWO, {"vault_prefix": "p"}),
        (TWO, {"organizations": ("one", "two"), "vault_prefix": "p"}),
    ],
)
def test_what_goes_with_one_organization_is_refused_for_several(
    load: Callable[..., Config], text: str | None, flags: dict[str, Any]
) -> None:
    """Flags that cannot hold for several organizations are a usage error with a hint."""
    with pytest.raises(UsageError) as caught:
        load(text, **flags)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint


@pytest.mark.parametrize(
    ("one", "two", "apart"),
    [
        ("{prefix: p}", "{prefix: p}", False),
        ("{prefix: webhooks/two}", "{}", False),
        (
            "{prefix: p, address: 'https://v.example.com'}",
            "{prefix: p, address: 'https://V.example.com:443/'}",
            False,
        ),
        ("{prefix: p, namespace: n}", "{prefix: p, namespace: n/}", False),
        ("{prefix: p, namespace: n}", "{prefix: p}", True),
        ("{prefix: p, mount: m}", "{prefix: p}", True),
        (
            "{prefix: p, address: 'https://v.example.com'}",
            "{prefix: p, address: 'https://w.example.com'}",
            True,
        ),
        ("{prefix: p, address: 'https://v.example.com'}", "{prefix: p}", True),
        ("{}", "{}", True),
    ],
)
def test_two_organizations_never_share_a_place_in_vault(
    load: Callable[..., Config], one: str, two: str, apart: bool
) -> None:
    """The same address, namespace, mount and prefix, however they are spelt, are refused."""
    text = f"{HEAD}organizations: [{{name: one, vault: {one}}}, {{name: two, vault: {two}}}]\n"
    if apart:
        assert len(load(text).organizations) == 2
        return
    with pytest.raises(InvalidInput, match="the same place in Vault"):
        load(text)


def test_one_address_for_all_brings_two_organizations_together(load: Callable[..., Config]) -> None:
    """VAULT_ADDR holds for every organization that names no address, so places that were apart may meet."""
    text = f"{HEAD}organizations: [{{name: a, vault: {{prefix: p, address: 'https://a.example.com'}}}}, "
    text += "{name: b, vault: {prefix: p}}]\n"
    assert len(load(text).organizations) == 2
    with pytest.raises(InvalidInput, match="the same place in Vault"):
        load(text, {"VAULT_ADDR": "https://a.example.com"})


def test_paths_of_the_file_start_at_its_folder(tmp_path: Path) -> None:
    """Manifests, also the default ones, and the policy lie beside the file, wherever the run begins."""
    file = tmp_path / "conf" / "r.yaml"
    file.parent.mkdir()
    folder = file.parent
    file.write_text(
        f"{HEAD}organizations: [{{name: a}}, {{name: b, manifests: [m/../n, {folder}/x]}}]\npolicy: p.json\n"
    )
    config = load_config(file, environ={})
    assert config.policy == folder / "p.json"
    assert [each.manifests for each in config.organizations] == [
        (f"{folder}/manifests",),
        (f"{folder}/m/../n", f"{folder}/x"),
    ]


@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_cannot_be_read_is_never_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """A file that was named and is missing, or a default one that leads nowhere, exits 3 at its path."""
    monkeypatch.chdir(tmp_path)
    if not named:
        Path("reconciler.yaml").symlink_to("missing.yaml")
    with pytest.raises(ConfigInvalid) as caught:
        load_config("missing.yaml" if named else None, environ={})
    (problem,) = caught.value.diagnostics
    path = "missing.yaml" if named else "reconciler.yaml"
    assert str(problem).startswith(f"{path}:1:1: error[WH001]: this path cannot be read")


@pytest.mark.parametrize("what", ["folder", "pipe", "huge", "latin-1", "nul", "deep"])
def test_a_hostile_file_is_a_problem_at_a_place(tmp_path: Path, what: str) -> None:
    """Whatever lies at the path, it is refused with a place, and nothing else is raised."""
    path = tmp_path / "r.yaml"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(
            {"huge": b" " * 9_000_000, "latin-1": b"a: \xe9", "nul": b"a: \0", "deep": b"[" * 500_000}[what]
        )
    with pytest.raises(ReconcilerError) as caught:
        load_config(path, environ={})
    assert isinstance(caught.value, ConfigInvalid)
    assert all(each.location and each.location.path == str(path) for each in caught.value.diagnostics)
