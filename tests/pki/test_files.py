"""Files: 0600 from the first byte, never half-written, and folders that switch as one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pki import files
from pki.files import PUBLIC_MODE, SECRET_MODE, create_file, write_file, write_folder
from tests.pki.faults import at_every_line, file_size_limit, small_disk

NAMES = ("tls.crt", "tls.key", "ca.crt")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def generation(number: int) -> dict[str, tuple[bytes, int]]:
    text = str(number).encode()
    return {
        "tls.crt": (b"crt" + text, PUBLIC_MODE),
        "tls.key": (b"key" + text, SECRET_MODE),
        "ca.crt": (b"ca" + text, PUBLIC_MODE),
    }


def seen(folder: Path) -> set[str]:
    """The generations that the three names show."""
    texts = [(folder / name).read_text() for name in NAMES if (folder / name).exists()]
    return {text.lstrip("crtkeya") for text in texts}


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("wanted", [SECRET_MODE, PUBLIC_MODE])
def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path, wanted: int) -> None:
    write_file(tmp_path / "f", b"x", wanted)
    assert mode(tmp_path / "f") == wanted


@pytest.mark.usefixtures("umask")
def test_a_secret_is_private_from_its_first_byte(tmp_path: Path) -> None:
    """Key material: modes (threat class 41)."""
    looks = []

    def look() -> None:
        looks.append([mode(path) for path in everything(tmp_path)])

    with at_every_line(files, look):
        write_file(tmp_path / "f", b"secret", SECRET_MODE)
    modes = {mode for look in looks for mode in look}
    assert modes == {SECRET_MODE}


def test_at_every_moment_the_old_or_the_new_content_is_there(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_file(path, b"old")
    contents = []
    with at_every_line(files, lambda: contents.append(path.read_bytes())):
        write_file(path, b"new")
    assert set(contents) == {b"old", b"new"}
    assert everything(tmp_path) == [path]


def test_create_refuses_what_is_there_and_leaves_it(tmp_path: Path) -> None:
    create_file(tmp_path / "f", b"first")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "f", b"second")
    assert (tmp_path / "f").read_bytes() == b"first"
    assert everything(tmp_path) == [tmp_path / "f"]


def test_create_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "f", b"x")
    assert everything(tmp_path) == []


def test_write_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "f").symlink_to(tmp_path / "victim")
    write_file(tmp_path / "f", b"x")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "f").is_symlink()


@pytest.mark.parametrize("put", [write_file, create_file])
def test_a_write_beyond_the_size_limit_leaves_nothing(tmp_path: Path, put: object) -> None:
    assert callable(put)
    with file_size_limit(1000), pytest.raises(OSError, match="File too large"):
        put(tmp_path / "f", bytes(1001))
    assert everything(tmp_path) == []
    with file_size_limit(1000):
        put(tmp_path / "f", bytes(1000))
    assert everything(tmp_path) == [tmp_path / "f"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        write_file(disk / "f", b"old")
        with pytest.raises(OSError, match="No space left"):
            write_file(disk / "f", bytes(100_000))
        assert (disk / "f").read_bytes() == b"old"
        assert everything(disk) == [disk / "f"]


def test_a_folder_is_made_with_links_that_show_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "web"
    write_folder(folder, generation(1))
    assert seen(folder) == {"1"}
    assert mode(folder / "tls.key") == SECRET_MODE
    assert mode(folder / "tls.crt") == PUBLIC_MODE
    assert {os.readlink(folder / name) for name in NAMES} == {f"..data/{name}" for name in NAMES}


def test_a_folder_is_never_seen_torn(tmp_path: Path) -> None:
    """Rotation writes cert and key apart (threat class 41): here it does not."""
    folder = tmp_path / "web"
    write_folder(folder, generation(1))
    looks: list[set[str]] = []
    with at_every_line(files, lambda: looks.append(seen(folder))):
        write_folder(folder, generation(2))
    assert {"1"} in looks
    assert {"2"} in looks
    assert all(look in ({"1"}, {"2"}) for look in looks)


def test_a_new_folder_shows_all_or_some_but_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    looks: list[set[str]] = []
    with at_every_line(files, lambda: looks.append(seen(folder))):
        write_folder(folder, generation(1))
    assert all(look <= {"1"} for look in looks)


@pytest.mark.usefixtures("umask")
def test_a_key_in_a_folder_is_private_from_its_first_byte(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    looks: list[int] = []

    def look() -> None:
        looks.extend(mode(path) for path in everything(tmp_path) if b"key" in path.read_bytes())

    with at_every_line(files, look):
        write_folder(folder, generation(1))
    assert set(looks) == {SECRET_MODE}


def test_old_generations_and_what_a_crash_left_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    write_folder(folder, generation(1))
    (folder / "..leftover").mkdir()
    (folder / "..leftover" / "tls.key").write_text("old secret")
    write_folder(folder, generation(2))
    assert [path.read_text() for path in everything(folder)] == ["ca2", "crt2", "key2"]


def test_other_files_stay_and_names_that_are_no_longer_given_go(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    write_folder(folder, generation(1))
    (folder / "crl.pem").write_text("crl")
    write_folder(folder, {"tls.crt": (b"crt2", PUBLIC_MODE)})
    shown = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".."))
    assert shown == ["crl.pem", "tls.crt"]


def test_plain_files_are_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text("by hand")
    write_folder(folder, generation(1))
    assert seen(folder) == {"1"}


def test_a_failed_switch_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    write_folder(folder, generation(1))
    before = sorted(folder.iterdir())
    with file_size_limit(1000), pytest.raises(OSError, match="File too large"):
        write_folder(folder, {**generation(2), "tls.key": (bytes(1001), SECRET_MODE)})
    assert seen(folder) == {"1"}
    assert sorted(folder.iterdir()) == before


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        write_folder(disk / "web", generation(1))
        with pytest.raises(OSError, match="No space left"):
            write_folder(disk / "web", {**generation(2), "tls.key": (bytes(10**5), SECRET_MODE)})
        assert seen(disk / "web") == {"1"}
