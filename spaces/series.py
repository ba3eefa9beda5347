"""Series that come with installed packages: where each lies, and how it is forecast by default."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownSeries:
    """One data set of one series or of many."""

    package: str  #: whose files it is among
    file: str  #: below the package's folder
    horizon: int  #: steps ahead that are forecast, unless the job says otherwise
    season: int | None  #: steps after which it repeats
    summary: str  #: for `gatesearch tasks`
    source: str  #: what to cite, and the licence


SERIES: dict[str, KnownSeries] = {
    "airline": KnownSeries(
        "aeon",
        "datasets/data/Airline/Airline.csv",
        12,
        12,
        "passengers of an airline, a year ahead; real, 144 months",
        "Box & Jenkins 1976, Time series analysis, series G; file of aeon (BSD-3)",
    ),
    "co2": KnownSeries(
        "statsmodels",
        "datasets/co2/co2.csv",
        12,
        12,
        "carbon dioxide on Mauna Loa, a year ahead; real, 452 months",
        "Keeling & Whorf 2004, CDIAC: means of the weeks of each month since May 1964, when no "
        "month lacks one (public domain); file of statsmodels (BSD-3)",
    ),
    "m1-yearly": KnownSeries(
        "aeon",
        "datasets/data/m1_yearly_dataset/m1_yearly_dataset.tsf",
        3,
        None,
        "181 yearly series of economics and demography in logarithms, 3 years ahead; real",
        "Makridakis et al. 1982, Journal of Forecasting 1 (M1); Godahewa et al. 2021, Monash "
        "archive, Zenodo 4656193 (CC BY 4.0); file of aeon (BSD-3)",
    ),
    "solar": KnownSeries(
        "aeon",
        "datasets/data/solar/solar.csv",
        12,
        48,
        "solar power of Great Britain, six hours ahead; real, 289 half hours",
        "Sheffield Solar, PV_Live: estimates of May 2021; file of aeon (BSD-3)",
    ),
    "sunspots": KnownSeries(
        "statsmodels",
        "datasets/sunspots/sunspots.csv",
        11,
        11,
        "sunspots, 11 years ahead; real, 309 years",
        "National Geophysical Data Center, NOAA: yearly means 1700 to 2008 (public domain); file "
        "of statsmodels (BSD-3)",
    ),
}
