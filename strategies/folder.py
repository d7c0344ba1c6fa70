"""A folder of results that is either whole or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlcore.errors import BarwiseError

RESULT_SUFFIXES = frozenset({".parquet", ".json", ".html", ".png", ".csv"})
INDEX = "index.html"  # a pooled job's, beside one folder a symbol


def check_folder(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return the resolved `path` if a result may be written there; call it before hours of work.

    Refused: a file, a folder that holds anything (unless `overwrite`), and with `overwrite` a folder that holds
    more than the files of an earlier result: those suffixes only, no folders but those of a pooled job's symbols, so
    that a slip of the keyboard deletes nothing else. Refused too: a place where no folder can be made, because a
    parent is a file or may not be written to. Nothing is made.
    """
    target = Path(path).expanduser().resolve()
    _check_parents(target.parent)
    if not target.exists():
        return target
    if not target.is_dir():
        raise BarwiseError(f"`out` is {str(path)!r}, which is a file: give a folder to make.")
    held = sorted(target.iterdir())
    if held and not overwrite:
        raise BarwiseError(
            f"`out` is {str(path)!r}, which already holds {held[0].name!r} ({len(held)} entries): give another folder, "
            "or `--overwrite` to replace an earlier result."
        )
    strange = [entry for entry in held if not _is_of_a_result(entry, (target / INDEX).is_file())]
    if strange:
        raise BarwiseError(
            f"`out` is {str(path)!r}, which holds {strange[0].name!r}: that is no file of an earlier result, so the "
            "folder is not overwritten. Give another one."
        )
    return target


def work_folder(path: str | Path) -> Path:
    """Return where finished parts of a result are kept until it is whole: beside `path`."""
    target = Path(path).expanduser().resolve()
    return target.parent / f".{target.name}.work"


@contextmanager
def result_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder beside `path` to write into; it becomes `path` only when the block ends well.

    After an error nothing is left: neither `path`, nor the folder beside it, nor parents made on the way. An
    earlier result (`overwrite`) stays whole until the new one is.
    """
    target = check_folder(path, overwrite=overwrite)
    made = _make_parents(target.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    beside.chmod(0o777 & ~_umask())
    try:
        yield beside
        _put_in_place(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # someone else wrote there meanwhile
            for parent in made:
                parent.rmdir()
        raise


def _is_of_a_result(entry: Path, pooled: bool) -> bool:
    """Tell whether an earlier job may have made `entry`: a file of a result, or a pooled job's folder of such."""
    if entry.is_file():
        return entry.suffix in RESULT_SUFFIXES
    return pooled and entry.is_dir() and all(_is_of_a_result(held, False) for held in entry.iterdir())


def _put_in_place(beside: Path, target: Path) -> None:
    if not target.exists():
        beside.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        target.rename(old / "result")
        try:
            beside.rename(target)
        except BaseException:
            (old / "result").rename(target)
            raise
    except BaseException:
        with suppress(OSError):  # what could not be put back stays there
            old.rmdir()
        raise
    shutil.rmtree(old)


def _check_parents(folder: Path) -> None:
    """Refuse a `folder` that is not there and cannot be made, or that nothing can be made in."""
    standing = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not standing.is_dir():
        raise BarwiseError(f"`out` cannot be made in {str(folder)!r}: {str(standing)!r} is no folder.")
    try:
        with tempfile.TemporaryFile(dir=standing):  # permissions alone do not tell: the disk may be read-only
            pass
    except OSError as error:
        raise BarwiseError(
            f"`out` cannot be made in {str(folder)!r}: {str(standing)!r} may not be written to ({error.strerror})."
        ) from None


def _make_parents(folder: Path) -> list[Path]:
    """Make `folder` and what it stands in; return what was made, innermost first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BarwiseError(f"`out` cannot be made in {str(folder)!r}: {error.strerror}.") from None
    return missing


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
