"""Optuna's studies of a job as its own tools read them: from the journal alone."""

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial

from search.journal.file import FileJournal
from search.study.journal_backend import JournalBackend


def stored_studies(folder: Path) -> dict[str, list[FrozenTrial]]:
    """Return the trials of every study in the journal of a job's folder, by the study's name."""
    with FileJournal(folder / "job.journal") as journal:
        storage = JournalStorage(JournalBackend(journal, journal.take_history()))
        return {
            name: optuna.load_study(study_name=name, storage=storage).get_trials()
            for name in optuna.get_all_study_names(storage)
        }
