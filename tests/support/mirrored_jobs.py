"""A finished job as its folder is mirrored: a written journal, and models of real trainings."""

import shutil
from pathlib import Path

from exported_jobs import small_job
from written_jobs import WrittenJob

from search.export.export import export
from search.job.folder import BEST, MODELS, TABLES

ARMS = ("rnn", "lstm")


def finished_job(folder: Path, trained: Path) -> WrittenJob:
    """Write a whole job to a folder, with an exported model of each arm; lstm has the best one.

    trained: an empty folder, in which the models are trained.
    """
    job = WrittenJob(folder)
    job.whole()
    small = small_job(trained, "vowels", arms=", ".join(ARMS))
    for arm in ARMS:
        small.add(arm)
        export(small.results, folder / MODELS / arm, arm=arm)
    shutil.rmtree(folder / BEST)
    shutil.copytree(folder / MODELS / "lstm", folder / BEST)
    (folder / TABLES).mkdir()
    (folder / TABLES / "arms.csv").write_text("arm,parameters\nrnn,12\nlstm,34\n")
    return job
