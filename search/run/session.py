"""From a job file to a finished job, in steps each of which may be the last before a crash.

job.yaml        written first, as the user wrote it, with a line that says where it came from
job.journal     everything that happens; `resume` goes on from here (or a database)
results.parquet, verdict.json, report.html, best/     written anew at the end
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from search.environment import joins_cluster
from search.job.commands import command
from search.job.folder import (
    BEST,
    JOB_FILE,
    MODELS,
    REPORT,
    check_own_checkpoints,
    check_same_job,
    check_unused,
    checkpoint_place,
    claim_checkpoints,
    has_job,
    store_job,
    stored_job,
)
from search.job.spec import JobSpec
from search.run.room import check_machine
from search.supervisor import uninterrupted
from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from trainables.data import redealing, tasks
from trainables.data.baselines import baselines
from trainables.data.formats import python_class
from trainables.data.scaling import scale_notes
from trainables.data.sequences import Data
from trainables.files import replacing_folder
from trainables.machine import memory_bytes
from trainables.patience import PATIENCE

if TYPE_CHECKING:
    from search.results.figures import Comparison
    from search.run.driver import Driver
    from search.tracking.mirror import Mirror

MOST_MEMORY = 2**46  #: bytes: no machine of a cluster has more
MIRROR_SECONDS = 60.0  #: how long a finished job waits for the tracking server


def load(path: Path) -> tuple[JobSpec, Data]:
    """Return a job and its data, both checked. Raises InputError; creates nothing."""
    job = JobSpec.load(path)
    try:
        data = tasks.load(job.task, job.base)
        redealing.check(data, job.confirm.design)
    except InputError as error:
        raise job.placed(error) from error
    if isinstance(job.task, OwnData) and job.task.data.is_class:
        again = tasks.load(job.task, job.base)
        if again.info.fingerprint != data.info.fingerprint:  # after its search it could not go on
            raise python_class.differs(job.task.data.file)
    checked = job.check(data.info)
    # What a cluster's workers have, or may have once it has grown, is not known here.
    checked.check_memory(MOST_MEMORY if joins_cluster() else memory_bytes())
    return checked, data


def notes(job: JobSpec, data: Data) -> list[str]:
    """Return sentences about settings that nothing reads, hard data, and what a design means."""
    left_out = [each.sentence for each in data.info.left_out]
    return [
        *job.warnings,
        *left_out,
        *scale_notes(data),
        *redealing.notes(data, job.confirm.design),
    ]


def begin(job: JobSpec, info: TaskInfo, path: Path, root: Path) -> Path:
    """Return the job's folder, made if need be, with job.yaml on disk.

    Raises InputError when another job has that name, or its storage, its servers for MLflow, its
    sampler or the job to start warm from cannot be used.
    """
    from search.journal.open import check
    from search.run import warm_start
    from search.tracking.mirror import servers_of

    folder = root / job.name
    for place in (folder, job.base):
        try:
            str(place).encode()
        except UnicodeEncodeError:  # Ray and the journal cannot name it
            rule, remedy = "the names of folders must be UTF-8", "rename it, or use another folder"
            raise InputError.of(repr(str(place)), rule, remedy) from None
    if has_job(folder):
        check_same_job(folder, job)
        if stored_job(folder).storage != job.storage:  # its limit was changed
            store_job(folder, job, path.name)
        return folder
    check_unused(folder)
    check_machine(job)
    check(job)
    servers_of(job.tracking)  # checked before anything is made
    warm_start.find(job, info, root)
    if "." in job.search.sampler:  # one of the user's own
        from search.study.samplers import check_sampler

        check_sampler(job)
    with uninterrupted():
        store_job(folder, job, path.name)
    return folder


def execute(
    job: JobSpec,
    data: Data,
    folder: Path,
    console: Console,
    *,
    trials: int = 0,
    seeds: int = 0,
    replicates: int = 0,
) -> bool:
    """Run what is left of a job and write its report and export; with an extension, add it first.

    Returns whether every arm has a complete trial and the best one is exported. Raises InputError
    and JournalError.
    """
    from search.journal.open import check, open_journal
    from search.results.inheritance import learned_from
    from search.run.driver import Driver
    from search.run.warm_start import inherit
    from search.tracking.mirror import start_mirrors
    from search.tracking.state import mirror_state

    check(job)
    with open_journal(job, folder) as journal:
        driver = Driver(
            job,
            data.info,
            journal,
            lambda: inherit(job, data, folder.parent),
            lambda begun: baselines(_data_of(begun, job, data)),
            (folder / JOB_FILE).read_text(encoding="utf-8"),
        )
        data = _data_of(driver.job, job, data)
        exported = True
        if trials or seeds or replicates:
            driver.extend(trials, seeds, replicates)
        if (learned := driver.job_state.learned_rates) is not None and not driver.finished:
            console.print(learned_from(learned), markup=False, highlight=False)
        if driver.job_state.phase == "done":
            again = command("extend", folder)
            console.print(f"{job.name} is finished: `{again}` adds budget.", markup=False)
            if not (folder / REPORT).exists():  # it ran in another root, its journal in a database
                show(conclude(folder), folder, console)
            if job.storage.study is not None:
                driver.record_late_runs(mirror_state(folder))
        else:
            if not driver.finished:
                check_machine(job)
            if not driver.finished and job.storage.checkpoints is None:
                begun = bool(driver.retention.kept())
                claim_checkpoints(folder, driver.job_state.job_id, begun=begun)
            mirrors = start_mirrors(folder, job.tracking, os.getpid())
            try:
                written = _finish(driver, data, folder, console)
            except Exception:
                for mirror in mirrors:
                    if mirror.ended or mirror.error is not None:
                        _tell_of_mirror(mirror, folder, console)
                raise
            driver.done()
            exported = written.problem is None
            show(written, folder, console)
            console.print("Waiting for the last figures to reach MLflow ...")
            for mirror in mirrors:
                if not mirror.wait(MIRROR_SECONDS):
                    _tell_of_mirror(mirror, folder, console)
            if job.storage.study is not None:  # readers elsewhere have no folder of the mirror's
                driver.record_runs(mirror_state(folder))
        return exported and all(driver.confirmation.best(arm.name, 1) for arm in job.arms)


def _data_of(begun: JobSpec, job: JobSpec, data: Data) -> Data:
    """Return the data of a job as it was begun; data: of the job as this version would begin it."""
    return data if begun.task == job.task else tasks.load(begun.task, begun.base)


def _finish(driver: "Driver", data: Data, folder: Path, console: Console) -> "Conclusion":
    """Run the trials that are left, and write what follows from them."""
    from search.run.lines import waits_shown
    from search.run.now import told_now
    from search.run.progress import shown
    from search.run.ray_runner import run_trials
    from search.run.shared_storage import publish_results

    leaving = None
    if driver.finished:
        _remove_unneeded(driver, folder)
    else:
        with shown(driver, console), told_now(driver, folder) as telling:
            leaving = run_trials(driver, data, folder, telling=telling)
    try:
        if driver.confirmation.replicates:
            from search.run.alone import measure_finalists, to_measure

            if leaving is not None:
                leaving.join()  # its processes would share the cores with what is measured
            if to_measure(driver):
                console.print("Measuring what the finalists cost, alone and in turn ...")
                measure_finalists(driver, data)
        with waits_shown(console):
            with uninterrupted():
                written = conclude(folder)
            publish_results(driver.job, folder, driver.job_state.job_id)
            return written
    finally:  # Ray that is left alone ends the process before the error is told
        if leaving is not None:
            leaving.join()


def _remove_unneeded(driver: "Driver", folder: Path) -> None:
    """Remove what a driver has left that was killed once all was trained."""
    from search.run.retention import remove_unneeded

    job, job_id = driver.job, driver.job_state.job_id
    with suppress(InputError):  # a link to another job's folder: what is there stays
        if job.storage.checkpoints is None:
            check_own_checkpoints(folder, job_id)
        remove_unneeded(driver.retention, checkpoint_place(job, folder, job_id))


def _tell_of_mirror(mirror: "Mirror", folder: Path, console: Console) -> None:
    """Say that a mirror outlives its job or has ended too early, if it is so, and why."""
    if mirror.complete:
        return
    cure = f"`{command('mirror', folder)}` fills it in."
    if mirror.ended:
        what = f"The mirror has ended before it had sent all; {cure}"
    else:
        pid = mirror.pid
        what = f"Process {pid} goes on trying for up to two minutes; after that {cure}"
    kept = "MLflow has not got everything yet. No result is lost: they are in the journal."
    console.print(f"{kept} {what} {mirror.error or ''}".rstrip(), markup=False)


@dataclass(frozen=True)
class Conclusion:
    """What is written at the end of a job, to be shown once the job is recorded as done."""

    figures: "Comparison"
    problem: str | None  #: why the best configuration, where there is one, was not exported


def conclude(folder: Path) -> Conclusion:
    """Write results.parquet, verdict.json, report.html, best/ and models/ from the journal.

    What stands in the way of an export (a checkpoint that was deleted, say) is reported and ends
    nothing. Raises OSError, with the file's name, where one cannot be written.
    """
    from search.export.export import export
    from search.report.files import write_files
    from search.results.read import read_results
    from trainables.export.onnx import ExportError

    found = read_results(folder, patience=PATIENCE)
    figures = write_files(found)
    problem = None
    if found.best() is not None:
        try:
            export(found, folder / BEST, force=True)
            with replacing_folder(folder / MODELS) as draft:
                for arm in filter(found.best, found.arms):
                    export(found, draft / arm, arm=arm)
        except (InputError, ExportError) as error:
            problem = str(error)
    return Conclusion(figures, problem)


def show(conclusion: Conclusion, folder: Path, console: Console) -> None:
    """Show the final table and what is to be known beside it."""
    from search.results import sentences
    from search.results.terminal import final_table

    figures = conclusion.figures
    console.print(final_table(figures))
    for arm in figures.arms:
        if arm.best is None and arm.too_slow:
            console.print(sentences.too_slow(figures, arm), markup=False, highlight=False)
    if more := sentences.pairs_to_add(figures):
        text = f"`{command('extend', folder)} --replicates {more}` goes on with the comparison."
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if conclusion.problem is not None:
        message = f"The best configuration was not exported.\n{conclusion.problem}"
        console.print(message, markup=False)
