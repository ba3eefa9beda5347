"""What may be removed: at every place from which the product removes, nothing that is not its own.

A row of PLACES makes a folder with something that goes. The test adds what is foreign: files and
folders, links that lead outside, names that are nearly ours, links that have our names.
"""

import ast
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import driven
import pytest

from deploy.client import archive, send
from search.export.folder import CARD, FILES, replacing_export
from search.job.folder import store_job
from search.run.clean import clean
from search.run.local_jobs import place_on_machine
from search.tracking import database
from trainables.cache import Cache
from trainables.checkpoints.local import LocalStore
from trainables.files import beside, remove_stale_drafts, replace_file, replacing_folder
from trainables.scratch import ScratchFolder, remove_stale_folders

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("spaces", "trainables", "search", "deploy")
REMOVERS = {"rmtree", "unlink", "rmdir", "remove", "removedirs", "delete_object", "delete_objects"}

OURS = "search-lstm-0-g1-e9"
HEX = "0123456789abcdef" * 2


@dataclass
class Scene:
    """A folder in which something of ours lies, and what removes it."""

    folder: Path
    act: Callable[[], object]
    gone: list[Path]  #: what is ours, and removed
    near: list[str] = field(default_factory=list)  #: foreign names that are nearly ours
    linked: list[str] = field(default_factory=list)  #: our names, of foreign links


def filled(folder: Path, name: str = "file") -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_text(f"in {folder.name}")
    return folder


def exported(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text("former")
    return folder


def _clean(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp / "checkpoints"
    old, draft = filled(folder / OURS), filled(folder / f".{OURS}.{HEX}")
    inner = filled(folder / f"..{OURS}.{HEX}.{HEX}")
    return Scene(
        folder,
        lambda: LocalStore(folder).clean({"search-gru-0-g1-e9"}),
        [old, draft, inner],
        near=["search-lstm", "search-lstm-0", f"{OURS}.bak", f"my-{OURS}", f".notes.{HEX}", "best"],
        linked=["search-gru-1-g1-e9", f".search-gru-1-g1-e9.{HEX}"],
    )


def _delete(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp / "checkpoints"
    old = filled(folder / OURS)

    def act() -> None:
        LocalStore(folder).delete(OURS)
        LocalStore(folder).delete("search-gru-1-g1-e9")

    return Scene(folder, act, [old], near=[f"{OURS}0"], linked=["search-gru-1-g1-e9"])


def _clean_job(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    folder, job = tmp / "runs" / "driven", driven.job(tmp)
    store_job(folder, job, "job.yaml")
    state = driven.drive(job, folder)
    names = {name for trial in state.trials.values() for name in trial.checkpoints}
    kept = {trial.checkpoints[-1] for trial in state.trials.values() if trial.phase == "search"}
    near = [f"{max(names)}0", OURS + ".bak"]
    link = "search-gru-99-g1-e9"
    unneeded = [filled(folder / "checkpoints" / name) for name in names - kept]
    return Scene(
        folder / "checkpoints", lambda: clean(folder), [*unneeded], near=near, linked=[link]
    )


def _scratch(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    folder = tmp / f"gatesearch-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    stale = filled(folder / "0123abcd")
    (folder / "0123abcd.lock").touch()
    (folder / "89abcdef.lock").touch()  # of a folder that is a link: neither goes

    def act() -> None:
        with ScratchFolder() as living:
            remove_stale_folders()
            assert living.path.is_dir()

    near = ["89abcdee", "0123abcde", "2026", "best.lock", "gatesearch-1-x"]
    return Scene(folder, act, [stale, folder / "0123abcd.lock"], near, linked=["89abcdef"])


def _temporary(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    near = ["gatesearch-2026-best", "gatesearch-1-x", "gatesearch-99999999-abcdefgh"]
    (tmp / "gatesearch-1-y").symlink_to("/nonexistent")
    return Scene(tmp, remove_stale_folders, [], near)


def _file(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    draft = tmp / "runs" / f".report.html.{HEX}"
    draft.parent.mkdir()
    draft.touch()
    return Scene(
        draft.parent,
        lambda: replace_file(draft.parent / "report.html", b"new"),
        [draft],
        near=[".report.html.old", f"report.html.{HEX}", f".report.html.{HEX}0", f".other.{HEX}"],
        linked=[f".report.html.{HEX[::-1]}"],
    )


def _folder(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp / "runs"
    former = filled(folder / "made" / "old")
    draft = filled(folder / f".made.{HEX}")
    aside = filled(Path(f"{beside(folder / 'made')}.old"))

    def act() -> None:
        remove_stale_drafts(folder / "made")
        with replacing_folder(folder / "made"):
            pass

    near, linked = [f".made.{HEX}x"], [f".made.{HEX[::-1]}"]
    return Scene(folder, act, [former, draft, aside], near, linked)


def _one_export(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = exported(tmp / "best")

    def act() -> None:
        with replacing_export(folder) as draft:
            (draft / "new").touch()

    gone = [folder / name for name in FILES]
    return Scene(folder, act, gone, near=["config.yaml.bak", "1-lstm-0"], linked=["data"])


def _several_exports(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp / "exports"
    former = exported(folder / "1-lstm-0")

    def act() -> None:
        with replacing_export(folder) as draft:
            exported(draft / "1-gru-0")

    gone = [former / name for name in FILES]
    return Scene(folder, act, gone, near=["2-lstm-0", "lstm-0"], linked=["3-lstm-0"])


def _inside_an_export(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = _several_exports(tmp, monkeypatch)
    scene.folder = scene.folder / "1-lstm-0"
    return scene


def _cache(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("GATESEARCH_CACHE", str(tmp / "cache"))
    cache, folder = Cache("kernels", max_entries=2), tmp / "cache" / "kernels"
    cache.store("old", b"code")
    draft = folder / f".{HEX[:16]}"
    draft.touch()
    for path in (folder / "old", draft):
        os.utime(path, (1_000, 1_000))

    def act() -> None:
        for number in range(4):
            cache.store(f"key{number}", b"code")

    gone = [folder / "old", draft]
    return Scene(folder, act, gone, near=["key9", f".{HEX[:15]}"], linked=["key8"])


def _jobs(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("GATESEARCH_CACHE", str(tmp / "cache"))
    folder = tmp / "cache" / "jobs"
    folder.mkdir(parents=True, mode=0o700)
    killed = folder / f".job.{HEX}"
    killed.write_text("{}")

    def act() -> None:
        with place_on_machine(driven.job(tmp)) as place:
            assert place.most() is None

    near = [f".job.{HEX}0", f"job.{HEX}", f".jobs.{HEX}"]
    return Scene(folder, act, [killed], near, linked=[f".job.{HEX[::-1]}"])


def _database(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    root = tmp / "runs"
    stale = filled(root / f".mlflow.db.{HEX}")
    monkeypatch.setattr(database._EMPTY, "load", lambda key: None)
    monkeypatch.setattr(database._EMPTY, "store", lambda key, content: None)
    monkeypatch.setattr(database, "make_database", lambda uri: Path(uri[10:]).write_bytes(b"new"))

    def act() -> None:
        monkeypatch.chdir(root)
        database.prepare(root)

    return Scene(root, act, [stale], near=[".mlflow.db-abc", "mlflow.db.bak"])


def _fetched(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    cluster, root = tmp / "cluster" / "vowels", tmp / "runs"
    for folder, journal in ((root / "vowels", "1\n"), (cluster, "1\n2\n")):
        filled(folder / "best", CARD)
        (folder / "job.journal").write_text(journal)
    stale = filled(root / ".fetch-vowels-abcd1234" / "new").parent

    def act() -> None:
        with tempfile.TemporaryFile() as spool:
            pieces = (f"{line}\n" for line in send.lines_of(cluster))
            archive.unpack(spool, archive.read(pieces, "cluster", spool), root, "vowels")
        assert (root / "vowels" / "job.journal").read_text() == "1\n2\n"

    return Scene(root / "vowels", act, [stale], near=["best.bak", OURS], linked=["checkpoints"])


def _beside_a_fetched_folder(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = _fetched(tmp, monkeypatch)
    scene.folder = scene.folder.parent
    scene.near = [".fetch-vowels", ".fetch-vowels-abcd123", ".fetch-other-abcd1234"]
    scene.linked = [".fetch-vowels-dcba4321"]
    return scene


def _fetch_logs(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    own = tmp / f"job-driver-{archive.FETCH_PREFIX}000000000000.log"
    old = tmp / f"job-driver-{archive.FETCH_PREFIX}{HEX[:12]}.log"
    for log in (own, old):
        log.touch()
        os.utime(log, (1_000, 1_000))
    prefix = f"job-driver-{archive.FETCH_PREFIX}"
    near = [f"{prefix}notes.log", f"{prefix}{HEX[:12]}.log.bak"]

    def act() -> None:
        with own.open("w") as log:
            command = [sys.executable, "-m", "deploy.client.send", str(tmp / "none")]
            subprocess.run(command, stdout=log, check=True)

    return Scene(tmp, act, [old], near, [f"{prefix}ffffffffffff.log"])


#: Name: (the file that removes, what makes the scene).
PLACES = {
    "checkpoints that are cleaned": ("trainables/checkpoints/local.py", _clean),
    "a checkpoint that is deleted": ("trainables/checkpoints/local.py", _delete),
    "checkpoints that a job needs no more": ("trainables/checkpoints/local.py", _clean_job),
    "scratch folders": ("trainables/scratch.py", _scratch),
    "the temporary directory": ("trainables/scratch.py", _temporary),
    "beside a file that is replaced": ("trainables/files.py", _file),
    "beside a folder that is replaced": ("trainables/files.py", _folder),
    "an export that is replaced": ("trainables/files.py", _one_export),
    "several exports that are replaced": ("trainables/files.py", _several_exports),
    "one of several exports": ("trainables/files.py", _inside_an_export),
    "the cache": ("trainables/cache.py", _cache),
    "jobs of this machine": ("trainables/files.py", _jobs),
    "the runs folder": ("trainables/files.py", _database),
    "a fetched folder": ("deploy/client/archive.py", _fetched),
    "beside a fetched folder": ("deploy/client/archive.py", _beside_a_fetched_folder),
    "logs of fetches": ("deploy/client/send.py", _fetch_logs),
}
#: Files that remove and have no row: their claims are elsewhere.
ELSEWHERE = {
    "trainables/checkpoints/s3.py": "tests/trainables/checkpoints/test_store.py",
    "search/supervisor.py": "tests/search/test_supervisor.py",
    "search/estimator/fitting.py": "tests/search/estimator/test_refused_fits.py",
    "deploy/queue/packages.py": "tests/deploy/queue/test_packages.py",
    "deploy/files.py": "tests/deploy/queue/test_users.py",
    "deploy/service/stop.py": "tests/deploy/service/test_service.py",
}


def add_foreign(scene: Scene, outside: Path) -> list[Path]:
    """Put foreign things into the scene's folder, old ones, and return them."""
    folder = scene.folder
    found = [folder / name for name in ("notes.txt", ".notes", "gatesearch-2026-best", "0")]
    found += [folder / name for name in scene.near]
    for number, path in enumerate(found):
        if number % 2:
            filled(path)
        else:
            path.write_text(f"foreign {path.name}")
    links = [folder / name for name in (*scene.linked, "to-outside")]
    for path in links:
        path.symlink_to(outside)
    dangling = folder / "dangling"
    dangling.symlink_to("/nonexistent")
    everything = [*found, *links, dangling]
    for path in everything:
        os.utime(path, (time.time() - 10**6, time.time() - 10**6), follow_symlinks=False)
    return everything


def picture(path: Path) -> object:
    """Return what is at a path, and below it, without a look at what a link leads to."""
    if path.is_symlink():
        return "link", str(path.readlink())
    if path.is_dir():
        return {child.name: picture(child) for child in path.iterdir()}
    return stat.S_IFMT(path.lstat().st_mode), path.read_bytes()


@pytest.mark.parametrize("name", PLACES)
def test_nothing_foreign_goes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, outside = tmp_path / "place", filled(tmp_path / "outside" / OURS).parent
    for file in (*FILES, "job.journal"):
        (outside / file).write_text("outside")
    place.mkdir()
    scene = PLACES[name][1](place, monkeypatch)
    foreign = {path: picture(path) for path in add_foreign(scene, outside)}
    before = picture(outside)
    scene.act()
    monkeypatch.undo()
    assert {path: picture(path) for path in foreign if os.path.lexists(path)} == foreign
    assert picture(outside) == before
    assert [path for path in scene.gone if os.path.lexists(path)] == []


def test_every_file_that_removes_has_a_row() -> None:
    removing = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if _removes(node)]
            if calls:
                removing.add(path.relative_to(ROOT).as_posix())
    assert removing == {file for file, _ in PLACES.values()} | ELSEWHERE.keys()
    assert [test for test in ELSEWHERE.values() if not (ROOT / test).is_file()] == []


def _removes(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, of = node.func.attr, node.func.value
    plain = name == "remove" and not (isinstance(of, ast.Name) and of.id == "os")  # of a list
    return name in REMOVERS and not plain
