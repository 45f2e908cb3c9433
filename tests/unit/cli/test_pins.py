"""What pipelines install: a commit or a hash decides, and never a name in an index."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from reconciler import __version__
from reconciler.cli.pins import (
    Clone,
    Source,
    locked_extra,
    locked_requirements,
    named_source,
    recorded_source,
)
from reconciler.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HASH = "ab" * 32
URL = "https://git.example.com/acme/webhook-reconciler"
WHEEL = f"webhook_reconciler-{__version__}-py3-none-any.whl"
PUSHED = Clone(origin=URL, commit=COMMIT, is_clean=True, is_pushed=True)


def recorded(record: object, clone: Clone = PUSHED) -> Source:
    """Return the source by a record of an installation."""
    return recorded_source(None if record is None else json.dumps(record), lambda _: clone)


# --- the record of the installation -------------------------------------------------------------------------


def test_a_commit_is_pinned() -> None:
    """What pip records for `git+https://…@main` is the commit that it installed."""
    vcs = {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}
    source = recorded({"url": URL, "vcs_info": vcs})
    assert source.requirement == f"webhook-reconciler @ git+{URL}@{COMMIT}"
    assert source.is_built
    below = recorded({"url": URL, "vcs_info": vcs, "subdirectory": "tools/webhooks"})
    assert below.requirement.endswith(f"@{COMMIT}#subdirectory=tools/webhooks")


@pytest.mark.parametrize("info", [{"hashes": {"sha256": HASH}}, {"hash": f"sha256={HASH}"}])
def test_an_archive_at_a_url_is_pinned_by_its_hash(info: dict[str, object]) -> None:
    """Both forms of the record are read; a wheel is not built, a source archive is."""
    source = recorded({"url": f"https://example.com/{WHEEL}", "archive_info": info})
    assert source.requirement == f"webhook-reconciler @ https://example.com/{WHEEL} --hash=sha256:{HASH}"
    assert not source.is_built
    built = recorded({
        "url": f"https://example.com/webhook_reconciler-{__version__}.tar.gz", "archive_info": info,
    })  # fmt: skip
    assert built.is_built


def test_a_local_archive_is_copied_and_pinned_by_its_hash(tmp_path: Path) -> None:
    """Its path means nothing on another machine, so the file goes into the repository."""
    file = tmp_path / "a folder" / WHEEL
    file.parent.mkdir()
    file.write_bytes(b"wheel")
    digest = hashlib.sha256(b"wheel").hexdigest()
    source = recorded({"url": file.as_uri(), "archive_info": {"hashes": {"sha256": digest}}})
    assert (source.archive, source.requirement) == (file, f"./.reconciler/{WHEEL} --hash=sha256:{digest}")
    assert recorded({"url": file.as_uri(), "archive_info": {}}) == source == named_source(str(file))
    file.write_bytes(b"another")
    with pytest.raises(UsageError, match="its hash differs"):
        recorded({"url": file.as_uri(), "archive_info": {"hashes": {"sha256": digest}}})
    file.unlink()
    with pytest.raises(UsageError, match="cannot read"):
        recorded({"url": file.as_uri(), "archive_info": {}})


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (URL, f"git+{URL}@{COMMIT}"),
        ("git@example.com:acme/x.git", f"git+ssh://git@example.com/acme/x.git@{COMMIT}"),
    ],
)
def test_a_clone_is_pinned_by_its_commit(origin: str, requirement: str) -> None:
    """If the commit is on the remote, and is all that the clone has."""
    clone = Clone(origin=origin, commit=COMMIT, is_clean=True, is_pushed=True)
    source = recorded({"url": "file:///src/x", "dir_info": {"editable": True}}, clone)
    assert source.requirement == f"webhook-reconciler @ {requirement}"


@pytest.mark.parametrize(
    ("clone", "words"),
    [
        (Clone(), "is not a clone"),
        (Clone(commit=COMMIT, is_clean=True, is_pushed=True), "has no remote"),
        (Clone(origin=URL, commit=COMMIT, is_pushed=True), "changes that are not committed"),
        (Clone(origin=URL, commit=COMMIT, is_clean=True), "is not on its remote"),
        (Clone(origin="/srv/x.git", commit=COMMIT, is_clean=True, is_pushed=True), "not a commit or a file"),
    ],
)
def test_a_clone_that_no_other_machine_can_install_is_not_pinned(clone: Clone, words: str) -> None:
    """The message says what is missing, and the hint names the option."""
    with pytest.raises(UsageError, match=words) as caught:
        recorded({"url": "file:///src/x", "dir_info": {}}, clone)
    assert "--from" in str(caught.value.hint)


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        [],
        {"url": URL},
        {"url": URL, "vcs_info": {"vcs": "hg", "commit_id": COMMIT}},
        {"url": URL, "vcs_info": {"vcs": "git", "commit_id": "main"}},
        {"url": "file:///src/x", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        {"url": f"http://example.com/{WHEEL}", "archive_info": {"hashes": {"sha256": HASH}}},
        {"url": f"https://example.com/{WHEEL}", "archive_info": {}},
        {"url": f"https://example.com/{WHEEL}", "archive_info": {"hashes": {"sha256": 5}}},
        {
            "url": "https://example.com/other-1.0-py3-none-any.whl",
            "archive_info": {"hashes": {"sha256": HASH}},
        },
    ],
)
def test_what_is_not_certain_is_not_pinned(record: object) -> None:
    """Above all an installation from an index, which leaves no record."""
    with pytest.raises(UsageError, match="cannot pin what the pipelines install: "):
        recorded(record)
    with pytest.raises(UsageError, match="not readable"):
        recorded_source("{", lambda _: PUSHED)


def test_a_password_is_neither_pinned_nor_shown() -> None:
    """The repository and the output are read by many."""
    url = "https://ada:hunter2-hunter2@git.example.com/acme/x"
    with pytest.raises(UsageError) as caught:
        recorded({"url": url, "vcs_info": {"vcs": "git", "commit_id": COMMIT}})
    with pytest.raises(UsageError) as named:
        named_source(f"git+{url}@{COMMIT}")
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {named.value} {named.value.hint}"


# --- the option ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        (f"git+{URL}@{COMMIT}", f"webhook-reconciler @ git+{URL}@{COMMIT}"),
        (f"git+ssh://git@h/x@{COMMIT}", f"webhook-reconciler @ git+ssh://git@h/x@{COMMIT}"),
        (f"https://h/{WHEEL}#sha256={HASH}", f"webhook-reconciler @ https://h/{WHEEL} --hash=sha256:{HASH}"),
        *[(f"webhook-reconciler=={__version__}{' --hash=sha256:' + HASH}",) * 2],
    ],
)
def test_a_pinned_source_is_taken(text: str, requirement: str) -> None:
    """A commit, a file with its hash, or a version with the hash of its file."""
    assert named_source(text).requirement == requirement


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("webhook-reconciler", "nothing verifies who published it"),
        (f"webhook-reconciler=={__version__}", "nothing verifies who published it"),
        (f"webhook-reconciler==99.0 --hash=sha256:{HASH}", "not of 99.0"),
        (f"git+{URL}@main", "not a full commit"),
        (f"git+http://h/x@{COMMIT}", "not a full commit"),
        (f"git+{URL}@{COMMIT} --index-url https://evil", "not a full commit"),
        (f"git+{URL}@{COMMIT}\nevil", "not a full commit"),
        (f"https://h/{WHEEL}", "not a pinned source"),
        (f"https://h/webhook_reconciler-99.0-py3-none-any.whl#sha256={HASH}", "not of 99.0"),
        ("ghcr.io/acme/image@sha256:" + HASH, "not a pinned source"),
        ("other.whl", "not the name of a wheel"),
        ("", "not a pinned source"),
    ],
)
def test_what_is_not_pinned_is_refused(text: str, words: str) -> None:
    """With the reason, and a hint that names a form that is."""
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        named_source(text)
    assert caught.value.hint


# --- the lock files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [None, "notify"])
@pytest.mark.parametrize("is_built", [False, True])
def test_every_dependency_has_a_version_and_hashes(extra: str | None, *, is_built: bool) -> None:
    """No index is named, and nothing that could be built; the extra can be read again."""
    text = locked_requirements(Source("", "", is_built=is_built), extra)
    assert locked_extra(text) == extra
    assert "://" not in text
    entries = re.sub(r" \\\n +", " ", text).splitlines()[2:]
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^-]+)?( --hash=sha256:[0-9a-f]{64})+", entry), entry
    names = {entry.partition("==")[0] for entry in entries}
    assert len(names) == len(entries), "pip refuses a name that is given twice"
    assert ("hatchling" in names, "apprise" in names) == (is_built, extra is not None)
    assert {"hvac", "httpx", "click"} <= names


@pytest.mark.parametrize(
    "name",
    ["requirements.txt", "requirements-notify.txt", "requirements-receiver.txt", "requirements-build.txt"],
)
def test_the_locked_versions_are_those_that_the_tests_run_with(name: str) -> None:
    """A lock file that `script/lock` did not renew would install what nobody has tested."""
    tested = set(re.findall(r"^\S+==\S+", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(), re.MULTILINE)) <= tested
