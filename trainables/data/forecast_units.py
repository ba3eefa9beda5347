"""The units in which figures of forecasts are told, where these are not those of the targets.

Shapes are suffixes: B series, H steps ahead; any dimensions may stand before them.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.forecast import Transform
from trainables.data.sequences import Sequences


@dataclass(frozen=True)
class ForecastUnits:
    """What makes figures of forecasts and targets those of the series' own values."""

    #: [..., B] what mase divides by; None where no metric asks for it.
    naive_error: Tensor | None = None
    #: [..., B, H] float64: the transformed values that a target of 0 stands for; None where values
    #: are not transformed, so that errors of targets are those of values.
    levels: Tensor | None = None
    deviation: float = 1.0  #: of targets: what a difference of 1 between them is of such values
    transform: Transform | None = None

    def told(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and targets [..., B, H] whose differences times `deviation` are told."""
        targets = targets.view_as(outputs)
        if self.levels is not None:
            outputs, targets = (self._values(each, self.levels) for each in (outputs, targets))
        if self.naive_error is None:
            return outputs, targets
        unit = self.naive_error.unsqueeze(-1)
        return outputs / unit, targets / unit

    def _values(self, forecasts: Tensor, levels: Tensor) -> Tensor:
        """Return values of the series, in units of the deviation; see transforms.undone."""
        found = levels + self.deviation * forecasts.double()
        sizes = found.abs().expm1()
        values = sizes * found.sign() if self.transform == "signed-log" else found.expm1()
        return values / self.deviation

    def chosen(self, at: Tensor) -> "ForecastUnits":
        """Return those of some forecasts, by their numbers."""
        errors, levels = self.naive_error, self.levels
        return replace(
            self,
            naive_error=None if errors is None else errors[at],
            levels=None if levels is None else levels[at],
        )

    def to(self, device: torch.device) -> "ForecastUnits":
        """Return them on another device."""
        errors, levels = self.naive_error, self.levels
        return replace(
            self,
            naive_error=None if errors is None else errors.to(device),
            levels=None if levels is None else levels.to(device),
        )


def units_of(
    sequences: Sequences, chosen: NDArray[np.int64] | slice = slice(None)
) -> ForecastUnits | None:
    """Return the units of the chosen forecasts; None where they are those of targets."""
    errors, levels = sequences.naive_error, sequences.levels(chosen)
    if errors is None and levels is None:
        return None
    _, deviation = sequences.y_scaling or (0.0, 1.0)
    return ForecastUnits(
        None if errors is None else torch.from_numpy(errors[chosen]),
        None if levels is None else torch.from_numpy(levels),
        float(deviation),
        None if sequences.series is None else sequences.series.transform,
    )
