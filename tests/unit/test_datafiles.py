"""Files are read row by row, and what is broken in them is a row with its trouble."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tft.datafiles import SUFFIXES, Row, digest_files, list_files, read_rows

ROWS = [{"prompt": "ü?", "completion": "a\u2028b"}, {"prompt": "b?", "completion": "B."}]


def write(path: Path) -> Path:
    """Write ROWS in the way of a file's suffix."""
    match path.suffix:
        case ".csv":
            path.write_text("prompt,completion\n" + "".join(f'"{it["prompt"]}","{it["completion"]}"\n' for it in ROWS))
        case ".parquet":
            parquet.write_table(pa.Table.from_pylist(ROWS), path)
        case ".json":
            path.write_text(json.dumps(ROWS, indent=1))
        case _:
            path.write_text("".join(json.dumps(it, ensure_ascii=False) + "\n" for it in ROWS))
    return path


def troubles(path: Path) -> list[tuple[int, str]]:
    return [(row.number, row.trouble) for row in read_rows(path) if row.trouble]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_kinds_of_files_say_the_same(tmp_path: Path, suffix: str) -> None:
    assert list(read_rows(write(tmp_path / f"rows{suffix}"))) == [Row(1, ROWS[0]), Row(2, ROWS[1])]


def test_broken_lines_are_counted_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    deep = b"[" * 100_000
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{broken\n{"a": "\xff"}\n[1]\n' + deep + b'\n{"a": 2}')
    assert [(row.number, row.values) for row in read_rows(path) if not row.trouble] == [(1, {"a": 1}), (7, {"a": 2})]
    assert troubles(path) == [(3, "not_json"), (4, "not_text"), (5, "not_a_row"), (6, "not_json")]


def test_json_is_a_list_or_one_list_inside_or_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text in (json.dumps({"data": ROWS}), "\n".join(map(json.dumps, ROWS))):
        path.write_text(text)
        assert [row.values for row in read_rows(path)] == ROWS
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    path.write_text(json.dumps(chat))
    assert [row.values for row in read_rows(path)] == [chat]
    path.write_text('[{"a": 1}, 2]')
    assert troubles(path) == [(2, "not_a_row")]
    path.write_text('[{"a": 1}, ')
    assert troubles(path) == [(1, "not_json")]


def test_tables_with_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"prompt,completion\na,b\na,b,c\na\n\xff,b\n" + b'"' + b"x" * 200_000 + b'",b\n')
    rows = list(read_rows(path))
    assert troubles(path) == [(2, "not_csv"), (5, "not_csv")]
    assert rows[2].values == {"prompt": "a", "completion": None}
    assert rows[3].values["prompt"] == "\udcff"


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 garbage PAR1")
    assert troubles(path) == [(1, "not_parquet")]


def test_a_folder_is_its_files_in_order_and_named_by_content(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = [write(tmp_path / name) for name in ("a.jsonl", "b/c.csv")]
    (tmp_path / "README.md").write_text("not data")
    assert list_files(tmp_path) == paths
    assert list_files(tmp_path / "README.md") == []
    before = digest_files(paths, tmp_path)
    assert digest_files(paths, tmp_path) == before
    paths[0].write_text("{}")
    assert digest_files(paths, tmp_path) != before


@given(st.binary(max_size=200), st.sampled_from(SUFFIXES))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(data)
    for row in read_rows(path):
        assert bool(row.trouble) == bool(row.said)
