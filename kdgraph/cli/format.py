"""Plain text: tables and bytes."""

from collections.abc import Sequence


def human_bytes(count: int) -> str:
    """Bytes in decimal units.

    Example:
        >>> human_bytes(999), human_bytes(45_320), human_bytes(57_000_000_000)
        ('999 B', '45.3 kB', '57.0 GB')
    """
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell: the first to the left, others to the right.

    Example:
        >>> print(text_table(["method", "bytes"], [["full", "12"]]))
        method  bytes
        ------  -----
        full       12
    """
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [_line(cells[0], widths), _line(["-" * width for width in widths], widths)]
    lines += [_line(row, widths) for row in cells[1:]]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
