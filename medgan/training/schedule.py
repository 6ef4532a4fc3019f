"""The learning rate as a pure function of the step."""

from __future__ import annotations

from medgan.errors import TrainingError


def rate_multiplier(step: int, *, steps: int, constant_fraction: float) -> float:
    """Return the factor on the learning rate: 1 at first, then falling linearly to 0.

    Parameters
    ----------
    step : int
        Steps already taken, from 0.
    steps : int
        Length of the whole training; from there on the factor is 0.
    constant_fraction : float
        Share of the training, in [0, 1], before the fall begins.

    Notes
    -----
    Zhu et al. 2017 keep the rate for 100 epochs and let it fall over 100 more: ``constant_fraction`` 0.5. A function of
    the step alone has no state to save, so a resumed training cannot get it wrong.

    Examples
    --------
    >>> [rate_multiplier(step, steps=4, constant_fraction=0.5) for step in range(5)]
    [1.0, 1.0, 1.0, 0.5, 0.0]
    """
    if steps < 1 or not 0.0 <= constant_fraction <= 1.0:
        raise TrainingError(
            f"A schedule needs at least 1 step and a constant fraction in [0, 1]: found {steps}, {constant_fraction}."
        )
    constant = constant_fraction * steps
    if step < constant:
        return 1.0
    if step >= steps:
        return 0.0
    return (steps - step) / (steps - constant)
