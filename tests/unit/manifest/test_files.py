"""Walking folders and reading files: what is found, what is skipped, and what cannot be read."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.diagnostics import Severity
from reconciler.manifest.exclusion import Exclusion
from reconciler.manifest.files import MAX_FILE_BYTES, Unreadable, display_path, read_all, read_file
from reconciler.manifest.load import load_manifests

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with relative paths."""
    monkeypatch.chdir(tmp_path)


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def found(*paths: str) -> list[str]:
    return [path for path, _ in read_all(paths)]


def reason(path: str) -> str:
    content = read_file(path)
    assert isinstance(content, Unreadable)
    return content.message


def test_a_folder_is_walked_in_the_order_of_names() -> None:
    """Files that end in .yaml or .yml are read, in all folders, sorted by name in each."""
    make("m/b.yaml", "m/a.yml", "m/c/z.yaml", "m/c/d/y.yml", "m/e.yaml/x.yaml", "m/d.yaml")
    assert found("m") == ["m/a.yml", "m/b.yaml", "m/c/d/y.yml", "m/c/z.yaml", "m/d.yaml", "m/e.yaml/x.yaml"]
    assert dict(read_all(["m"]))["m/c/d/y.yml"] == b"m/c/d/y.yml"


def test_what_is_hidden_or_has_another_name_is_skipped() -> None:
    """Hidden files and folders, links with hidden names, and other suffixes are not read."""
    make("m/a.yaml", "m/.hidden.yaml", "m/.git/b.yaml", "m/notes.txt", "m/yaml", "m/c.yaml.orig", "m/.yaml")
    make("README.md")
    Path("m/.link.yaml").symlink_to("nowhere")
    Path("m/README.md").symlink_to("../README.md")
    assert found("m") == ["m/a.yaml"]


def test_the_case_of_a_suffix_does_not_matter() -> None:
    """A manifest that is renamed to another case is still read."""
    make("m/a.YAML", "m/b.Yml", "m/c/d.yAmL")
    assert found("m") == ["m/a.YAML", "m/b.Yml", "m/c/d.yAmL"]


@pytest.mark.parametrize(
    "target", ["z.yaml", "../m/z.yaml", "{here}/m/z.yaml", "c/../z.yaml", "other-link.yaml"]
)
def test_a_link_inside_its_folder_adds_nothing_to_a_file_that_is_read(target: str) -> None:
    """A link and its target are one file, which comes under its own path although the link sorts first."""
    make("m/z.yaml", "m/c/d.yaml")
    Path("m/other-link.yaml").symlink_to("z.yaml")
    Path("m/link.yaml").symlink_to(target.format(here=Path.cwd()))
    assert dict(read_all(["m"])) == {"m/z.yaml": b"m/z.yaml", "m/c/d.yaml": b"m/c/d.yaml"}


@pytest.mark.parametrize("target", ["notes.txt", ".hidden.yaml", ".hidden/x"])
def test_a_link_to_a_file_that_is_not_read_itself_is_followed(target: str) -> None:
    """A link with the name of a manifest is read, once, where its target has no place of its own."""
    make("m/a.yaml", "m/notes.txt", "m/.hidden.yaml", "m/.hidden/x")
    Path("m/b.yaml").symlink_to(target)
    Path("m/c.YML").symlink_to("b.yaml")
    assert dict(read_all(["m"])) == {"m/a.yaml": b"m/a.yaml", "m/b.yaml": f"m/{target}".encode()}


def test_a_mounted_config_map_is_read_once() -> None:
    """As Kubernetes mounts it: each file and folder links to a hidden link to a hidden folder."""
    make("m/..2026_11_30/a.yaml", "m/..2026_11_30/team/b.yaml", "m/..2026_11_30/team/c/d.yml")
    Path("m/..data").symlink_to("..2026_11_30")
    Path("m/a.yaml").symlink_to("..data/a.yaml")
    Path("m/team").symlink_to("..data/team")
    expected = ["m/a.yaml", "m/team/b.yaml", "m/team/c/d.yml"]
    assert found("m") == found("m", "m/a.yaml", "./m/team") == expected
    assert dict(read_all(["m"]))["m/team/b.yaml"] == b"m/..2026_11_30/team/b.yaml"


def test_a_folder_that_several_links_lead_to_is_read_once() -> None:
    """Links to one folder, to a part of it and to a folder with a place of its own add no file twice."""
    make("m/.store/a.yaml", "m/.store/part/b.yaml", "m/own/c.yaml")
    for name, target in {
        "1": ".store/part",
        "2": ".store",
        "3": ".store",
        "4": "own",
        "own/5": "../.store",
    }.items():
        Path("m", name).symlink_to(target)
    assert found("m") == ["m/own/c.yaml", "m/1/b.yaml", "m/2/a.yaml"]


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("x.yaml", "../elsewhere/secret.yaml", "which is outside of m"),
        ("x.yaml", "{here}/elsewhere/secret.yaml", "which is outside of m"),
        ("x.yaml", "../m-2/a.yaml", "which is outside of m"),
        ("x.yaml", "../elsewhere/notes.txt", "which is outside of m"),
        ("x", "../elsewhere/secret.yaml", "which is outside of m"),
        ("x", "../elsewhere", "which is outside of m"),
        ("x.yaml", "/dev/null", "which is outside of m"),
        ("x.YAML", "nowhere", "which does not exist"),
        ("x", "../unmounted", "which does not exist"),
        ("x.yaml", "x.yaml", "which leads back to it"),
        ("x.yaml", ".", "which contains the link"),
        ("sub/x", "../sub", "which contains the link"),
        ("x", "..", "which is outside of m"),
    ],
)
def test_any_other_link_is_a_problem(name: str, target: str, reason: str) -> None:
    """A link out of its folder, to nothing, or in a circle is an error with its path and the reason."""
    make("m/a.yaml", "m/sub/b.yaml", "m-2/a.yaml", "elsewhere/secret.yaml", "elsewhere/notes.txt")
    target = target.format(here=Path.cwd())
    Path("m", name).symlink_to(target)
    content = dict(read_all(["m"]))
    why = content.pop(f"m/{name}")
    assert isinstance(why, Unreadable)
    assert why.message == f"it is a symbolic link to {target}, {reason}"
    assert list(content) == ["m/a.yaml", "m/sub/b.yaml"]
    (problem,) = [each for each in load_manifests(["m"]).diagnostics if f"m/{name}" in str(each)]
    assert (problem.rule, problem.severity) == ("WH001", Severity.ERROR)


def test_a_link_to_a_pipe_is_never_waited_for() -> None:
    """A link is read as carefully as a file."""
    Path("m").mkdir()
    os.mkfifo("m/.pipe")
    Path("m/a.yaml").symlink_to(".pipe")
    assert dict(read_all(["m"])) == {"m/a.yaml": Unreadable("it is not a regular file")}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["**/kustomization.yaml"], ["a.yaml", "t/b.yaml", "t/u/c.yml"]),
        (["kustomization.yaml"], ["a.yaml", "t/b.yaml", "t/kustomization.yaml", "t/u/c.yml"]),
        (["t"], ["a.yaml", "kustomization.yaml"]),
        (["t/"], ["a.yaml", "kustomization.yaml"]),
        (["t/**"], ["a.yaml", "kustomization.yaml"]),
        (["**/u"], ["a.yaml", "kustomization.yaml", "t/b.yaml", "t/kustomization.yaml"]),
        (["**/**/u/**/c.*"], ["a.yaml", "kustomization.yaml", "t/b.yaml", "t/kustomization.yaml"]),
        (["*.yaml", "./t/*/c.yml"], ["t/b.yaml", "t/kustomization.yaml"]),
        (["t/[!k]*.yaml"], ["a.yaml", "kustomization.yaml", "t/kustomization.yaml", "t/u/c.yml"]),
        (["../m/a.yaml", "A.yaml", "a?yaml.x", "**/missing"], [
            "a.yaml", "kustomization.yaml", "t/b.yaml", "t/kustomization.yaml", "t/u/c.yml",
        ]),
        (["**"], []),
    ],
)  # fmt: skip
def test_files_of_other_tools_are_excluded(patterns: list[str], left: list[str]) -> None:
    """Globs are matched below the folder: a star stays in its folder, two stars do not."""
    make("m/a.yaml", "m/kustomization.yaml", "m/t/b.yaml", "m/t/kustomization.yaml", "m/t/u/c.yml")
    exclusion = Exclusion(patterns, ["m"])
    assert sorted(path for path, _ in read_all(["m"], exclusion=exclusion)) == [f"m/{each}" for each in left]
    assert bool(exclusion.paths) == (len(left) < 5)


@pytest.mark.parametrize("path", ["m/t", "./m/t/", "m/t/x.yaml", "link", "m"])
def test_globs_begin_at_the_configured_folder_whatever_is_named(path: str) -> None:
    """A path on the command line that is inside the configured folder keeps the meaning of its globs."""
    make("m/t/x.yaml", "m/t/y.yaml")
    Path("link").symlink_to("m/t")
    exclusion = Exclusion(["t/x.yaml"], ["m"])
    assert not any("x.yaml" in found for found, _ in read_all([path], exclusion=exclusion))
    assert exclusion.paths == {str(Path("m/t/x.yaml").resolve())}


def test_globs_hold_in_a_folder_that_is_not_configured() -> None:
    """Elsewhere a glob is matched against the last part of a path."""
    make("other/kustomization.yaml", "other/t/kustomization.yaml", "other/a.yaml")
    exclusion = Exclusion(["**/kustomization.yaml"], ["m"])
    assert [path for path, _ in read_all(["other"], exclusion=exclusion)] == ["other/a.yaml"]


def test_an_excluded_link_is_not_followed() -> None:
    """So links of other tools can be excluded, too; a link to an excluded file is read."""
    make("m/sops.yaml")
    Path("m/outside.yaml").symlink_to("../nowhere")
    Path("m/b.yaml").symlink_to("sops.yaml")
    exclusion = Exclusion(["outside.yaml", "sops.yaml"], ["m"])
    assert dict(read_all(["m"], exclusion=exclusion)) == {"m/b.yaml": b"m/sops.yaml"}


def test_what_is_named_itself_is_read_whatever_it_is_called() -> None:
    """A file or folder that is named is read, although it is hidden, linked or has another suffix."""
    make(".hidden/a.yaml", "notes.txt")
    Path("link").symlink_to(".hidden")
    Path("link.yaml").symlink_to("notes.txt")
    assert found(".hidden", "notes.txt") == [".hidden/a.yaml", "notes.txt"]
    assert found("link") == ["link/a.yaml"]
    assert found("link.yaml") == ["link.yaml"]


@pytest.mark.parametrize(
    "paths",
    [
        ("m", "m"),
        ("m", "m/"),
        ("m", "./m/../m"),
        ("m", "m/a.yaml"),
        ("m", "link", "link.yaml"),
    ],
)
def test_a_file_that_several_paths_lead_to_comes_once(paths: tuple[str, ...]) -> None:
    """Paths that overlap, by whatever spelling or link, count each file once, under its first path."""
    make("m/a.yaml", "m/b/c.yaml")
    Path("link").symlink_to("m/b")
    Path("link.yaml").symlink_to("m/a.yaml")
    assert found(*paths) == ["m/a.yaml", "m/b/c.yaml"]


def test_an_overlap_declares_no_webhook_twice() -> None:
    """A folder that is named twice has no duplicates."""
    Path("m").mkdir()
    Path("m/a.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Webhook\nmetadata: {name: a}\n"
        "spec: {url: https://hooks.example.com/, events: [run.failed]}\n"
    )
    loaded = load_manifests(["m", Path("m/a.yaml"), "m/"])
    assert (loaded.ok, len(loaded.paths), len(loaded.webhooks)) == (True, 1, 1)


@contextmanager
def nested(name: str, depth: int, file: str = "") -> Iterator[None]:
    """Folders in folders, the last with an empty file if one is wanted; gone again afterwards.

    Neither making nor removing them may need a whole path, or as many levels of recursion.
    """
    top = Path.cwd()
    for _ in range(depth):
        Path(name).mkdir()
        os.chdir(name)
    if file:
        Path(file).touch()
    os.chdir(top)
    try:
        yield
    finally:
        for _ in range(depth):
            os.chdir(name)
        Path(file or "none").unlink(missing_ok=True)
        for _ in range(depth):
            os.chdir("..")
            Path(name).rmdir()


def test_folders_may_lie_deeper_than_python_recurses() -> None:
    """A manifest is found in the 1,200th folder below."""
    with nested("d", 1200, "a.yaml"):
        assert found("d") == ["d/" * 1200 + "a.yaml"]


def test_an_empty_folder_has_nothing() -> None:
    """A folder without manifests gives none, and is no problem."""
    Path("m/empty").mkdir(parents=True)
    assert found("m") == []
    loaded = load_manifests(["m"])
    assert (loaded.ok, len(loaded.paths), loaded.webhooks) == (True, 0, ())


def special_files() -> Iterator[str]:
    os.mkfifo("m/fifo.yaml")
    yield "fifo.yaml"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("m/socket.yaml")
    yield "socket.yaml"


def test_special_files_are_reported_and_never_waited_for() -> None:
    """A pipe that nobody writes to, or a socket, is a problem at its path, named itself or in a folder."""
    Path("m").mkdir()
    names = list(special_files())
    content = dict(read_all(["m"]))
    assert sorted(content) == [f"m/{name}" for name in names]
    assert all(isinstance(each, Unreadable) for each in content.values())
    assert reason("m/fifo.yaml") == "it is not a regular file"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.yaml", "no such file or folder"),
        ("missing/a.yaml", "no such file or folder"),
        ("", "no such file or folder"),
        ("file/below", "not a directory"),
        ("loop", "too many levels of symbolic links"),
        ("x" * 300, "file name too long"),
        ("a\0b", "the path contains a null character"),
        (".", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        ("/proc/self/mem", "input/output error"),
        ("/dev/tty", ""),
    ],
)
def test_what_cannot_be_read_is_a_reason(path: str, words: str) -> None:
    """A path that gives no bytes gives a sentence about it, and nothing is raised."""
    make("file")
    Path("loop").symlink_to("loop")
    assert words in reason(path)


def test_the_path_of_what_cannot_be_read_is_reported() -> None:
    """A missing path is one problem at its first line, beside the files that are there."""
    make("a.txt")
    loaded = load_manifests(["missing.yaml", "nul\0.yaml", "missing.yaml"])
    assert [str(each) for each in loaded.diagnostics] == [
        "missing.yaml:1:1: error[WH001]: this path cannot be read: no such file or folder",
        "nul\0.yaml:1:1: error[WH001]: this path cannot be read: the path contains a null character",
    ]
    assert len(loaded.paths) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_is_not_permitted_is_reported() -> None:
    """A file or folder without permission to read is a problem at its path; the others are read."""
    make("m/a.yaml", "m/b.yaml", "m/c/d.yaml")
    Path("m/a.yaml").chmod(0)
    Path("m/c").chmod(0)
    content = dict(read_all(["m"]))
    Path("m/c").chmod(0o700)
    assert content["m/b.yaml"] == b"m/b.yaml"
    assert content["m/a.yaml"] == content["m/c"] == Unreadable("permission denied")


def test_a_folder_that_cannot_be_listed_is_reported() -> None:
    """A folder whose path has grown longer than the system allows is a problem at its path."""
    name = "n" * 250
    with nested(name, 17):
        ((path, content),) = read_all([name])
    assert path.count("/") == 16
    assert content == Unreadable("file name too long")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000, MAX_FILE_BYTES])
def test_a_file_is_read_to_its_end(size: int) -> None:
    """Every size up to the limit gives all bytes."""
    data = os.urandom(size)
    Path("f").write_bytes(data)
    assert read_file("f") == data


def test_a_file_beyond_the_limit_is_refused() -> None:
    """A file of more than 8 MiB is a problem of its own rule, and not read to its end."""
    with Path("big.yaml").open("wb") as file:
        file.truncate(1 << 40)
    (problem,) = load_manifests(["big.yaml"]).diagnostics
    assert str(problem) == "big.yaml:1:1: error[WH005]: this path cannot be read: it is larger than 8 MiB"
    assert problem.hint == "split the file"


def test_a_link_is_followed_only_where_it_was_named() -> None:
    """A file that became a link after its folder was listed is not followed out of it."""
    make("a")
    Path("link").symlink_to("a")
    assert read_file("link") == b"a"
    assert read_file("link", follow=False) == Unreadable("too many levels of symbolic links")


def test_a_name_that_is_no_utf_8_can_be_shown() -> None:
    """Bytes of a file name that are no UTF-8 are replaced in what is written out."""
    Path("m").mkdir()
    Path(os.fsdecode(b"m/\xff.yaml")).write_text("a: [")
    (problem,) = load_manifests(["m"]).diagnostics
    assert problem.location is not None
    assert problem.location.path == "m/\ufffd.yaml"
    assert display_path("m/é.yaml") == "m/é.yaml"
    assert display_path("m/a.yaml") == "m/a.yaml"


def test_a_folder_with_too_many_files_is_not_read_to_its_end() -> None:
    """A limit on manifests and folders is told at the folder; what was read before it counts."""
    make(*(f"m/{name}.yaml" for name in "abc"), "m/d/e.yaml", "other/f.yaml")
    content = dict(read_all(["m", "other"], most=4))
    reason_of_m = content["m"]
    assert isinstance(reason_of_m, Unreadable)
    assert reason_of_m.message == "it has more than 4 manifests and folders; the rest is not read"
    assert reason_of_m.too_large
    assert list(content) == ["m/a.yaml", "m/b.yaml", "m/c.yaml", "m", "other/f.yaml"]
    assert not isinstance(dict(read_all(["m"], most=5)).get("m"), Unreadable)


def test_a_file_that_vanishes_while_others_are_read_is_reported() -> None:
    """What goes between listing and reading is a problem at its path; the others are read."""
    make("m/a.yaml", "m/b.yaml", "m/c/d.yaml", "m/e.yaml")
    walk = read_all(["m"])
    content = dict([next(walk)])
    Path("m/b.yaml").unlink()
    Path("m/c/d.yaml").unlink()
    Path("m/c").rmdir()
    content |= dict(walk)
    gone = Unreadable("no such file or folder", "check the path and the folder you are in")
    assert content == {"m/a.yaml": b"m/a.yaml", "m/b.yaml": gone, "m/c": gone, "m/e.yaml": b"m/e.yaml"}


def test_a_file_that_becomes_something_else_is_never_waited_for_or_followed() -> None:
    """A file that turns into a pipe or into a link out of the tree after it was listed is not read."""
    make("m/a.yaml", "m/b.yaml", "m/c.yaml", "secret")
    walk = read_all(["m"])
    content = dict([next(walk)])
    for name in ("m/b.yaml", "m/c.yaml"):
        Path(name).unlink()
    os.mkfifo("m/b.yaml")
    Path("m/c.yaml").symlink_to("../secret")
    content |= dict(walk)
    assert content["m/b.yaml"] == Unreadable("it is not a regular file")
    assert content["m/c.yaml"] == Unreadable("too many levels of symbolic links")


def test_a_folder_that_becomes_a_link_is_not_followed() -> None:
    """A folder that turns into a link out of the tree after it was listed is not walked."""
    make("m/a.yaml", "m/b/c.yaml", "elsewhere/secret.yaml")
    walk = read_all(["m"])
    content = dict([next(walk)])
    Path("m/b/c.yaml").unlink()
    Path("m/b").rmdir()
    Path("m/b").symlink_to("../elsewhere")
    content |= dict(walk)
    assert list(content) == ["m/a.yaml", "m/b"]
    assert isinstance(content["m/b"], Unreadable)


def test_a_file_that_grows_while_it_is_read_stays_within_the_limit() -> None:
    """What is read in the end is at most the limit, however the file grew meanwhile."""
    Path("f").write_bytes(b"x" * 70_000)
    assert read_file("f") == b"x" * 70_000
    with Path("f").open("ab") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    content = read_file("f")
    assert isinstance(content, Unreadable)
    assert content.too_large
