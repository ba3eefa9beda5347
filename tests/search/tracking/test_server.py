"""Where a server's files may be written."""

from pathlib import Path

import pytest

from search.tracking.database import DATABASE
from search.tracking.errors import RefusedError
from search.tracking.mlflow_compat import open_client
from search.tracking.run import DataSet, MlflowRun
from search.tracking.server import Server
from search.tracking.state import JOB_KEY, StateFile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*")


@pytest.mark.parametrize(
    ("address", "location", "reason"),
    [
        ("http://host", "file:///etc", "--serve-artifacts"),
        ("http://host", "/etc", "--serve-artifacts"),
        ("http://host", "./mlruns", "--serve-artifacts"),
        ("sqlite:///mlflow.db", "file:///etc", "must store its files in"),
    ],
)
def test_places_that_the_server_chose_are_never_written_to(
    root: Path, address: str, location: str, reason: str
) -> None:
    client = open_client(f"sqlite:///{root / DATABASE}")
    client.create_experiment("gatesearch/vowels", location)
    server = Server(address, root, StateFile(root), lambda _: client)
    server.connect("vowels", "id")
    server.send(MlflowRun(JOB_KEY, "vowels", 1, {}, {}), DataSet("data", "digest", "{}", "{}"))
    (root / "job.yaml").write_text("name: vowels\n")
    with pytest.raises(RefusedError, match=reason):
        server.store_file(root / "job.yaml")
