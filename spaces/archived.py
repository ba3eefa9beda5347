"""Tasks of the UCR and UEA archives that come with the aeon package: what each is about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archived:
    """One data set, with official training and test part."""

    folder: str  #: of the package's data
    summary: str  #: for `gatesearch tasks`
    source: str  #: what to cite


ARCHIVED: dict[str, Archived] = {
    "acsf1": Archived(
        "ACSF1",
        "ten household appliances by their power consumption; real, 1,460 steps",
        "Gisler et al. 2013, Appliance consumption signature database (ACS-F1)",
    ),
    "arrow-head": Archived(
        "ArrowHead",
        "three kinds of projectile points by their outline; real, 251 steps",
        "Ye & Keogh 2009, Time series shapelets, KDD",
    ),
    "basic-motions": Archived(
        "BasicMotions",
        "standing, walking, running or badminton by a watch's six sensors; real, 100 steps",
        "Bagnall et al. 2018, The UEA multivariate archive, arXiv 1811.00075",
    ),
    "gun-point": Archived(
        "GunPoint",
        "whether a hand draws a gun or points, by its position; real, 150 steps",
        "Ratanamahatana & Keogh 2005, Three myths about dynamic time warping, SDM",
    ),
    "italy-power-demand": Archived(
        "ItalyPowerDemand",
        "winter or summer by a day's power demand; real, 24 steps",
        "Keogh et al. 2006, Intelligent icons, ICDM",
    ),
    "osu-leaf": Archived(
        "OSULeaf",
        "six kinds of leaves by their outline; real, 427 steps",
        "Gandhi 2002, Content-based image retrieval: plant species identification, Oregon State",
    ),
    "pickup-gesture": Archived(
        "PickupGestureWiimoteZ",
        "ten gestures by a remote control's acceleration; real, of many lengths",
        "Guna, Humar & Pogačnik 2014, Intuitive gesture based user identification system, TSP",
    ),
}
