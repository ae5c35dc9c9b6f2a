from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tft.errors import StageError
from tft.student import checkpoints
from tft.student.checkpoints import MANIFEST, read_checkpoint, write_checkpoint

FILES = {"model.safetensors": bytes(range(256)) * 16, "config.json": b'{"a": 1}\n', "empty.txt": b""}


def save(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).write_bytes(data)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "students" / "ada" / "cycle-1"
    return folder, write_checkpoint(folder, save)


def test_what_was_written_is_given_back(written: tuple[Path, str]) -> None:
    folder, digest = written
    assert read_checkpoint(folder, digest) == folder
    assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST}
    assert [path.name for path in folder.parent.iterdir()] == ["cycle-1"]


def test_the_digest_is_that_of_the_files(written: tuple[Path, str], tmp_path: Path) -> None:
    _, digest = written
    assert write_checkpoint(tmp_path / "again", save) == digest
    other = write_checkpoint(tmp_path / "other", lambda folder: (folder / "config.json").write_text("{}"))
    assert other != digest


@pytest.mark.parametrize("name", [*sorted(FILES.keys() - {"empty.txt"}), MANIFEST])
@pytest.mark.parametrize("bit", [0x01, 0x80])
@pytest.mark.parametrize("where", [0, 0.5, 1])
def test_one_flipped_bit_in_any_file_is_found(
    written: tuple[Path, str], name: str, bit: int, where: float
) -> None:  # fmt: skip
    folder, digest = written
    data = bytearray((folder / name).read_bytes())
    data[round(where * (len(data) - 1))] ^= bit
    (folder / name).write_bytes(data)
    with pytest.raises(StageError, match=f"is damaged: {name} differs"):
        read_checkpoint(folder, digest)


@pytest.mark.parametrize("name", [*sorted(FILES), MANIFEST])
def test_a_missing_file_is_found(written: tuple[Path, str], name: str) -> None:
    folder, digest = written
    (folder / name).unlink()
    with pytest.raises(StageError, match=name):
        read_checkpoint(folder, digest)


@pytest.mark.parametrize("name", [*sorted(FILES), MANIFEST])
def test_a_file_that_is_too_short_or_too_long_is_found(written: tuple[Path, str], name: str) -> None:
    folder, digest = written
    data = (folder / name).read_bytes()
    for changed in (data[:-1], b"", data + b"\n"):
        if changed != data:
            (folder / name).write_bytes(changed)
            with pytest.raises(StageError, match=f"is damaged: {name} differs"):
                read_checkpoint(folder, digest)


def test_every_damaged_file_is_named(written: tuple[Path, str]) -> None:
    folder, digest = written
    (folder / "empty.txt").write_text("x")
    (folder / "config.json").unlink()
    with pytest.raises(StageError, match=r"config\.json, empty\.txt differs"):
        read_checkpoint(folder, digest)


def test_another_digest_or_no_folder_is_refused(written: tuple[Path, str]) -> None:
    folder, digest = written
    with pytest.raises(StageError, match=MANIFEST):
        read_checkpoint(folder, "0" * 64)
    shutil.rmtree(folder)
    with pytest.raises(StageError, match="cannot be read"):
        read_checkpoint(folder, digest)


def half(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"half")
    raise OSError("no space left on device")


def test_a_folder_that_could_not_be_finished_takes_no_name(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no space left on device"):
        write_checkpoint(tmp_path / "cycle-1", half)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_another_kind_takes_no_name_either(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        save(folder)
        raise RuntimeError("not a tensor")

    with pytest.raises(RuntimeError, match="not a tensor"):
        write_checkpoint(tmp_path / "cycle-1", broken)
    assert not (tmp_path / "cycle-1").exists()


def test_what_was_there_before_outlives_a_failure_and_yields_to_success(written: tuple[Path, str]) -> None:
    folder, digest = written
    with pytest.raises(StageError):
        write_checkpoint(folder, half)
    assert read_checkpoint(folder, digest) == folder
    new = write_checkpoint(folder, lambda aside: (aside / "only.txt").write_text("new"))
    assert read_checkpoint(folder, new) == folder
    assert {path.name for path in folder.iterdir()} == {"only.txt", MANIFEST}


def test_a_process_that_dies_while_it_writes_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    # Its room would bring torch; the file alone is a matter of milliseconds.
    script = f"""
import importlib.util, os
from pathlib import Path

spec = importlib.util.spec_from_file_location("checkpoints", {checkpoints.__file__!r})
checkpoints = importlib.util.module_from_spec(spec)
spec.loader.exec_module(checkpoints)

def die(folder):
    (folder / "model.safetensors").write_bytes(b"half")
    os._exit(9)

checkpoints.write_checkpoint(Path({str(tmp_path)!r}) / "cycle-1", die)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 9
    assert not (tmp_path / "cycle-1").exists()
    digest = write_checkpoint(tmp_path / "cycle-1", save)
    assert read_checkpoint(tmp_path / "cycle-1", digest).is_dir()


def test_a_file_in_place_of_the_students_folder_is_a_stage_error(tmp_path: Path) -> None:
    (tmp_path / "students").write_text("in the way")
    with pytest.raises(StageError, match="cannot be written"):
        write_checkpoint(tmp_path / "students" / "ada" / "cycle-1", save)
