"""Results beside checkpoints in S3: readers find all of the former ones or all of the new ones."""

import itertools
from typing import Any

import pytest
from servers import S3

from trainables.checkpoints.base import CheckpointError
from trainables.checkpoints.s3 import S3Store

OLD = {"report.html": b"old", "best/model.onnx": b"old model", "verdict.json": b"{}"}
NEW = {"report.html": b"new", "best/model.onnx": b"new model" * 1_000}


class Killed(BaseException):
    """The writer has died: nothing of it goes on."""


class Mortal(S3Store):
    """A store whose writer dies at its next request but so many."""

    left: int = 1_000

    def _request(self, name: str, **asked: Any) -> Any:
        if self.left == 0:
            raise Killed
        self.left -= 1
        return super()._request(name, **asked)


def test_a_writer_that_dies_at_any_request_leaves_the_old_or_the_new_whole(s3: S3) -> None:
    bucket = s3.bucket()
    place = f"s3://{bucket}/team/vowels-1"
    S3Store(place).put("results", OLD)
    found = []
    for left in itertools.count():
        writer = Mortal(place)
        writer.left = left
        try:
            writer.put("results", NEW)
        except Killed:
            found.append(S3Store(place).get("results"))
            assert found[-1] in (OLD, NEW)
        else:
            break
    assert found[0] == OLD
    assert found[-1] == NEW
    assert S3Store(place).get("results") == NEW
    assert len(s3.keys(bucket)) == len(NEW) + 1, "what the dead have left is gone"
    assert {key.rpartition("/")[2] for key in s3.keys(bucket)} == {
        "report.html",
        "model.onnx",
        "manifest.json",
    }


def test_where_nothing_was_put_there_is_nothing_and_damage_is_found(s3: S3) -> None:
    bucket = s3.bucket()
    store = S3Store(f"s3://{bucket}/team/vowels-1")
    assert store.get("results") is None
    store.put("results", OLD)
    assert store.names() == []
    assert store.clean(keep=[]).removed_bytes == 0
    (key,) = (key for key in s3.keys(bucket) if key.endswith("report.html"))
    s3.client().put_object(Bucket=bucket, Key=key, Body=b"other")
    with pytest.raises(CheckpointError, match="another digest"):
        store.get("results")
