"""Files that options name: nothing is replaced, renamed or waited for that is not a regular file."""

from __future__ import annotations

import os
import stat
import threading
from fcntl import F_GETPIPE_SZ, fcntl
from pathlib import Path

import pytest

from reconciler.named_files import append_line, create, open_log, read_whole, write_whole

NULL = os.makedev(1, 3)
ZERO = os.makedev(1, 5)


def device(path: Path, number: int = NULL) -> Path:
    """Make a device as a container's root can; skip the test for other users."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, number)
        path.read_bytes() if number == NULL else None
    except PermissionError:
        pytest.skip("only root makes devices, and not everywhere")
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


# --- writing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_device_stays_a_device(tmp_path: Path, is_linked: bool) -> None:
    """What is written to it goes where it leads; the node and a link to it stay, without leftovers."""
    node = device(tmp_path / "null")
    path = tmp_path / "link"
    if is_linked:
        path.symlink_to(node)
    write_whole(str(path if is_linked else node), b"text")
    os.close(open_log(path if is_linked else node, follow=True, begin=True))
    assert stat.S_ISCHR(node.stat().st_mode)
    assert path.is_symlink() is is_linked
    assert {each.name for each in tmp_path.iterdir()} <= {"null", "link"}


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    """Its reader gets everything, however much; the pipe stays."""
    path, text = pipe(tmp_path / "pipe"), os.urandom(200_000)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    write_whole(str(path), text)
    reader.join()
    assert got == [text]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait_without_end(tmp_path: Path) -> None:
    """The error names the reason; a log is the same."""
    path = pipe(tmp_path / "pipe")
    with pytest.raises(OSError, match="no process reads it"):
        write_whole(str(path), b"text", patience=0)
    with pytest.raises(OSError, match="no process reads it"):
        open_log(path, follow=True, begin=True, patience=0)


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_descriptor_is_used_as_it_is(tmp_path: Path, form: str) -> None:
    """`--output >(command)` and `/dev/stdout`: also where a file is behind it, which keeps what it has."""
    with (tmp_path / "file").open("wb") as file:
        file.write(b"before ")
        file.flush()
        name = form.format(file.fileno())
        if form == "link":
            (tmp_path / "link").symlink_to(f"/dev/fd/{file.fileno()}")
            name = str(tmp_path / "link")
        write_whole(name, b"text ")
        descriptor = open_log(Path(name), follow=False, begin=True)
        append_line(descriptor, b"line")
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"before text line"


def test_a_links_target_is_replaced(tmp_path: Path) -> None:
    """The link stays, also if its target does not exist yet."""
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/target")
    for text in (b"one", b"two"):
        write_whole(str(link), text)
        assert link.is_symlink()
        assert (tmp_path / "folder/target").read_bytes() == text
    assert len(list((tmp_path / "folder").iterdir())) == 1


def test_a_file_keeps_its_permissions_and_its_owner(tmp_path: Path) -> None:
    """A private plan stays private; a file of another user stays theirs."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    path.chmod(0o600)
    owner = 1234 if os.geteuid() == 0 else os.geteuid()
    os.chown(path, owner, -1)
    inode = path.stat().st_ino
    write_whole(str(path), b"new")
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, owner)
    assert found.st_ino != inode, "a reader sees the old content or the new"
    log = tmp_path / "run.jsonl"
    log.touch(0o640)
    os.close(open_log(log, follow=True, begin=True))
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    assert (tmp_path / "run.previous.jsonl").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into every folder")
def test_a_file_in_a_folder_that_is_not_ours_is_overwritten(tmp_path: Path) -> None:
    """As a shell does it: a new file beside it cannot be made."""
    path = tmp_path / "folder/summary"
    path.parent.mkdir()
    path.write_bytes(b"old and longer")
    path.parent.chmod(0o500)
    write_whole(str(path), b"new")
    path.parent.chmod(0o700)
    assert path.read_bytes() == b"new"


def test_a_loop_and_a_folder_are_errors(tmp_path: Path) -> None:
    """Nothing is written and nothing is left beside them."""
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for path in (loop, tmp_path):
        with pytest.raises(OSError, match=r"links|directory"):
            write_whole(str(path), b"text")
    assert [each.name for each in tmp_path.iterdir()] == ["loop"]


def test_a_new_file_takes_no_name_that_is_taken(tmp_path: Path) -> None:
    """Not even that of a broken link."""
    (tmp_path / "link").symlink_to("nowhere")
    assert not create(tmp_path / "link", b"text")
    assert create(tmp_path / "new", b"text")
    assert not create(tmp_path / "new", b"other")
    assert (tmp_path / "new").read_bytes() == b"text"
    assert not (tmp_path / "nowhere").exists()


# --- logs ---------------------------------------------------------------------------------------------------


def test_a_log_of_what_happened_follows_no_link(tmp_path: Path) -> None:
    """Else whoever may write into its folder directs it into another file."""
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    (tmp_path / "audit.jsonl").symlink_to(other)
    (tmp_path / "device.jsonl").symlink_to("/dev/null")
    for name in ("audit.jsonl", "device.jsonl"):
        with pytest.raises(OSError, match="it is a symbolic link"):
            open_log(tmp_path / name, follow=False)
    assert other.read_bytes() == b"theirs"


def test_a_reader_that_stops_reading_holds_nothing_up() -> None:
    """A full pipe is an error after a while, and not the end of a run's progress."""
    reading, writing = os.pipe()
    os.write(writing, b"x" * fcntl(writing, F_GETPIPE_SZ))
    with pytest.raises(TimeoutError, match="no process reads it"):
        append_line(writing, b"line", patience=0)
    os.close(reading)
    os.close(writing)


# --- reading ------------------------------------------------------------------------------------------------


def test_reading_ends(tmp_path: Path) -> None:
    """A device without an end, a pipe that nobody writes, and a file that is too large are errors."""
    (tmp_path / "large").write_bytes(b"x" * 11)
    for path, why in (
        (tmp_path / "large", "larger than"),
        (pipe(tmp_path / "pipe"), "does not end within 0 s"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(OSError, match=why):
            read_whole(str(path), 10, timeout=0)
    assert read_whole(str(tmp_path / "large"), 11) == b"x" * 11
    with pytest.raises(OSError, match="larger than"):
        read_whole(str(device(tmp_path / "zero", ZERO)), 10)


def test_what_a_process_writes_into_a_pipe_is_read() -> None:
    """`--plan <(command)` works."""
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    assert read_whole(f"/dev/fd/{reading}", 10) == b"text"
    os.close(reading)
