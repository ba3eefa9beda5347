"""What is refused before anything is written, and what a job leaves in its folder."""

import io
import json
import os
import socket
from dataclasses import asdict, replace
from pathlib import Path

import driven
import numpy as np
import pytest
from driven import INFO, Workers
from rich.console import Console
from server_process import free_ports
from waiting import wait_until
from written_jobs import WrittenJob

from search.job.folder import stored_job
from search.job.spec import JobSpec
from search.journal.base import encode
from search.journal.file import FileReader
from search.journal.open import open_journal
from search.journal.records import check_task
from search.report.page import write_report
from search.results.read import Results, read_results
from search.run import session
from search.run.driver import Driver
from search.run.session import begin, execute
from search.tracking.mirror import start_mirror
from search.tracking.state import mirror_state
from spaces.errors import InputError
from spaces.own_task import OwnData
from trainables.data import tasks


def test_series_that_are_left_out_are_told_first_and_in_the_report(tmp_path: Path) -> None:
    rows = [f"{name},{at},{at % 5}" for name, n in (("a", 60), ("b", 10)) for at in range(n)]
    (tmp_path / "own.csv").write_text("\n".join(["shop,day,sold", *rows]) + "\n")
    section = "data: {file: own.csv, id: shop, time: day, target: sold}"
    text = f"name: short\ntask: {{kind: forecasting, horizon: 2, window: 6, {section}}}\n"
    (tmp_path / "job.yaml").write_text(text + "arms: [gru]\nconfirm: {design: seeds}\n")
    job, data = session.load(tmp_path / "job.yaml")
    (note,) = [note for note in session.notes(job, data) if "too short" in note]
    assert note.startswith("1 of 2 series is too short") and note.endswith(
        "training part, and is not in it: b"
    )
    info = check_task(json.loads(json.dumps(asdict(data.info))))
    write_report(Results(tmp_path, job, info, [], "search"), tmp_path / "report.html")
    assert note in (tmp_path / "report.html").read_text()


def test_a_folder_whose_name_is_no_utf_8_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """As an old archive leaves it: neither Ray nor the journal could name it."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6\xdfe"))
    odd.mkdir()
    for base, root in ((odd, tmp_path / "runs"), (tmp_path, odd)):
        with pytest.raises(InputError, match="must be UTF-8"):
            begin(driven.job(base), INFO, base / "job.yaml", root)
    assert [path for path in tmp_path.rglob("*") if path != odd] == []


def test_a_job_without_a_file_of_its_own_is_kept_by_its_values(tmp_path: Path) -> None:
    job = driven.job(tmp_path)
    folder = begin(job, INFO, tmp_path / "job.yaml", tmp_path / "runs")
    assert stored_job(folder).dump() == job.dump()


def test_a_finished_job_of_another_root_gets_its_report_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    """Its journal is in a database, where it is known by its name."""
    job = driven.job(tmp_path)
    folder = begin(job, INFO, tmp_path / "job.yaml", tmp_path / "runs")
    driven.drive(job, folder)
    with open_journal(job, folder) as journal:
        Driver(job, INFO, journal).done()
    data = replace(tasks.load(job.task, job.base), info=INFO)
    console = Console(file=io.StringIO(), width=200)
    execute(job, data, folder, console)
    assert (folder / "report.html").is_file() and (folder / "results.parquet").is_file()


@pytest.mark.parametrize("linked", [False, True])
def test_what_was_left_by_a_driver_killed_after_all_training_goes_unless_it_is_another_jobs(
    tmp_path: Path, linked: bool
) -> None:
    job = driven.job(tmp_path)
    folder, place = tmp_path / "job", tmp_path / "job" / "checkpoints"
    folder.mkdir()
    if linked:
        (tmp_path / "other").mkdir()
        place.symlink_to(tmp_path / "other")
    orphan = place / "search-gru-0-g1-e77"
    orphan.mkdir(parents=True)
    driven.drive(job, folder)
    with open_journal(job, folder) as journal:
        driver = Driver(job, INFO, journal)
        assert driver.finished
        session._remove_unneeded(driver, folder)
    assert orphan.is_dir() == linked


OWN = """name: own
task: {kind: regression, data: own.npz}
arms: [rnn, gru]
training: {max_epochs: 3}
search: {trials: 2}
confirm: {seeds: 1}
"""


def own_job(folder: Path, text: str = OWN) -> JobSpec:
    """A job on data of which everything is off scale."""
    rng = np.random.default_rng(0)
    y = 300 + 60 * rng.random(20)
    np.savez(folder / "own.npz", x=rng.normal(size=(40, 2)), lengths=[2] * 20, y=y)
    return JobSpec.loads(text, base=folder)


def finished(job: JobSpec, root: Path, *, earlier: bool) -> Results:
    """Return the results of a finished job, concluded now; earlier: begun by an earlier version."""
    data = tasks.load(job.task, job.base)
    folder = begin(job, data.info, job.base / "job.yaml", root)
    with open_journal(job, folder) as journal:
        driver = Driver(job, data.info, journal)
        Workers(driver, value=lambda work, epoch: 1 / (epoch + 1)).run()
        driver.done()
    if earlier:
        groups = FileReader(folder / "job.journal").read()
        for record in (record for group in groups for record in group):
            record.get("spec", {}).get("task", {}).pop("standardise", None)
        (folder / "job.journal").write_bytes(b"".join(map(encode, groups)))
    execute(job, data, folder, Console(file=io.StringIO()))
    return read_results(folder)


def test_own_data_is_standardised_in_new_jobs_and_never_in_those_of_before(tmp_path: Path) -> None:
    """Which shows in the baseline: its loss is in standardised units, its mse in the data's."""
    now, before = (
        finished(own_job(tmp_path), tmp_path / str(earlier), earlier=earlier)
        for earlier in (False, True)
    )
    assert isinstance(now.job.task, OwnData) and isinstance(before.job.task, OwnData)
    assert (now.job.task.standardise, before.job.task.standardise) == (True, False)
    (unit,), (raw,) = now.baselines, before.baselines
    assert raw.test["loss"] == raw.test["mse"] == pytest.approx(unit.test["mse"], rel=1e-4)
    assert unit.test["loss"] < raw.test["loss"] / 100


def test_a_job_of_before_may_say_that_its_data_stays_and_never_that_it_changes(
    tmp_path: Path,
) -> None:
    finished(own_job(tmp_path), tmp_path / "runs", earlier=True)
    data = tasks.load(own_job(tmp_path).task, tmp_path)
    folder = tmp_path / "runs" / "own"
    for said in ("false", "true"):
        job = own_job(tmp_path, OWN.replace("own.npz", f"own.npz, standardise: {said}"))
        with open_journal(job, folder) as journal:
            if said == "false":
                assert Driver(job, data.info, journal).job.dump() == job.dump()
            else:
                with pytest.raises(InputError, match="must be as it was when it was started"):
                    Driver(job, data.info, journal)


def test_a_run_says_which_mirror_it_leaves_behind_and_which_ended_too_early(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels", pid=os.getpid(), host=socket.gethostname())
    console = Console(file=io.StringIO(), width=500)
    mirror = start_mirror(job.folder, f"http://127.0.0.1:{free_ports(1)[0]}", os.getpid())
    try:
        wait_until(lambda: mirror_state(job.folder).error is not None, "the server is missed")
        session._tell_of_mirror(mirror, job.folder, console)
    finally:
        mirror.stop()
    session._tell_of_mirror(mirror, job.folder, console)
    alive, ended = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert f"Process {mirror.pid} goes on trying for up to two minutes" in alive
    assert "The mirror has ended before it had sent all" in ended and "Process" not in ended
    for told in (alive, ended):
        assert "connection refused" in told.lower() and "gatesearch mirror vowels --root" in told


def test_of_a_mirror_that_ended_with_everything_sent_nothing_is_said(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels", pid=os.getpid(), host=socket.gethostname())
    console = Console(file=io.StringIO())
    job.whole()
    mirror = start_mirror(job.folder, None, os.getpid())
    try:
        wait_until(lambda: mirror.ended, "the mirror ends with its job")
        session._tell_of_mirror(mirror, job.folder, console)
    finally:
        mirror.stop()
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
