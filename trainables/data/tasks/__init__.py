"""The tasks: what a job file's `task` stands for, as arrays. NumPy only; imports no torch.

A built-in task is a section of the job file in spaces/tasks.py, a file here and a row in LOADERS.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spaces.archived import ARCHIVED
from spaces.kinds import METRICS
from spaces.own_task import OwnData
from spaces.series import SERIES
from spaces.tasks import TASKS, TaskInfo, TaskSpec
from trainables.data.formats import own
from trainables.data.moments import Moments
from trainables.data.scaling import check_range, filled, standardised
from trainables.data.sequences import Data, fingerprint
from trainables.data.splits import Parts
from trainables.data.tasks import (
    adding,
    archive,
    associative_recall,
    characters,
    chorales,
    copy_memory,
    digits,
    dyck,
    japanese_vowels,
    parity,
    series,
    symbolic,
    words,
)

__all__ = ["LOADERS", "Loader", "describe", "load", "scaling"]


@dataclass(frozen=True)
class Loader:
    """How a built-in task becomes arrays, and what to say about it."""

    load: Callable[[Any, Path], Parts]  #: takes its section of the job file and the job's folder
    split: str  #: which sequences are for training, validation and test
    source: str  #: what to cite
    #: Mean and deviation by which `load` scales the features, where it does; see scaling().
    scaling: Callable[[Any], Moments] | None = None
    standardise: bool = False  #: whether features are standardised as own data's are


GENERATED = "80/10/10 % of the examples"

#: One row for each built-in task of spaces.tasks.TASKS.
LOADERS: dict[str, Loader] = {
    "japanese-vowels": Loader(
        japanese_vowels.load,
        "180 training and 90 validation of the official 270, stratified; the official 370 for test",
        "Kudo, Toyama & Shimbo 1999, Pattern Recognition Letters 20; UCI; files of aeon (BSD-3)",
        japanese_vowels.scaling,
    ),
    "symbolic": Loader(
        symbolic.load,
        "70/15/15 % of the string in time order",
        "Cahuantzi, Chen & Güttel 2021, arXiv 2107.02248; LZW: Welch 1984, Computer 17",
    ),
    "characters": Loader(
        characters.load,
        "80/10/10 % of the text in its order, each paragraph once",
        "pydoc_data.topics, the language reference in Python's standard library (PSF licence)",
    ),
    "words": Loader(
        words.load,
        "80/10/10 % of the text in its order; the vocabulary is the training part's",
        "pydoc_data.topics, the language reference in Python's standard library (PSF licence)",
    ),
    "adding": Loader(
        adding.load,
        "80/10/10 % of the examples",
        "Hochreiter & Schmidhuber 1997, Neural Computation 9; form of Le 2015, arXiv 1504.00941",
    ),
    "digits": Loader(
        digits.load,
        "60/20/20 % of 1,797 digits, classes in proportion; parts share writers",
        "Alpaydin & Kaynak 1998, Optical recognition of handwritten digits, UCI (CC BY 4.0); "
        "file of scikit-learn (BSD-3)",
        standardise=True,
    ),
    "parity": Loader(parity.load, GENERATED, "Graves 2016, arXiv 1603.08983, section 3.1"),
    "associative-recall": Loader(
        associative_recall.load, GENERATED, "Ba et al. 2016, arXiv 1610.06258, section 4.1"
    ),
    "dyck-2": Loader(
        dyck.load, GENERATED, "Hewitt et al. 2020, arXiv 2010.07515; Suzgun et al. 2019"
    ),
    "copy-memory": Loader(
        copy_memory.load,
        GENERATED,
        "Hochreiter & Schmidhuber 1997, Neural Computation 9; form of Arjovsky, Shah & Bengio "
        "2016, arXiv 1511.06464, section 4.1",
    ),
    "bach-chorales": Loader(
        chorales.load,
        "60/20/20 % of 362 chorales; not the split of Boulanger-Lewandowski et al. 2012",
        "J. S. Bach; form of Boulanger-Lewandowski, Bengio & Vincent 2012, arXiv 1206.6392; files "
        "of music21 (BSD-3; of the scores by their encoders' leave, see its corpus/license.txt)",
    ),
    **{
        name: Loader(
            archive.load,
            "75/25 % of the official training part, classes in proportion; the official test part",
            f"{each.source}; UCR and UEA archives, files of aeon (BSD-3)",
            standardise=True,
        )
        for name, each in ARCHIVED.items()
    },
    **{
        name: Loader(
            series.load,
            "60/20/20 % of each series in time order; forecasts begin at every step of a part",
            each.source,
            standardise=True,
        )
        for name, each in SERIES.items()
    },
}


def load(spec: TaskSpec, base: Path) -> Data:
    """Return the data of a task, split; paths in the spec are relative to `base`.

    Equal specs give equal data. Raises InputError for data that breaks a rule; its place is the
    user's file and array ("gestures.npz: x"), or the field of a built-in task ("task.length").
    """
    parts = (
        own.load(spec, base) if isinstance(spec, OwnData) else LOADERS[spec.name].load(spec, base)
    )
    splits = (parts.train, parts.validation, parts.test)
    data = Data(
        TaskInfo(
            name=parts.name,
            kind=parts.kind,
            inputs=parts.inputs,
            outputs=parts.outputs,
            longest=max(int(split.lengths.max()) for split in splits),
            metric=spec.chosen_metric,
            fingerprint=fingerprint(*splits, whole=parts.dealing.by == "time"),
            labels=parts.labels,
            columns=parts.columns,
            missing=parts.missing,
            forecast=parts.forecast,
            left_out=parts.left_out,
            gaps=parts.gaps,
            vocabulary=parts.vocabulary,
            transform=parts.transform,
        ),
        *splits,
        dealing=parts.dealing,
    )
    data = filled(data)
    if isinstance(spec, OwnData):
        if spec.scaled_by != "none":
            data = replace(data, dealing=replace(data.dealing, scaling=spec.scaled_by))
            data = standardised(data)
            check_range(data, spec.data.file)
    elif LOADERS[spec.name].standardise:
        data = standardised(data)
    return data


def scaling(spec: TaskSpec, data: Data) -> Moments | None:
    """Return mean and deviation [features] by which a task's data was scaled, if it was.

    A model of this task takes raw features as (x - mean) / deviation.
    """
    if data.train.scaling is not None:
        return data.train.scaling
    found = None if isinstance(spec, OwnData) else LOADERS[spec.name].scaling
    return None if found is None else found(spec)


def describe() -> list[dict[str, Any]]:
    """Return the built-in tasks for `gatesearch tasks --json`, without loading any."""
    rows = []
    for name, section in TASKS.items():
        fields = section.model_json_schema()["properties"]
        rows.append(
            {
                "name": name,
                "kind": section.kind_of_task,
                "summary": section.summary_of(name),
                "metrics": [metric.name for metric in METRICS[section.kind_of_task]],
                "direction": METRICS[section.kind_of_task][0].direction,
                "split": LOADERS[name].split,
                "source": LOADERS[name].source,
                "options": {
                    option: {
                        "default": field.get("default"),
                        "required": "default" not in field,
                        "description": field.get("description", ""),
                    }
                    for option, field in fields.items()
                    if option != "name"
                },
            }
        )
    return rows
