"""Series that come with installed packages, forecast as a user's own series are.

airline    Box & Jenkins' monthly passengers, 1949 to 1960
co2        carbon dioxide on Mauna Loa: monthly means of weekly values, May 1964 to 2001
m1-yearly  181 yearly series of the M1 competition, in natural logarithms: their levels differ
           by seven orders of magnitude
solar      half-hourly solar power of Great Britain, six days of May 2021
sunspots   yearly means, 1700 to 2008
"""

import csv
import importlib.util
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.series import SERIES
from spaces.tasks import Series
from trainables.data.formats import forecasting
from trainables.data.formats.ragged import Part, Ragged
from trainables.data.splits import Parts

_CO2_BEGINS = "196405"  #: from here on every month has a week with a value


@dataclass(frozen=True)
class _TaskPlaces:
    """Places of a built-in series: the user can change the task's options alone."""

    def whole(self, part: Part) -> str:
        """Return the place of all values of a part."""
        return "task"

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a series."""
        return f"task: series {sequence}"

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step."""
        return f"task: step {at}"


def load(spec: Series, base: Path) -> Parts:
    """Return the windows of a known series, or of many. Raises InputError."""
    values = read(spec.name)
    x = np.concatenate(values).astype(np.float32)[:, None]
    lengths = np.array([len(series) for series in values], np.int64)
    return forecasting.windows_of(spec, Ragged(x, lengths, _TaskPlaces()), x)


def read(name: str) -> list[list[float]]:
    """Return the values of each series of a task. Raises InputError where its package lacks."""
    path = _packaged(name)
    if name == "m1-yearly":
        with path.open(encoding="cp1252") as lines:
            rows = [line.rsplit(":", 1)[1] for line in lines if line.startswith("T")]
        return [[float(np.log(float(value))) for value in row.split(",")] for row in rows]
    with path.open(encoding="utf-8", newline="") as lines:
        table = [(row[0], row[1]) for row in list(csv.reader(lines))[1:]]
    if name == "co2":
        weeks = [(date[:6], float(value)) for date, value in table if value]
        months = groupby((week for week in weeks if week[0] >= _CO2_BEGINS), key=lambda w: w[0])
        return [[float(np.mean([value for _, value in month])) for _, month in months]]
    return [[float(value) for _, value in table]]


def _packaged(name: str) -> Path:
    """Return the file of a task in its installed package, without importing that."""
    known = SERIES[name]
    found = importlib.util.find_spec(known.package)
    for location in (found and found.submodule_search_locations) or ():
        file = Path(location, known.file)
        if file.is_file():
            return file
    raise InputError.of(
        "task.name",
        f"the {known.package} package must be installed: {name} is read from its file",
        f"install it with: pip install {known.package}",
    )
