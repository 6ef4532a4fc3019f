"""The two forms of a network: plain, as published, and fast, the same function in shapes that suit CPU kernels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST

Form = Literal["plain", "fast"]
FORMS: tuple[Form, ...] = ("plain", "fast")


def preferred_form(device: torch.device | str, precision: str) -> Form:
    """Return the form that is faster on a device.

    Parameters
    ----------
    device : torch.device or str
        Where the network runs.
    precision : str
        ``"float32"`` or ``"bfloat16"``; both prefer the fast form on a CPU.

    Returns
    -------
    str
        ``"fast"`` on a CPU, ``"plain"`` elsewhere: the identities were chosen for CPU kernels and were not measured on
        other devices.

    Examples
    --------
    >>> preferred_form("cpu", "float32")
    'fast'
    """
    if precision not in ("float32", "bfloat16"):
        raise NetworkError(f"A precision is 'float32' or 'bfloat16': found {precision!r}.")
    return "fast" if torch.device(device).type == "cpu" else "plain"


def lay_out_for(network: nn.Module, device: torch.device | str, precision: str) -> None:
    """Put the weights of a network in plain form into the memory layout of a device; their values do not change.

    Notes
    -----
    The matrix units of a CUDA device take bfloat16 with the channels innermost, and convolutions follow the layout of
    their weights. Chosen by that reason; not measured.
    """
    if torch.device(device).type != "cuda" or precision != "bfloat16":
        return
    for weight in network.parameters():
        layout = CHANNELS_LAST.get(weight.ndim - 2)
        if layout is not None:
            weight.data = weight.data.contiguous(memory_format=layout)


def checked_form(form: str) -> Form:
    """Return ``form`` if it is one of the two.

    Raises
    ------
    NetworkError
        For any other word.
    """
    for known in FORMS:
        if form == known:
            return known
    raise NetworkError(f"A network's form is 'plain' or 'fast': found {form!r}.")


def lay_out(network: nn.Module, form: Form, *, spatial_dims: int) -> None:
    """Put a network's weights into the memory layout of a form; their values do not change.

    Notes
    -----
    In the fast form images are channels-last; weights that are not would be copied at every call.
    """
    layout = CHANNELS_LAST[spatial_dims] if form == "fast" else torch.contiguous_format
    network.to(memory_format=layout)  # type: ignore[call-overload]
