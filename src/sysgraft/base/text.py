"""Text that may come from anywhere, made fit to be shown on one line of a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    """`text` with everything that is not plainly visible escaped.

    Names and fields of an image can hold line breaks, terminal commands and characters that
    reorder what is read; shown as they are, they could forge a line of the result.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
