"""Claims about clusters of several nodes that share no disk; run by test_shared_folder.py."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from driven import job

from search.run.shared_folder import blind_nodes, check_shared
from spaces.errors import InputError


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Ray cluster of two nodes on this machine, whose processes start in another folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("nodes"))
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        import ray
        from ray.cluster_utils import Cluster

        # Ray's Unix sockets lie deep below its folder and their paths may have 107 characters.
        folder = tempfile.mkdtemp(prefix="gs-", dir="/tmp")
        options = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
        options["temp_dir"] = folder
        patch.setenv("RAY_TMPDIR", folder)  # or Ray notes its address in /tmp/ray, if that exists
        Path(folder, "ray").mkdir()
        try:
            cluster = Cluster(
                initialize_head=True, head_node_args={**options, "include_dashboard": False}
            )
            try:
                cluster.add_node(**options)
                ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
                yield
            finally:
                ray.shutdown()
                cluster.shutdown()
        finally:
            shutil.rmtree(folder)


@pytest.mark.usefixtures("two_nodes")
def test_a_shared_folder_is_seen_by_all(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert blind_nodes(tmp_path / "checkpoints") == []
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.usefixtures("two_nodes")
def test_a_folder_that_another_node_cannot_see_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    # A path that means another folder in every process, as a path does on every node.
    elsewhere = Path("/proc/self/cwd")
    assert [path.name for path in elsewhere.iterdir()] == ["checkpoints"]
    with pytest.raises(InputError) as refused:
        check_shared(job(tmp_path), elsewhere)
    (problem,) = refused.value.problems
    assert problem.place.endswith("storage.checkpoints")
    assert "127.0.0.1 cannot see it" in problem.rule
    assert "s3://bucket/prefix" in problem.remedy
    assert list((tmp_path / "checkpoints").iterdir()) == []
    check_shared(job(tmp_path, storage={"checkpoints": "s3://bucket"}), elsewhere)
