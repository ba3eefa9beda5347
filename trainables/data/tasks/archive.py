"""Classifications of the UCR and UEA archives: .ts files of the aeon package, official test part.

The files are read as a user's own .ts files are, so that own data and these give equal results.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

from spaces.archived import ARCHIVED
from spaces.errors import InputError
from spaces.own_data import DataSection
from spaces.own_task import OwnData
from spaces.tasks import Archive
from trainables.data.formats import own
from trainables.data.splits import Parts


def load(spec: Archive, base: Path) -> Parts:
    """Return a task's official training part, dealt 75/25, and its official test part."""
    folder = ARCHIVED[spec.name].folder
    places = {
        key: str(packaged(folder, spec.name) / f"{folder}_{part}.ts")
        for key, part in (("file", "TRAIN"), ("test", "TEST"))
    }
    data = OwnData(kind="classification", data=DataSection(**places), seed=spec.seed)
    return replace(own.load(data, base), name=spec.name)


def packaged(data_set: str, task: str) -> Path:
    """Return where the installed aeon package keeps a data set, without importing it."""
    found = importlib.util.find_spec("aeon")
    for location in (found and found.submodule_search_locations) or ():
        folder = Path(location, "datasets", "data", data_set)
        if folder.is_dir():
            return folder
    raise InputError.of(
        "task.name",
        f"the aeon package must be installed: {task} is read from its files",
        "install it with: pip install 'aeon>=1.6'",
    )
