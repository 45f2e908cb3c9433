"""What the pipelines of a repository install: our own code from a pinned source, and its locked dependencies.

An index is never trusted with a name: a commit or the hash of a file decides what is installed. Whoever
registers the name, or takes an index over, cannot run code in jobs that hold keys.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from reconciler import __version__
from reconciler.child_processes import child_environment
from reconciler.credentials.redaction import mask_url
from reconciler.errors import UsageError
from reconciler.report.format.escape import visible
from reconciler.schemas import find_packaged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "webhook-reconciler"
FOLDER = ".reconciler"
"""Where the pins are, beside reconciler.yaml."""
LOCK = f"{FOLDER}/requirements.txt"
PIN = f"{FOLDER}/reconciler.txt"
EXTRAS = ("notify",)

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel holds them inside the package, a checkout (and an editable install) beside it.
_LOCKS = (_PACKAGE / "_requirements", _PACKAGE.parent)
_COMMIT = r"(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})"
# No user except git's, no password, no query: nothing in it can be a credential or a second option of pip.
_LOCATION = r"(?P<url>(?:https|ssh)://(?:git@)?[\w.-]+(?::\d+)?/[\w.~/%+-]+?)"
_GIT = re.compile(rf"git\+{_LOCATION}@{_COMMIT}(?P<subdirectory>#subdirectory=[\w./-]+)?", re.ASCII)
_ARCHIVE = re.compile(
    r"(?P<url>https://[\w.-]+(?::\d+)?/[\w.~/%+-]+)#sha256=(?P<sha256>[0-9a-f]{64})", re.ASCII
)
_INDEX = re.compile(
    r"webhook-reconciler==(?P<version>[\w.!+]+)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)", re.ASCII
)
_SCP = re.compile(r"git@([\w.-]+):([\w.~/%+-]+)", re.ASCII)
_FILE = re.compile(
    r"webhook_reconciler-(?P<version>[\w.!+]+?)(?:\.tar\.gz|-[\w.]+-[\w.]+-[\w.]+\.whl)", re.ASCII
)
_FORMS = (
    f"--from takes git+https://HOST/OWNER/{NAME}@COMMIT, https://HOST/FILE.whl#sha256=HASH, a wheel's path, "
    f"or '{NAME}=={__version__} --hash=sha256:HASH'"
)
_LOCKED_EXTRA = re.compile(r"\A# .* with the extra (\w+)\b")


class Source(Struct, frozen=True):
    """Where our own code comes from, pinned by a commit or a hash."""

    requirement: str
    """A line of a requirements file."""
    shown: str
    """For people, such as `commit 0123… of https://…`."""
    is_built: bool = False
    """Whether pip has to build it, which needs the locked build tools."""
    archive: Path | None = None
    """A local file, to be copied into `FOLDER`."""


class Clone(Struct, frozen=True):
    """The state of a clone that the command was installed from."""

    origin: str = ""
    """The URL of the remote `origin`; empty without one."""
    commit: str = ""
    is_clean: bool = False
    is_pushed: bool = False
    """Whether a branch of a remote contains the commit."""


def named_source(text: str) -> Source:
    """Return the source that `--from` names.

    Raises:
        UsageError: it does not decide which code is installed, or is not of this version.
    """
    if (source := _pinned(text)) is not None:
        return source
    if text.endswith((".whl", ".tar.gz")) and "://" not in text:
        return _local_archive(Path(text), None)
    if text.startswith("git+"):
        raise UsageError(
            f"--from {visible(mask_url(text))} is not a full commit at an https or ssh URL without a "
            "password; a branch or a tag can be moved",
            hint=f"--from git+https://HOST/OWNER/{NAME}@COMMIT, where COMMIT has 40 digits",
        )
    if text.startswith(NAME):
        raise UsageError(
            f"--from {visible(text)} names a package in an index, and nothing verifies who published it",
            hint=f"add the hash of its file: --from '{NAME}=={__version__} --hash=sha256:HASH'",
        )
    raise UsageError(f"--from {visible(mask_url(text))} is not a pinned source", hint=_FORMS)


def recorded_source(direct_url: str | None, clone_at: Callable[[Path], Clone]) -> Source:
    """Return the source that this command was installed from, by the record that pip and uv write (PEP 610).

    Args:
        direct_url: the text of `direct_url.json`; None after an installation by name from an index.
        clone_at: describes the clone in a folder.

    Raises:
        UsageError: the record does not decide which code is installed.
    """
    if direct_url is None:
        raise _unpinned(
            "this command was installed by its name from a package index, and nothing verifies that name"
        )
    try:
        match json.loads(direct_url):
            case {"url": str(url), "vcs_info": {"vcs": "git", "commit_id": str(commit)}, **more}:
                subdirectory = f"#subdirectory={more['subdirectory']}" if more.get("subdirectory") else ""
                return _repeatable(f"git+{url}@{commit}{subdirectory}", url)
            case {"url": str(url), "archive_info": dict(info)} if url.startswith("file:"):
                return _local_archive(Path(unquote(urlsplit(url).path)), _sha256(info))
            case {"url": str(url), "archive_info": dict(info)}:
                return _repeatable(f"{url}#sha256={_sha256(info)}", url)
            case {"url": str(url), "dir_info": dict()}:
                return _pushed_commit(Path(unquote(urlsplit(url).path)), clone_at)
    except ValueError:
        pass
    except UsageError as error:
        raise _unpinned(error.message) from None
    raise _unpinned("the record of this command's installation (direct_url.json) is not readable")


def read_clone(folder: Path, environ: Mapping[str, str]) -> Clone:
    """Return the state of the clone in `folder`; an empty one if it is not the root of a clone."""

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *args], env=child_environment(environ), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if git("rev-parse", "--is-inside-work-tree") != "true" or git("rev-parse", "--show-prefix"):
            return Clone()
        commit = git("rev-parse", "HEAD")
        return Clone(
            origin=git("remote", "get-url", "origin"),
            commit=commit,
            is_clean=not git("status", "--porcelain", "--untracked-files=no"),
            is_pushed=bool(commit and git("branch", "--remotes", "--contains", commit)),
        )
    except OSError:  # git is not installed
        return Clone()


def locked_requirements(source: Source, extra: str | None) -> str:
    """Return the requirements file of the dependencies: exact versions, with the hashes of their files."""
    parts = [f"requirements-{extra}.txt" if extra else "requirements.txt"]
    if source.is_built:
        parts.append("requirements-build.txt")
    note = f" with the extra {extra}" if extra else ""
    head = (
        f"# The dependencies of {NAME} {__version__}{note}, with the hashes of their files.\n"
        "# `reconciler init --upgrade` renews this file.\n"
    )
    return head + "".join(_lock(part) for part in parts)


def locked_extra(text: str) -> str | None:
    """Return the extra for which `locked_requirements` wrote this text."""
    found = _LOCKED_EXTRA.match(text)
    return found[1] if found and found[1] in EXTRAS else None


def pinned_source(source: Source) -> str:
    """Return the requirements file of our own code."""
    return (
        f"# {NAME} from a pinned source: docs/howto/pin-the-installation.md of {NAME}.\n"
        f"# `reconciler init --upgrade` renews this file.\n{source.requirement}\n"
    )


def _pinned(text: str) -> Source | None:
    """Return the source if this text pins one without a local file."""
    if found := _GIT.fullmatch(text):
        return _commit(found["url"], found["commit"], found["subdirectory"] or "")
    if found := _ARCHIVE.fullmatch(text):
        return _remote_archive(found["url"], found["sha256"])
    if found := _INDEX.fullmatch(text):
        _check_version(found["version"])
        return Source(text, f"{NAME} {found['version']} by its hash")
    return None


def _repeatable(text: str, url: str) -> Source:
    source = _pinned(text)
    if source is None:
        raise UsageError(
            f"this command was installed from {visible(mask_url(url))}, which is not a commit or a file "
            "with a known hash at an https or ssh URL without a password"
        )
    return source


def _commit(url: str, commit: str, subdirectory: str = "") -> Source:
    return Source(f"{NAME} @ git+{url}@{commit}{subdirectory}", f"commit {commit} of {url}", is_built=True)


def _remote_archive(url: str, sha256: str) -> Source:
    _check_file(url.rpartition("/")[2])
    is_built = not url.endswith(".whl")
    return Source(f"{NAME} @ {url} --hash=sha256:{sha256}", f"{url} by its hash", is_built=is_built)


def _local_archive(path: Path, expected: str | None) -> Source:
    _check_file(path.name)
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {visible(path)}: {error.strerror}", hint=_FORMS) from None
    if expected is not None and sha256 != expected:
        raise UsageError(
            f"{visible(path)} is not the file that was installed: its hash differs", hint="install it again"
        )
    return Source(
        f"./{FOLDER}/{path.name} --hash=sha256:{sha256}",
        f"{path.name}, which is beside this file",
        is_built=not path.name.endswith(".whl"),
        archive=path,
    )


def _pushed_commit(folder: Path, clone_at: Callable[[Path], Clone]) -> Source:
    clone = clone_at(folder)
    place = visible(folder)
    if not clone.commit:
        raise UsageError(f"{place} is not a clone of a repository")
    if not clone.origin:
        raise UsageError(f"the clone {place} has no remote `origin`")
    if not clone.is_clean:
        raise UsageError(f"the clone {place} has changes that are not committed")
    if not clone.is_pushed:
        raise UsageError(f"commit {clone.commit} of the clone {place} is not on its remote")
    found = _SCP.fullmatch(clone.origin)
    origin = f"ssh://git@{found[1]}/{found[2]}" if found else clone.origin
    return _repeatable(f"git+{origin}@{clone.commit}", origin)


def _check_file(name: str) -> None:
    found = _FILE.fullmatch(name)
    if found is None:
        raise UsageError(
            f"{visible(name)} is not the name of a wheel or source archive of {NAME}", hint=_FORMS
        )
    _check_version(found["version"])


def _check_version(version: str) -> None:
    if version != __version__:
        raise UsageError(
            f"this command has the locked dependencies of version {__version__}, not of {version}",
            hint=f"run `reconciler init` of {NAME} {version}",
        )


def _unpinned(why: str) -> UsageError:
    return UsageError(
        f"cannot pin what the pipelines install: {why}",
        hint=f"reconciler init --upgrade --from git+https://HOST/OWNER/{NAME}@COMMIT; "
        "docs/howto/pin-the-installation.md describes all sources",
    )


def _sha256(info: dict[str, Any]) -> str | None:
    """Return the hash of an archive, also from the older form of the record; None without one."""
    hashes, old = info.get("hashes"), info.get("hash")
    found = hashes.get("sha256") if isinstance(hashes, dict) else None
    if found is None and isinstance(old, str) and old.startswith("sha256="):
        found = old.removeprefix("sha256=")
    return found if isinstance(found, str) else None


def _lock(name: str) -> str:
    return find_packaged(name, _LOCKS).read_text(encoding="utf-8")
