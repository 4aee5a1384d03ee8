"""Files that are whole or not there, whoever writes them."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from kdgraph.atomic import remove_leftovers, replacing, temporary_folder

SIZE = 1 << 16
FORK = multiprocessing.get_context("fork")


def write_often(path: Path, letter: bytes) -> None:
    for _ in range(25):
        with replacing(path) as file:
            for _ in range(4):
                file.write(letter * (SIZE // 4))


def write_half(path: Path, ready: Event) -> None:
    with temporary_folder(path.parent, ".some-"), replacing(path) as file:
        file.write(b"half")
        file.flush()
        ready.set()
        time.sleep(60)


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def is_whole(content: bytes) -> bool:
    return len(content) == SIZE and len(set(content)) == 1


def test_processes_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0" * SIZE)
    letters = [b"a", b"b", b"c"]
    writers = [FORK.Process(target=write_often, args=(path, one)) for one in letters]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert is_whole(path.read_bytes())
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert is_whole(path.read_bytes())
    assert names(tmp_path) == ["file"]


def test_threads_write_one_file_at_once(tmp_path: Path) -> None:
    path, failed = tmp_path / "file", []

    def write(letter: bytes) -> None:
        try:
            write_often(path, letter)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(one,)) for one in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert is_whole(path.read_bytes())
    assert names(tmp_path) == ["file"]


def test_what_a_killed_writer_left_goes_and_a_live_one_is_left_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    ready = FORK.Event()
    writer = FORK.Process(target=write_half, args=(path, ready))
    writer.start()
    assert ready.wait(60)
    others = names(tmp_path)
    assert len(others) == 2
    with replacing(path) as file, temporary_folder(tmp_path, ".some-"):
        file.write(b"new")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [*others, "file"]
    writer.kill()
    writer.join()
    assert names(tmp_path) == [*others, "file"]
    with replacing(path) as file, temporary_folder(tmp_path, ".some-"):
        file.write(b"newer")
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"newer"


def test_leftovers_of_other_files_stay(tmp_path: Path) -> None:
    for name in (".other.0123abcd.tmp", ".file.mine.tmp", "file.tmp", ".file.tmp"):
        (tmp_path / name).touch()
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    kept = [".file.mine.tmp", ".other.0123abcd.tmp", "file", "file.tmp"]
    assert names(tmp_path) == kept
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["file", "file.tmp"]


def test_failure_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write_half(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def _write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise error


def test_full_disk_names_the_file(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left") as caught:
        _write_half(tmp_path / "file", full)
    assert caught.value.filename == str(tmp_path / "file")
    assert not names(tmp_path)


def test_link_planted_beside_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    drawn = iter(["00000000", "11111111"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    (tmp_path / ".file.00000000.tmp").symlink_to(victim)
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "file").read_text() == "new"


def test_without_locks_files_are_still_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("kdgraph.lock._lock", refuse)
    (tmp_path / ".file.tmp").touch()
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == [".file.tmp", "file"]


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    usual = os.umask(0o022)
    try:
        with replacing(tmp_path / "out.json"):
            pass
    finally:
        os.umask(usual)
    assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == 0o644
