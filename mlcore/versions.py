"""Versions of Python and of libraries, for what must be made again later."""

from __future__ import annotations

import functools
import importlib.metadata
import platform


@functools.cache
def versions_of(*libraries: str) -> dict[str, str]:
    """Return the versions of Python and of `libraries`, ``"not installed"`` for one that is not.

    >>> sorted(versions_of("numpy", "no-such-library"))
    ['no-such-library', 'numpy', 'python']
    """
    found = {"python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found
