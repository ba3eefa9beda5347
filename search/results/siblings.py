"""Which other jobs have scored the test data that a job is judged by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.job.folder import JOURNAL
from search.journal.base import Group, JournalError
from search.journal.file import FileReader
from spaces.errors import InputError
from spaces.paths import in_home
from spaces.tasks import TASKS

#: Of a job file's task, what does not make it another one: how it is split and scored.
_APART = ("seed", "metric", "standardise", "scaling", "transform", "relative", "difference")


def task_key(task: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return what two jobs of one task have in common.

    task: that of a job file, as plain data. base: the folder that its path starts from.
    """
    plain = {name: value for name, value in task.items() if name not in _APART}
    match plain.get("data"):
        case str(file):
            return {**plain, "data": _resolved(file, base)}
        case {"file": str(file), **columns}:
            return {**plain, "data": {**columns, "file": _resolved(file, base)}}
    return plain


def _resolved(file: str, base: Path) -> str:
    return str((base / in_home(file)).resolve())


def also_scored(folder: Path, task: Mapping[str, Any], base: Path, fingerprint: str) -> list[str]:
    """Return the other jobs in a job's root that have scored test data of its task, by name.

    Of a task that generates its data, another seed gives other data. Journals in a database are
    not asked.
    """
    key = task_key(task, base)
    found = []
    for journal in sorted(folder.parent.glob(f"*/{JOURNAL}")):
        if journal.parent == folder:
            continue
        try:
            if _has_scored(FileReader(journal), key, fingerprint):
                found.append(journal.parent.name)
        except (JournalError, InputError, OSError):
            continue  # its own commands say what is wrong with it
    return found


def _has_scored(reader: FileReader, key: Mapping[str, Any], fingerprint: str) -> bool:
    groups = iter(reader.groups())
    first: Group = next(groups, [])
    job = next((record for record in first if record.get("record") == "job"), None)
    if job is None:
        return False
    same = fingerprint and job["task"].get("fingerprint") == fingerprint
    if not same and (_generated(key) or task_key(job["spec"]["task"], Path(job["base"])) != key):
        return False
    return any(
        record.get("record") in ("end", "test") and record.get("test") is not None
        for group in groups
        for record in group
    )


def _generated(key: Mapping[str, Any]) -> bool:
    return "data" not in key and TASKS[key["name"]].generated
