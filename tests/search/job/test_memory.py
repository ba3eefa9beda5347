"""Sizes that no memory holds are refused before anything is built, and told."""

from pathlib import Path

import pytest

from search.job.spec import JobSpec
from search.run import session
from spaces.errors import InputError
from trainables.data import tasks

HEAD = "name: big\ntask: {{name: adding, length: 5}}\narms: {}\nspace: {{{}}}\n"
MEMORY = 8 * 2**30

#: Arms, space, what the refusal names, and the unit of the size.
TOO_BIG = {
    "one size": ("[gru]", "hidden_size: 1000000000000000000", "hidden_size", "PiB"),
    "one of several": ("[gru]", "hidden_size: {choices: [8, 1000000]}", "size 1,000,000", "TiB"),
    "the end of a range": ("[rnn]", "hidden_size: {low: 8, high: 100000}", "size 100,000", "GiB"),
    "a depth": ("[rnn]", "depth: 1000000000, hidden_size: 1", "depth", "TiB"),
    "a depth of a range": ("[rnn]", "depth: {low: 1, high: 1000000000}", "1,000,000,000", "TiB"),
    "one arm's": ("[rnn, {name: big, cell: lstm, space: {depth: 1000000000}}]", "", "big", "TiB"),
    "a pooled arm's": ("[{name: any, cells: [rnn, lstm]}]", "hidden_size: 1000000", "any", "TiB"),
    "a transformer's": ("[transformer]", "hidden_size: 1000000", "hidden_size", "TiB"),
    "a budget": ("[gru]", "depth: 1, parameters: {target: 1000000000000}", "parameters", "TiB"),
    "a size beyond counting": ("[gru]", f"hidden_size: 1{'0' * 30}", "10^60", "PiB"),
}


def load(arms: str, space: str, folder: Path) -> JobSpec:
    job = JobSpec.loads(HEAD.format(arms, space), base=folder)
    return job.check(tasks.load(job.task, folder).info)


@pytest.mark.parametrize("case", TOO_BIG)
def test_a_size_that_no_memory_holds_is_refused_with_its_size(case: str, tmp_path: Path) -> None:
    arms, space, named, unit = TOO_BIG[case]
    job = load(arms, space, tmp_path)
    with pytest.raises(InputError, match=r"must fit into the 8\.0 GiB of memory") as raised:
        job.check_memory(MEMORY)
    assert named in str(raised.value) and unit in str(raised.value)


def test_what_fits_is_let_through(tmp_path: Path) -> None:
    job = load("[rnn, lstm, transformer, {name: any, cells: [gru, lstm]}]", "", tmp_path)
    job.check_memory(2**20)


@pytest.mark.parametrize("address", ["", "10.0.0.1:6379"])
def test_a_job_is_refused_for_this_machine_and_for_any_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    (tmp_path / "job.yaml").write_text(HEAD.format(*TOO_BIG["one size"][:2]))
    with pytest.raises(InputError, match=r"job.yaml:4: .*hidden_size"):
        session.load(tmp_path / "job.yaml")
