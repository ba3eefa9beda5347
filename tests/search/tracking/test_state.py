"""The file in which a mirror records its state."""

from pathlib import Path

from search.tracking.state import StateFile, run_ids


def test_state_survives_a_torn_line_and_another_server(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.record_server("http://one", "1")
    file.record_run("search/rnn/0", "aaa")
    file.record_error("away")
    path = tmp_path / "tracking.jsonl"
    path.write_bytes(path.read_bytes()[:-9] + b"\xff")
    assert run_ids(tmp_path) == {"search/rnn/0": "aaa"}
    file = StateFile(tmp_path)
    file.record_run("search/rnn/1", "bbb")
    assert run_ids(tmp_path) == {"search/rnn/0": "aaa", "search/rnn/1": "bbb"}
    file.record_server("http://two", "1")
    assert run_ids(tmp_path) == {}
    path.write_text('[]\n"x"\n{"key": 1, "run_id": 2}\n{"key": "k", "run_id": "ccc"}\n')
    assert run_ids(tmp_path) == {"k": "ccc"}
