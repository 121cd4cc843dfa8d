"""Ids and names come from logs and lists: what steers a terminal in them is shown, not obeyed."""

from __future__ import annotations

import unicodedata

STEERING = ("Cc", "Cs", "Zl", "Zp")  # controls, halves of characters, line and paragraph separators


def escaped(text: str, keep: str = "") -> str:
    """The text with each steering character written as Python writes it, as in \\x1b and \\n.

    keep   of these, the ones that are meant: line ends of our own sentences
    """
    return "".join(
        one.encode("unicode_escape").decode()
        if one not in keep and unicodedata.category(one) in STEERING
        else one
        for one in text
    )
