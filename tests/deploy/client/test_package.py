"""What is sent: the job file and its data, laid out as on the user's disk, and nothing else."""

import io
import os
import secrets
import zipfile
from pathlib import Path

import pytest

from deploy.client.package import pack
from deploy.errors import ClusterError


def contents(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "gestures.yaml").write_text("name: gestures\n")
    (tmp_path / "jobs" / "near.npz").write_bytes(b"near")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "far.npz").write_bytes(b"far")
    (tmp_path / "jobs" / "secret.txt").write_text("not asked for")
    return tmp_path


def test_a_job_file_alone_is_sent_alone(home: Path) -> None:
    package = pack(home / "jobs" / "gestures.yaml", [])
    assert package.job_path == "job/gestures.yaml"
    assert contents(package.content) == {"job/gestures.yaml": b"name: gestures\n"}


@pytest.mark.parametrize("data", ["near.npz", "../data/far.npz", "../jobs/./near.npz"])
def test_a_data_path_means_the_same_on_both_sides(home: Path, data: str, tmp_path: Path) -> None:
    package = pack(home / "jobs" / "gestures.yaml", [Path(data)])
    cluster = tmp_path / "cluster"
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        archive.extractall(cluster)
    there = (cluster / package.job_path).parent / data
    assert there.read_bytes() == (home / "jobs" / data).read_bytes()
    assert len(contents(package.content)) == 2


def test_same_content_has_the_same_bytes_and_name(home: Path) -> None:
    job = home / "jobs" / "gestures.yaml"
    first = pack(job, [Path("near.npz")])
    os.utime(job, (0, 0))
    assert pack(job, [Path("near.npz")]) == first
    (home / "jobs" / "near.npz").write_bytes(b"changed")
    assert pack(job, [Path("near.npz")]).name != first.name


def test_where_the_folder_lies_does_not_matter(home: Path) -> None:
    first = pack(home / "jobs" / "gestures.yaml", [Path("near.npz")])
    (home / "jobs").rename(home / "moved")
    assert pack(home / "moved" / "gestures.yaml", [Path("near.npz")]).digest == first.digest


def test_an_absolute_data_path_is_refused(home: Path) -> None:
    with pytest.raises(ClusterError, match="must be relative"):
        pack(home / "jobs" / "gestures.yaml", [home / "data" / "far.npz"])


def test_a_detour_is_refused(home: Path) -> None:
    with pytest.raises(ClusterError, match="at its beginning"):
        pack(home / "jobs" / "gestures.yaml", [Path("../data/../jobs/near.npz")])


def test_a_missing_data_file_is_refused(home: Path) -> None:
    with pytest.raises(ClusterError, match=r"nowhere.npz: the file must be readable") as refusal:
        pack(home / "jobs" / "gestures.yaml", [Path("nowhere.npz")])
    assert refusal.value.exit_code == 2


def test_what_is_too_large_is_refused_with_its_size(home: Path) -> None:
    (home / "jobs" / "near.npz").write_bytes(secrets.token_bytes(3_000_000))
    with pytest.raises(ClusterError, match="at most 1 MB packed, not 3 MB"):
        pack(home / "jobs" / "gestures.yaml", [Path("near.npz")], max_bytes=1_000_000)
