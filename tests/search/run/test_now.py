"""What a driver says of now: whole, for who watches, and nothing that anything depends on."""

import json
import os
from pathlib import Path

from driven import INFO, job

from search.journal.open import open_journal
from search.run.driver import Driver
from search.run.now import FILE_NAME, Telling, read_now, told_now
from search.run.tune_bridge import Bridge
from trainables.patience import show_wait


def test_a_driver_tells_which_worker_has_which_trials_and_what_it_waits_for(tmp_path: Path) -> None:
    spec = job(tmp_path)
    with open_journal(spec, tmp_path) as journal:
        driver = Driver(spec, INFO, journal)
        telling = Telling(driver, tmp_path)
        telling.tell()
        first = read_now(tmp_path)
        assert first is not None and (first.pid, first.slots) == (os.getpid(), [])
        assert first.could_begin > 0
        telling.bridge = Bridge(driver, lambda: {0.0: 1})
        while telling.bridge.suggest("slot") is None:
            pass  # the suggestion is being made on its thread
        show_wait(id(telling), "waiting for a store")
        try:
            telling.tell()
        finally:
            show_wait(id(telling), None)
        now = read_now(tmp_path)
        assert now is not None
        assert [keys[0].partition("/")[0] for keys in now.slots] == ["search"]
        assert "waiting for a store" in now.waits
        state = (tmp_path / FILE_NAME).stat()
        telling.tell()
        telling.tell()
        assert (tmp_path / FILE_NAME).stat().st_ino != state.st_ino  # the wait is over: once more


def test_what_cannot_be_written_or_read_is_let_be(tmp_path: Path) -> None:
    spec = job(tmp_path)
    with open_journal(spec, tmp_path) as journal:
        driver = Driver(spec, INFO, journal)
        (tmp_path / FILE_NAME).mkdir()  # in the way, as a full disk would be
        with told_now(driver, tmp_path) as telling:
            telling.tell()
        assert read_now(tmp_path) is None
        (tmp_path / FILE_NAME).rmdir()
        telling.tell()
        assert read_now(tmp_path) is not None, "what could not be written is written later"
        for text in ("", "[]", "[" * 100_000, json.dumps({"pid": "1"}), "x" * 2**21):
            (tmp_path / FILE_NAME).write_text(text)
            assert read_now(tmp_path) is None
        (tmp_path / FILE_NAME).unlink()
        (tmp_path / FILE_NAME).symlink_to("/etc/hostname")
        assert read_now(tmp_path) is None
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".now")]
