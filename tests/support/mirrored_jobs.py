"""A finished job as its folder is mirrored: a written journal, and models of real trainings."""

import shutil
from pathlib import Path

from exported_jobs import small_job
from written_jobs import WrittenJob

from search.export.export import export
from search.job.folder import BEST, MODELS, TABLES
from search.tracking.database import DATABASE
from search.tracking.follower import Follower
from search.tracking.mlflow_compat import environment

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


def mirror_here(folder: Path, uri: str | None = None, *, rebuild: bool = False) -> int:
    """Mirror a journal once, in this process: to the runs folder's database, or to a URI."""
    with environment():
        address = uri or f"sqlite:///{folder.parent / DATABASE}"
        follower = Follower(folder, address, None, None, 0.0)
        follower.rebuild = rebuild
        return follower.run()
