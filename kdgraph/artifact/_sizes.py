"""Alphabets as a short text, whatever their number."""

import base64
import binascii
import itertools
import re

import numpy as np

from kdgraph.artifact._json import short
from kdgraph.codes import check_codebook_sizes

MAX_CODEBOOKS = 65536


def encode_sizes(sizes: tuple[int, ...]) -> str:
    """Runs ``"K*count,..."``, or ``"base64:"`` and 16 bits a position where shorter.

    Example:
        >>> encode_sizes((32,) * 512)
        '32*512'
        >>> decode_sizes(encode_sizes((16, 16, 65536)))
        (16, 16, 65536)
    """
    groups = itertools.groupby(sizes)
    runs = ",".join(f"{size}*{len(list(group))}" for size, group in groups)
    binary = (np.array(sizes) - 1).astype("<u2").tobytes()
    dense = "base64:" + base64.b64encode(binary).decode("ascii")
    return min(runs, dense, key=len)


def decode_sizes(text: str) -> tuple[int, ...]:
    """The inverse of :func:`encode_sizes`.

    Raises:
        ValueError: Another form, too many positions, or sizes out of range.
    """
    if text.startswith("base64:"):
        try:
            binary = base64.b64decode(text.removeprefix("base64:"), validate=True)
            sizes = (np.frombuffer(binary, "<u2").astype(int) + 1).tolist()
        except (ValueError, binascii.Error):
            raise ValueError(
                f"its codebook_sizes are unreadable: {short(text)}"
            ) from None
        runs = [(size, 1) for size in sizes]
    else:
        if not re.fullmatch(r"([0-9]{1,6}\*[0-9]{1,6},)*[0-9]{1,6}\*[0-9]{1,6}", text):
            raise ValueError(f"its codebook_sizes are unreadable: {short(text)}")
        pairs = (run.split("*") for run in text.split(","))
        runs = [(int(size), int(count)) for size, count in pairs]
    positions = sum(count for _, count in runs)
    if positions > MAX_CODEBOOKS:
        raise ValueError(
            f"it has {positions} codebooks; at most {MAX_CODEBOOKS} are read"
        )
    return check_codebook_sizes([size for size, count in runs for _ in range(count)])
