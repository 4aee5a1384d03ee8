"""Codes from a file of numpy's."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def read_code_file(path: Path) -> tuple[Tensor, list[int] | None]:
    """Read what :meth:`CodeTable.from_file` reads: codes, and sizes if there are any.

    Raises:
        ValueError: The file is missing, of another kind, or holds no integer codes.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"codes cannot be read from {path}: {error}") from error
    sizes: list[int] | None = None
    if isinstance(loaded, np.ndarray):
        array = loaded
    else:
        with loaded:
            if "codes" not in loaded:
                raise ValueError(f"{path} holds no array named 'codes'")
            array = loaded["codes"]
            if "codebook_sizes" in loaded:
                sizes = [int(size) for size in loaded["codebook_sizes"]]
    if array.dtype.kind not in "iu":
        raise ValueError(f"{path} holds codes of type {array.dtype}, expected integers")
    return torch.from_numpy(array.astype(np.int64)), sizes
