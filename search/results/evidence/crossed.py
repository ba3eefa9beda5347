"""The mean difference of two arms over splits and test examples, both resampled.

Where the test part stays, replicates share its luck: more of them do not make it smaller. The
cross-bootstrap draws splits and examples anew, independently of each other (Owen 2007, "The
pigeonhole bootstrap", Annals of Applied Statistics 1). What its variance would be over endless
draws is computed here, so that nothing is drawn. It is for one look.
"""

import numpy as np
from scipy.special import stdtrit

from search.results.evidence.betting import Floats
from search.results.evidence.difference import Interval


def crossed_interval(differences: Floats, counts: Floats, level: float) -> Interval | None:
    """Return the interval of the mean over splits; None below two splits or two examples.

    differences: what each example adds to first - second on each split [split, example]. counts: of
    targets of each example [example]: a split's difference is a row's sum over that of the counts.

    The variance of the mean of a table is, by the cross-bootstrap, that of its rows' means over the
    number of rows, and so with columns, and the mean square of what is left over that of cells.
    """
    splits, examples = differences.shape
    if splits < 2 or examples < 2:
        return None
    own = differences.sum(axis=1) / counts.sum()
    # The quotient, linearised: a table whose rows have the splits' differences as their means.
    table = own[:, None] + (differences - own[:, None] * counts) / counts.mean()
    columns = table.mean(axis=0)
    left = table - own[:, None] - columns + own.mean()
    variance = (
        own.var(ddof=1) / splits + columns.var(ddof=1) / examples + (left**2).mean() / table.size
    )
    radius = stdtrit(min(splits, examples) - 1, 1 - level / 2) * np.sqrt(variance)
    return float(own.mean() - radius), float(own.mean() + radius)
