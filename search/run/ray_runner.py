"""Runs a job's trials on Ray Tune: on the cluster this process belongs to, or on this machine."""

import gc
import importlib
import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.environment import address_refused, joins_cluster
from search.job.folder import CHECKPOINTS, checkpoint_place
from search.job.spec import JobSpec
from search.journal.reason import with_cause_first
from search.run import ray_settings
from search.run.driver import Driver
from search.run.local_jobs import place_on_machine
from search.run.metrics import exported
from search.run.now import Telling
from search.run.retention import remove_unneeded, removing
from search.run.room import RoomWatch
from search.run.shared_folder import check_shared
from search.supervisor import bounded, tell_scratch
from trainables.data.redealing import pooled
from trainables.data.sequences import Data
from trainables.machine import read_cores
from trainables.scratch import ScratchFolder, remove_stale_folders

if TYPE_CHECKING:
    from ray.tune import Trainable, Tuner

    from search.run.tune_bridge import Bridge

#: Imported while Ray starts; pandas and pyarrow are most of what Tune needs.
_SLOW_IMPORTS = ("trainables.training.trainer", "pandas", "pyarrow")
JOIN_SECONDS = 50.0  #: that joining a cluster may take
MAX_TUNE_FAILURES = 5  #: of Tune itself, one after the other and without a report between them


def run_trials(
    driver: Driver,
    data: Data,
    folder: Path,
    worker: "type[Trainable] | None" = None,
    telling: Telling | None = None,
) -> threading.Thread:
    """Run everything that the job still asks for; return when all of it has ended.

    worker: what trains, made and called like trainables.worker.tune.Worker, which it is by default.
    telling: is told which worker has which trials in hand.

    Returns the thread in which Ray shuts down, to be joined. That takes a second or two, in which
    the caller can go on.

    Raises what the driver itself raised (a full disk, a second driver), and RunError where Ray does
    not run any more. A trial's fault raises nothing.

    Jobs that start a Ray of their own on one machine divide its cores, or wait for each other.
    """
    if joins_cluster():
        return _run_trials(driver, data, folder, worker, lambda: None, telling)
    with place_on_machine(driver.job) as place:
        if place.wait():
            driver.restart_clock()
        return _run_trials(driver, data, folder, worker, place.most, telling)


def _run_trials(
    driver: Driver,
    data: Data,
    folder: Path,
    worker: "type[Trainable] | None",
    most: Callable[[], int | None],
    telling: Telling | None,
) -> threading.Thread:
    """See run_trials. most: returns how many workers there may be at once, or None."""
    checkpoints = checkpoint_place(driver.job, folder, driver.job_state.job_id)
    if driver.job.storage.checkpoints is None:
        (folder / CHECKPOINTS).mkdir(exist_ok=True)
    remove_unneeded(driver.retention, checkpoints)
    ray_settings.set_settings(may_grow=joins_cluster())
    remove_stale_folders()  # of drivers that were killed: Ray never removes its session folders
    scratch = ScratchFolder(for_sockets=True)
    tell_scratch(scratch.path)
    try:
        with _elsewhere(folder):
            own = {} if joins_cluster() else _own_cluster(driver.job, data, scratch.path, most())
            _join_ray(own)
            check_shared(driver.job, folder)
            with removing(driver.unneeded, checkpoints), exported(driver, folder):
                workers = _Workers(driver.job, most)
                _fit(driver, data, checkpoints, scratch.path, worker, workers, telling)
    except BaseException:
        _leave(scratch)
        raise
    # A reference to an object of Ray's that is collected while Ray leaves would end the process.
    gc.collect()
    gc.disable()
    leaving = threading.Thread(target=_leave, args=(scratch,), name="ray-leaves")
    leaving.start()
    try:
        remove_unneeded(driver.retention, checkpoints)
    except BaseException:  # which Ray would end the process before it is told
        leaving.join()
        raise
    return leaving


def _leave(scratch: ScratchFolder) -> None:
    """Leave the cluster, end it if it is this job's own, and remove what it wrote."""
    import ray

    try:
        ray.shutdown()
    finally:
        gc.enable()
        scratch.remove()


@contextmanager
def _elsewhere(folder: Path) -> Iterator[None]:
    """Work in another folder.

    Ray puts the driver's working directory first on its workers' import path, where a folder
    named search/ or spaces/ of the user's would come before ours.
    """
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _own_cluster(
    job: JobSpec, data: Data, scratch: Path, most: int | None = None
) -> dict[str, Any]:
    """Return what ray.init needs to start a cluster for this job alone, on the loopback interface.

    Its workers start, and import what they train with, while the driver is importing too: at
    most so many where the job shares the machine. Raises DeviceError where the job needs a GPU and
    this machine has none that torch sees.
    """
    made_up: dict[str, Any] = {}
    gpus = job.resources.gpus
    if gpus:
        from trainables.worker.device import DeviceError, choose_device

        try:
            if choose_device(gpus) == "cpu":  # no GPU, which Ray is to count all the same
                made_up["num_gpus"] = math.ceil(gpus)
        except DeviceError:
            if not job.resources.cpu_trials:
                raise
            made_up["num_gpus"] = 0
    cores = read_cores().usable
    room = slots(job, {"CPU": float(cores)})
    ray_settings.set_for_own_cluster(room if most is None else min(room, max(1, most)))
    store = 2**28 + 3 * _bytes(data)
    return made_up | ray_settings.own_cluster_options(cores, str(scratch / "ray"), store)


def _join_ray(options: dict[str, Any]) -> None:
    """Connect to the cluster at RAY_ADDRESS, or start one with these options."""
    from search.run.ray_compat import start_own

    # Half of Ray's start is waiting. What is imported meanwhile has nothing of Ray's, whose modules
    # import each other in circles that two threads must not enter from two sides.
    imports = threading.Thread(target=_import, args=(_SLOW_IMPORTS,), daemon=True)
    imports.start()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    if options:
        start_own({"logging_level": logging.ERROR, "log_to_driver": False, **options})
    else:
        _join_cluster()
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own handler ends without a message
    imports.join()


def _join_cluster() -> None:
    """Connect to the cluster at RAY_ADDRESS; Ray itself tries for many minutes.

    Raises InputError where it cannot be joined.
    """
    import ray

    address = os.environ["RAY_ADDRESS"]
    slow = f"Ray has not joined it within {JOIN_SECONDS:.0f} s"
    too_slow = address_refused(address, slow)
    try:
        with bounded(JOIN_SECONDS, str(too_slow), too_slow.exit_code):
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise address_refused(address, str(error).partition("\n")[0]) from error


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        with suppress(ImportError):  # raised again where it is needed
            importlib.import_module(name)


def _fit(
    driver: Driver,
    data: Data,
    checkpoints: str,
    scratch: Path,
    worker: "type[Trainable] | None",
    workers: "_Workers",
    telling: Telling | None,
) -> None:
    """Run Tune until all is done, again where Tune itself fails at the fault of a trial.

    An actor that Ray ends for lack of memory does that: Tune's controller does not know the error.
    """
    from ray import tune

    from search.run.ray_compat import keep_credentials, use_prestarted_workers
    from search.run.tune_bridge import Bridge, RunError, shortened
    from trainables.worker.tune import Worker

    if joins_cluster():
        keep_credentials()
    else:
        use_prestarted_workers()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # trials' faults are in the results
    need = driver.job.resources
    trainable = tune.with_parameters(
        worker or Worker,
        data=data if driver.job.confirm.design == "seeds" else pooled(data),
        checkpoints=checkpoints,
        threads=max(1, int(need.cpus_per_trial)),
        packed=need.packed,
    )

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": need.cpus_per_trial, "GPU": config["gpus"]}])

    trainable = tune.with_resources(trainable, resources)
    failures = 0
    while not driver.finished:
        bridge = Bridge(driver, workers, may_grow=joins_cluster())
        if telling is not None:
            telling.bridge = bridge
        failed: Exception | None = None
        try:
            _tuner(trainable, bridge, scratch).fit()
        except Exception as error:
            failed = error
        if bridge.broken is not None:
            raise bridge.broken
        if failed is not None:
            reason = shortened(with_cause_first(str(failed.__cause__ or failed)))
            bridge.ended_all(reason)
            failures = 1 if bridge.reports else failures + 1
            if failures > MAX_TUNE_FAILURES:
                raise RunError(
                    f"Ray cannot run the trials: {reason} Nothing is lost: resume the job."
                ) from failed


def _tuner(trainable: Any, bridge: "Bridge", scratch: Path) -> "Tuner":
    from ray import tune

    from search.run.tune_bridge import BrokenStopper, JobScheduler, JobSearcher

    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=JobSearcher(bridge),
            scheduler=JobScheduler(bridge),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=bridge.driver.job.name,
            storage_path=tempfile.mkdtemp(prefix="tune-", dir=scratch),
            verbose=0,
            stop=BrokenStopper(bridge),
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )


class _Workers:
    """How many workers the cluster holds at once; looked up again every second, as it may grow."""

    def __init__(self, job: JobSpec, most: Callable[[], int | None]) -> None:
        """most: returns how many there may be, whatever the cluster holds; None for no limit."""
        self._job, self._most = job, most
        self._number: dict[float, int] = {}
        self._until = 0.0
        self._room = RoomWatch(job)

    def __call__(self) -> dict[float, int]:
        if time.monotonic() >= self._until:
            nodes = [node["Resources"] for node in _nodes() if node["Alive"]]
            self._number, most = workers(self._job, nodes), self._most()
            if most is not None:
                self._number = {gpus: min(n, max(1, most)) for gpus, n in self._number.items()}
            self._room.look(nodes)
            self._until = time.monotonic() + 1
        return self._number


def _nodes() -> list[dict[str, Any]]:
    import ray

    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def workers(job: JobSpec, nodes: list[dict[str, float]]) -> dict[float, int]:
    """Return how many workers nodes of the given Ray resources hold at once, at least one.

    They are counted by the GPUs of one. Only a job whose workers are packed has two kinds.
    """
    need = job.resources
    if not need.packed:
        total = Counter[str]()
        for node in nodes:
            total.update({name: node.get(name, 0.0) for name in ("CPU", "GPU")})
        return {need.gpus: slots(job, total)}
    with_gpu = [node for node in nodes if node.get("GPU")]
    gpu = sum(int(min(node["GPU"], _cpu_workers(job, node))) for node in with_gpu)
    found = {need.gpus: gpu}
    if need.cpu_trials:
        found[0.0] = sum(_cpu_workers(job, node) for node in nodes if not node.get("GPU"))
    # Where there is none yet, one is asked for: a cluster that grows then knows what is missing.
    return found if any(found.values()) else {need.gpus: 1}


def _cpu_workers(job: JobSpec, node: dict[str, float]) -> int:
    return int(node.get("CPU", 0.0) // job.resources.cpus_per_trial)


def slots(job: JobSpec, resources: Mapping[str, float]) -> int:
    """Return how many trials the given Ray resources hold at once: at least one.

    A packed worker counts as one: how many trials it takes is its own business.
    """
    need = job.resources
    room = float("inf") if need.max_concurrent is None else need.max_concurrent
    if need.cpus_per_trial:
        room = min(room, resources.get("CPU", 0.0) // need.cpus_per_trial)
    if need.gpus:
        room = min(room, resources.get("GPU", 0.0) / need.gpus + 1e-6)
    return max(1, int(min(room, 1e6)))


def _bytes(data: Data) -> int:
    """Return the bytes of a task's arrays; what parts share counts once."""
    arrays = {id(a): a for p in data.parts for a in (p.x, p.lengths, p.y, p.at) if a is not None}
    return sum(array.nbytes for array in arrays.values())
