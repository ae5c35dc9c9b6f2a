from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tft.errors import PrerequisiteError
from tft.ports import Generation
from tft.tutor import AnswerCache

ANSWERS = [Generation("7+8=15 #15", 6, 11, True, -0.25), Generation("ü\n", 4, 64, False, -90.0)]
WRITER = """
import sys
from pathlib import Path
from tft.ports import Generation
from tft.tutor.cache import AnswerCache

cache = AnswerCache(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    text = f"{sys.argv[2]} {number}"
    cache.put(str(number), [Generation(text, 1, 1, True, 0.0)] * 200)
    print(number, flush=True)
"""


def start(folder: Path, name: str, batches: int) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name, str(batches)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    opened = AnswerCache(tmp_path / "cache")
    yield opened
    opened.close()


def test_a_batch_comes_back_whole_and_in_order(cache: AnswerCache) -> None:
    assert cache.get("k") is None
    cache.put("k", ANSWERS)
    assert cache.get("k") == ANSWERS
    assert cache.get("other") is None


def test_the_first_of_two_writers_wins(cache: AnswerCache) -> None:
    cache.put("k", ANSWERS)
    cache.put("k", ANSWERS[:1])
    assert cache.get("k") == ANSWERS


def test_rows_of_a_batch_are_kept_until_it_is(cache: AnswerCache) -> None:
    assert cache.rows("k") == {}
    cache.put_row("k", 7, ANSWERS[1])
    cache.put_row("k", 7, ANSWERS[0])
    cache.put_row("k", 2, ANSWERS[0])
    cache.put_row("other", 1, ANSWERS[0])
    assert cache.rows("k") == {7: ANSWERS[1], 2: ANSWERS[0]}
    assert cache.get("k") is None
    cache.put("k", ANSWERS)
    assert cache.rows("k") == {}
    assert cache.rows("other") == {1: ANSWERS[0]}


def test_another_campaign_finds_what_was_answered(cache: AnswerCache, tmp_path: Path) -> None:
    cache.put("k", ANSWERS)
    other = AnswerCache(tmp_path / "cache")
    assert other.get("k") == ANSWERS
    other.close()


def test_two_processes_share_it(cache: AnswerCache, tmp_path: Path) -> None:
    children = [start(tmp_path / "cache", name, 60) for name in ("one", "two")]
    for child in children:
        child.communicate("go\n", timeout=60)
        assert child.returncode == 0
    for number in range(60):
        answers = cache.get(str(number))
        assert answers is not None
        # Every batch is of one hand.
        assert len(answers) == 200
        assert {answer.text for answer in answers} in ({f"one {number}"}, {f"two {number}"})


def test_a_batch_is_kept_whole_or_not_at_all(cache: AnswerCache, tmp_path: Path) -> None:
    child = start(tmp_path / "cache", "one", 100_000)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    told = [child.stdout.readline() for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate(timeout=60)
    told += rest.splitlines(keepends=True)
    complete = [int(line) for line in told if line.endswith("\n")]
    for number in complete:
        answers = cache.get(str(number))
        assert answers is not None and len(answers) == 200
    # At most the one that it died over is there besides, and that one is whole.
    after = cache.get(str(len(complete)))
    assert after is None or len(after) == 200
    assert cache.get(str(len(complete) + 1)) is None
    cache.put("after", ANSWERS)
    assert cache.get("after") == ANSWERS


def test_it_waits_for_another_writer(cache: AnswerCache, tmp_path: Path) -> None:
    child = start(tmp_path / "cache", "one", 1)
    base = sqlite3.connect(tmp_path / "cache" / "answers.sqlite", isolation_level=None)
    base.execute("BEGIN IMMEDIATE")
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    time.sleep(0.3)
    assert cache.get("0") is None
    base.execute("COMMIT")
    base.close()
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert cache.get("0") is not None


def test_a_full_disk_costs_a_warning(cache: AnswerCache) -> None:
    cache.put("before", ANSWERS)
    cache._base.execute("PRAGMA max_page_count = 1")
    many = [Generation(str(number) * 50, 1, 1, True, None) for number in range(5000)]
    with pytest.warns(UserWarning, match="cannot be written, so answers are not kept: database or disk is full"):
        cache.put("k", many)
    assert cache.get("k") is None
    assert cache.get("before") == ANSWERS


def test_a_lock_that_is_not_given_back_costs_a_warning(cache: AnswerCache, tmp_path: Path) -> None:
    cache._base.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "cache" / "answers.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.warns(UserWarning, match="database is locked"):
        assert not cache.put_row("k", 0, ANSWERS[0])
    other.close()
    assert cache.put_row("k", 0, ANSWERS[0])


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_cache_that_cannot_be_opened_is_a_prerequisite(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder" / "answers.sqlite").mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "folder"):
        with pytest.raises(PrerequisiteError, match="cannot be used"):
            AnswerCache(folder)
