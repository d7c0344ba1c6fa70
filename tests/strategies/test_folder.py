"""A folder of results is whole or not there, and nothing else is ever deleted."""

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mlcore.errors import BarwiseError
from strategies.folder import check_folder, result_folder


def names(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with result_folder(tmp_path / "a" / "b") as folder:
        (folder / "result.json").write_text("{}")
        assert not (tmp_path / "a" / "b").exists()
    assert names(tmp_path) == ["a", "a/b", "a/b/result.json"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == (tmp_path / "a").stat().st_mode & 0o077


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half way"), result_folder(tmp_path / "a" / "b") as folder:
        (folder / "result.json").write_text("{}")
        raise RuntimeError("half way")
    assert names(tmp_path) == []


def test_an_earlier_result_is_replaced_only_when_asked_and_only_by_a_whole_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("old")
    with pytest.raises(BarwiseError, match="--overwrite"), result_folder(out):
        pass
    with pytest.raises(RuntimeError), result_folder(out, overwrite=True):
        raise RuntimeError
    assert (out / "result.json").read_text() == "old"
    with result_folder(out, overwrite=True) as folder:
        (folder / "report.html").write_text("new")
    assert names(tmp_path) == ["out", "out/report.html"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with result_folder(tmp_path / "out") as folder:
        (folder / "x.json").write_text("{}")
    assert names(tmp_path) == ["out", "out/x.json"]


@pytest.mark.parametrize("strange", ["thesis.docx", "photos/"])
def test_overwrite_does_not_delete_what_is_no_result(tmp_path: Path, strange: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("{}")
    (out / strange).mkdir() if strange.endswith("/") else (out / strange).write_text("x")
    with pytest.raises(BarwiseError, match=f"holds '{strange.rstrip('/')}'"):
        check_folder(out, overwrite=True)


def test_a_pooled_result_is_overwritten_with_its_folders_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "BTCUSDT").mkdir(parents=True)
    (out / "BTCUSDT" / "result.json").write_text("{}")
    with pytest.raises(BarwiseError, match="holds 'BTCUSDT'"):
        check_folder(out, overwrite=True)  # no index: no pooled result
    (out / "index.html").write_text("")
    assert check_folder(out, overwrite=True) == out
    (out / "BTCUSDT" / "notes.txt").write_text("mine")
    with pytest.raises(BarwiseError, match="holds 'BTCUSDT'"):
        check_folder(out, overwrite=True)
    (out / "BTCUSDT" / "notes.txt").unlink()
    (out / "BTCUSDT" / "deeper").mkdir()
    with pytest.raises(BarwiseError, match="holds 'BTCUSDT'"):
        check_folder(out, overwrite=True)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(BarwiseError, match="which is a file"):
        check_folder(tmp_path / "out")
    for inside in (tmp_path / "out" / "b", tmp_path / "out" / "b" / "c"):
        with pytest.raises(BarwiseError, match="out' is no folder"):
            check_folder(inside)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("out", ["b", "b/c", "held"])
def test_a_parent_that_may_not_be_written_to_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    shut = tmp_path / "shut"
    (shut / "held").mkdir(parents=True)
    temporary = tempfile.TemporaryFile  # root may write anywhere, whatever the mode says

    def refused(**given: Any) -> Any:
        if Path(given["dir"]) == shut:
            raise OSError(errno.EROFS, "Read-only file system")
        return temporary(**given)

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(BarwiseError, match=r"shut' may not be written to \(Read-only file system\)"):
        check_folder(shut / out)
    assert names(shut) == ["held"]


@pytest.mark.parametrize("failing", [1, 2])
def test_an_earlier_result_is_put_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("old")
    calls, rename = [], Path.rename

    def breaks(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise OSError("no more room")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", breaks)
    with pytest.raises(OSError, match="no more room"), result_folder(out, overwrite=True) as folder:
        (folder / "report.html").write_text("new")
    assert names(tmp_path) == ["out", "out/result.json"]
    assert (out / "result.json").read_text() == "old"
