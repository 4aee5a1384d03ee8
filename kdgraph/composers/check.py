"""Checking codes that a composer is given."""

import torch
from torch import Tensor


def check_codes(codes: Tensor, codebook_sizes: tuple[int, ...], owner: str) -> None:
    """Check codes ``[*, D]``; their range on the CPU only, outside compiled code.

    Raises:
        TypeError: Codes that are not integers.
        ValueError: A last axis that is not D.
        IndexError: A code at or above its alphabet.
    """
    positions = len(codebook_sizes)
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise TypeError(f"{owner} expects integer codes, got {codes.dtype}")
    if codes.dim() == 0 or codes.size(-1) != positions:
        raise ValueError(
            f"{owner} expects codes [*, {positions}], got shape {tuple(codes.shape)}"
        )
    if codes.device.type != "cpu" or torch.compiler.is_compiling():
        return
    sizes = torch.tensor(codebook_sizes)
    if codes.numel() and bool(((codes < 0) | (codes >= sizes)).any()):
        raise IndexError(
            f"{owner} expects codes in [0, K_j) with K = {codebook_sizes}, got "
            f"values from {int(codes.min())} to {int(codes.max())}"
        )
