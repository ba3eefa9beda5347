"""Whether all nodes of a Ray cluster see the folder that the job's trials write to."""

from pathlib import Path
from typing import Any

from search.job.folder import CHECKPOINTS
from search.job.spec import JobSpec
from spaces.fields import Fault
from spaces.text import listed
from trainables.files import draft_file, remove_stale_drafts

_MARK = "seen"  # a draft of a file that never comes about
_SECONDS = 60.0  # for a node to answer


def check_shared(job: JobSpec, folder: Path) -> None:
    """Raise InputError where trials of the job could not reach each other's checkpoints.

    To be called when Ray is connected. Nodes that join later find out by themselves.
    """
    if job.storage.checkpoints is not None:
        return
    if blind := blind_nodes(folder / CHECKPOINTS):
        rule = (
            f"{folder} must be on a volume that all nodes of the cluster share; "
            f"{listed(blind)} cannot see it"
        )
        remedy = (
            "put --root on a shared volume, or keep checkpoints in S3: "
            "storage: {checkpoints: s3://bucket/prefix}"
        )
        raise job.refusal([Fault(rule, remedy, ("storage", "checkpoints"))])


def blind_nodes(folder: Path) -> list[str]:
    """Return the addresses of nodes that have another disk where the driver has this folder.

    A node that does not answer in time is not among them: its trials fail with a reason instead.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]  # type: ignore[no-untyped-call]
    if not others:
        return []
    remove_stale_drafts(folder / _MARK)
    with draft_file(folder / _MARK) as (mark, _):
        look = ray.remote(num_cpus=0)(_exists)
        answers: dict[Any, str] = {}
        for node in others:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            answer = look.options(scheduling_strategy=strategy).remote(str(mark))
            answers[answer] = str(node["NodeManagerAddress"])
        done, late = ray.wait(list(answers), num_returns=len(answers), timeout=_SECONDS)
        for answer in late:
            ray.cancel(answer, force=True)
        return [answers[answer] for answer in done if not _true(answer)]


def _exists(path: str) -> bool:
    return Path(path).exists()


def _true(answer: Any) -> bool:
    import ray
    from ray.exceptions import RayError

    try:
        return bool(ray.get(answer))
    except RayError:
        return True  # the node has gone: nothing runs there
