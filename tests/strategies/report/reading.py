"""Tables of a report, read again: rows of cells as text."""

from __future__ import annotations

import re
from html import unescape


def text(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def tables(html: str) -> list[list[list[str]]]:
    """All tables of a body, the head as the first row of each."""
    found = re.findall(r"<table>(.*?)</table>", html, re.DOTALL)
    rows = [re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL) for table in found]
    return [[[text(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in table] for table in rows]
