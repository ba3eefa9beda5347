"""The end of a forecast's graph: its distribution, in the units of the data.

Shapes are suffixes: B series, N numbers of a step, H steps ahead, I inputs.
"""

import numpy as np
from numpy.typing import NDArray

from spaces.forecast import Forecast
from spaces.tasks import TaskInfo
from trainables.data.series import before
from trainables.export.onnx.graph import DOUBLE, END, FLOAT, Graph
from trainables.layers.forecast_head import FLOOR


def values(info: TaskInfo) -> NDArray[np.float32]:
    """Return [N * H] which outputs are values of the series (1), and which deviations (0)."""
    each = [float(info.ahead.is_value(number)) for number in range(info.ahead.numbers)]
    return np.repeat(np.array(each, np.float32), info.steps_ahead)


def add_relative(graph: Graph, x_TBI: str, last_BI: str, inputs: int) -> str:
    """Add what trainables.layers.forecast_head.as_relative does; return the inputs' name."""
    level_B1 = graph.cut(last_BI, 0, 1, axis=1, name="relative/level")
    level_1B1 = graph.add("Unsqueeze", level_B1, graph.ints(0), name="relative/levels")
    first = graph.cut(x_TBI, 0, 1, axis=2, name="relative/series")
    first = graph.add("Sub", first, level_1B1, name="relative/moved")
    if inputs == 1:
        return first
    others = graph.cut(x_TBI, 1, inputs, axis=2, name="relative/others")
    return graph.add("Concat", first, others, name="relative/inputs", axis=2)


def add_head(graph: Graph, read: str, info: TaskInfo) -> str:
    """Add what trainables.layers.forecast_head makes of a readout [B, N * H]; return its name."""
    forecast: Forecast = info.ahead
    if forecast.likelihood == "point":
        return read
    steps = info.steps_ahead
    first = graph.cut(read, 0, steps, axis=1, name="forecast/first")
    others = graph.cut(read, steps, info.outputs, axis=1, name="forecast/others")
    positive = graph.add("Softplus", others, name="forecast/positive")
    if forecast.likelihood == "gaussian":
        floor = graph.scalar(FLOOR)
        positive = graph.add("Add", positive, floor, name="forecast/deviation")
        return graph.add("Concat", first, positive, name="forecast/both", axis=1)
    gaps = graph.add("Concat", first, positive, name="forecast/gaps", axis=1)
    shape = graph.ints(-1, forecast.numbers, steps)
    gaps_BNH = graph.add("Reshape", gaps, shape, name="forecast/by_quantile")
    quantiles = graph.add("CumSum", gaps_BNH, graph.index(1), name="forecast/quantiles")
    return graph.add("Reshape", quantiles, graph.ints(-1, info.outputs), name="forecast/all")


def add_differences(graph: Graph, x_TBI: str, lag: int) -> str:
    """Add differences of feature 0 over `lag` steps, which the first ones lack; see data.series."""
    later = graph.cut(x_TBI, lag, END, axis=0, name="differences/later")
    earlier = graph.cut(x_TBI, 0, -lag, axis=0, name="differences/earlier")
    values, others = (
        graph.cut(later, begin, end, axis=2, name="differences/part")
        for begin, end in ((0, 1), (1, END))
    )
    earlier = graph.cut(earlier, 0, 1, axis=2, name="differences/before")
    apart = graph.add("Sub", values, earlier, name="differences/series")
    return graph.add("Concat", apart, others, name="differences/x", axis=2)


def add_levels(graph: Graph, series_TBI: str, lengths: str, info: TaskInfo) -> str:
    """Add the naive forecasts [B, H] that targets lie from; see trainables.data.series."""
    series_TB1 = graph.cut(series_TBI, 0, 1, axis=2, name="levels/series")
    series_BT1 = graph.add("Transpose", series_TB1, name="levels/series", perm=[1, 0, 2])
    series_BT = graph.add("Squeeze", series_BT1, graph.ints(2), name="levels/series")
    at_H = before(info.steps_ahead, info.ahead.lag)
    column_B1 = graph.add("Unsqueeze", lengths, graph.ints(1), name="levels/ends")
    at_BH = graph.add("Add", column_B1, graph.constant(at_H, "levels/before"), name="levels/at")
    return graph.add("GatherElements", series_BT, at_BH, name="levels/values", axis=1)


def add_units(
    graph: Graph, read: str, levels_BH: str, info: TaskInfo, scaling: tuple[float, float] | None
) -> str:
    """Add the units of the data to forecasts [B, N * H]: how far values lie from the naive ones.

    scaling: mean and deviation of the targets. Deviations are stretched and not moved.
    """
    apart = not values(info).all()
    if scaling is not None:
        mean, deviation = scaling
        read = graph.add("Mul", read, graph.scalar(deviation), name="output/scaled")
        shift = graph.scalar(mean)
        if apart:
            shift = graph.constant(values(info) * np.float32(mean), "output/means")
        read = graph.add("Add", read, shift, name="output/shifted")
    if info.ahead.numbers > 1:
        each = [levels_BH] * info.ahead.numbers
        levels_BH = graph.add("Concat", *each, name="output/each", axis=1)
    if apart:
        levels_BH = graph.add(
            "Mul", levels_BH, graph.constant(values(info), "output/values"), name="output/levels"
        )
    raised = graph.add("Add", read, levels_BH, name="output/raised")
    if info.transform is None:
        return raised
    wide = graph.add("Cast", raised, name="undone/wide", to=DOUBLE)
    size = wide if info.transform == "log" else graph.add("Abs", wide, name="undone/magnitude")
    grown = graph.add("Exp", size, name="undone/grown")
    found = graph.add("Sub", grown, graph.constant(np.array(1.0), "undone/one"))
    if info.transform == "signed-log":
        found = graph.add("Mul", graph.add("Sign", wide), found, name="undone/signed")
    return graph.add("Cast", found, name="undone/values", to=FLOAT)
