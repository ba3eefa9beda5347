"""What deploy/README.md says of backups is tried: saved, lost, restored elsewhere, gone on with."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from installed import alike, gatesearch, records, running
from manifests import DEPLOY
from servers import S3, Postgres, running_postgres, running_s3
from waiting import wait_until

from search.journal.postgres import PostgresReader

pytestmark = pytest.mark.slow
SECONDS = 1200.0  # a bound that only a hang reaches
JOB = """\
name: saved
task: {name: japanese-vowels}
arms: [rnn, gru]
space:
  depth: 1
  hidden_size: {choices: [8, 16]}
  learning_rate: {low: 1e-3, high: 3e-2, log: true}
training: {max_epochs: 6}
search: {trials: 2, seed: 3}
confirm: {finalists: 1, seeds: 1}
resources: {max_concurrent: 1}
"""
GUIDE = (DEPLOY / "README.md").read_text()


@contextmanager
def servers() -> Iterator[tuple[Postgres, S3]]:
    """A database and a store that nobody has used, with their passwords in the environment."""
    with (
        running_postgres() as database,
        running_s3() as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PGPASSWORD", database.password)
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield database, store


def copy(store: S3, bucket: str, folder: Path) -> None:
    """Copy what a bucket holds into a folder, beside what is there, as `aws s3 sync` does."""
    for key in store.keys(bucket):
        place = folder / key
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(ClientError):  # removed meanwhile
            store.client().download_file(bucket, key, str(place))


def job_file(folder: Path, url: str, bucket: str) -> None:
    folder.mkdir()
    storage = f"storage: {{study: '{url}', checkpoints: 's3://{bucket}/team'}}\n"
    (folder / "saved.yaml").write_text(JOB + storage)


def in_guide(program: str) -> list[str]:
    """Return the options that the guide gives a program, so that the guide is what is tried."""
    [line] = re.findall(rf"^    {program} (.*)$", GUIDE, re.M)
    options = [word for word in line.split() if word.startswith("--")]
    return [word for word in options if not word.startswith(("--file=", "--dbname="))]


def test_a_job_s_database_and_bucket_are_restored_elsewhere_and_it_goes_on(tmp_path: Path) -> None:
    alone, here, there = (tmp_path / name for name in ("alone", "here", "there"))
    alone.mkdir()
    (alone / "saved.yaml").write_text(JOB)
    gatesearch("run", "saved.yaml", cwd=alone, seconds=SECONDS)

    dump, kept = tmp_path / "studies.dump", tmp_path / "kept"
    with servers() as (database, store):
        url, bucket = database.database(), store.bucket()
        job_file(here, url, bucket)
        with running("run", "saved.yaml", cwd=here):
            wait_until(
                lambda: len(PostgresReader(url, "saved").read()) >= 8, "the journal has 8 groups"
            )
            copy(store, bucket, kept)
            command = [database.program("pg_dump"), *in_guide("pg_dump"), f"--file={dump}", url]
            subprocess.run(command, check=True)
            copy(store, bucket, kept)
    shutil.rmtree(here)  # the machine, the database and the store are gone

    with servers() as (database, store):
        url = database.database()
        options = [*in_guide("pg_restore"), f"--dbname={url}"]
        subprocess.run([database.program("pg_restore"), *options, dump], check=True)
        store.client().create_bucket(Bucket=bucket)
        for path in kept.rglob("*"):
            if path.is_file():
                store.client().upload_file(str(path), bucket, path.relative_to(kept).as_posix())
        before = len(PostgresReader(url, "saved").read())
        job_file(there, url, bucket)
        gatesearch("run", "saved.yaml", cwd=there, seconds=SECONDS)
        assert len(PostgresReader(url, "saved").read()) > before >= 8
        assert alike(records(there, "saved")) == alike(records(alone, "saved"))
