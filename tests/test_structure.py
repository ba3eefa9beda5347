"""The rules that hold the packages and their rooms together: who may import whom, who owns what."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("spaces", "trainables", "search", "deploy")
#: Packages that a package may import, besides itself.
PACKAGES_BELOW: dict[str, set[str]] = {
    "spaces": set(),
    "trainables": {"spaces"},
    "search": {"spaces", "trainables"},
    "deploy": set(),
}
#: Rooms of its package that a room may import, besides itself. Files that lie in the package's own
#: folder may be imported by every room of it, and import none.
ROOMS_BELOW: dict[str, set[str]] = {
    "trainables/cells": set(),
    "trainables/data": set(),
    "trainables/checkpoints": set(),
    "trainables/engine": {"cells"},
    "trainables/layers": {"cells", "engine"},
    "trainables/training": {"cells", "data", "checkpoints", "engine", "layers"},
    "trainables/worker": {"data", "checkpoints", "training"},
    "trainables/export": {"cells", "data", "layers"},
    "search/job": set(),
    "search/journal": {"job"},
    "search/study": {"job", "journal"},
    "search/tracking": {"job", "journal"},
    "search/results": {"job", "journal", "tracking"},
    "search/report": {"job", "journal", "results"},
    "search/export": {"job", "journal", "results"},
    "search/run": {"job", "journal", "study", "tracking", "results", "report", "export"},
    "search/watch": {"job", "journal", "tracking", "results", "report", "run"},
    "search/cli": {
        *("job", "journal", "study", "tracking", "results", "report", "export", "run", "watch"),
    },
    "search/estimator": {"job", "journal", "results", "export", "run"},
    "deploy/client": set(),
    "deploy/service": set(),
    "deploy/queue": {"client"},
}
#: Files that may import more than their room: commands on a cluster, and where its jobs are.
MORE = {
    f"search/cli/{name}.py": {"deploy"}
    for name in ("cluster", "connect", "queue", "job_folder", "watch")
}
#: What a package shows of its rooms: files that lie in its own folder import nothing else of them.
SHOWN = {("search/__init__.py", "search/estimator/gate_search.py")}
#: Of these rooms, another one may import these files alone.
ONLY = {("search/results", "search/tracking"): {"search/tracking/state.py"}}
#: Files, or beginnings of their paths, that may import a library.
OWNERS = {
    "optuna": ("search/study/",),
    "ray": ("trainables/worker/tune.py", "search/run/"),
    "mlflow": tuple(
        f"search/tracking/{name}.py" for name in ("mlflow_compat", "server", "registry")
    ),
    "plotly": ("search/report/",),
    "jinja2": ("search/report/template.py",),
    "psycopg2": ("search/journal/postgres", "deploy/queue/postgres.py"),
    "boto3": ("trainables/checkpoints/s3.py", "deploy/buckets.py"),
    "botocore": ("trainables/checkpoints/s3.py", "deploy/buckets.py"),
}
LIGHT_COMMANDS = (
    ["--help"],
    ["validate", "deploy/jobs/quickstart.yaml"],
    ["submit", "--help"],
    ["init", "--help"],
    ["inspect", "tests/data/own/pumps.csv"],
    ["judge", "tests/data/judge/results.csv"],
)
HEAVY = ("torch", "ray", "optuna", "mlflow", "psycopg2", "boto3")


def modules(root: Path = ROOT) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name or "") of every import in a file, wherever in it that is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def libraries(path: Path) -> set[str]:
    """Return the top-level names that a file imports."""
    return {module.partition(".")[0] for module, _ in imports(path)}


def imported_files(root: Path, path: Path) -> set[str]:
    """Return our files that a file imports, as paths below root."""
    found = set()
    for module, name in imports(path):
        if module.partition(".")[0] not in PACKAGES:
            continue
        base = root / module.replace(".", "/")
        places = (base / f"{name}.py", base / name / "__init__.py") if name else ()
        for place in (*places, base.with_suffix(".py"), base / "__init__.py"):
            if place.is_file():
                found.add(place.relative_to(root).as_posix())
                break
        else:
            raise AssertionError(f"{path} imports {module}.{name}, which is no file of ours")
    return found


def room(file: str) -> str:
    """Return the room that a file is in: its package where it lies in the package's own folder."""
    parts = file.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def wrong_edges(root: Path) -> list[str]:
    """Return the imports that go against the order of packages and rooms."""
    return [
        f"{file} imports {target}"
        for path in modules(root)
        for file in [path.relative_to(root).as_posix()]
        for target in sorted(imported_files(root, path))
        if not _allowed(file, target)
    ]


def _allowed(file: str, target: str) -> bool:
    ours, theirs = room(file), room(target)
    package, other = ours.split("/")[0], theirs.split("/")[0]
    if package != other:
        more = next((names for start, names in MORE.items() if file.startswith(start)), set())
        return other in PACKAGES_BELOW[package] | more
    if ours == theirs or theirs == package or (file, target) in SHOWN:
        return True
    only = ONLY.get((ours, theirs))
    return theirs.split("/")[1] in ROOMS_BELOW.get(ours, set()) and (only is None or target in only)


def circle(root: Path) -> list[str]:
    """Return files that import each other in a circle, or nothing."""
    graph = {
        path.relative_to(root).as_posix(): imported_files(root, path) for path in modules(root)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_imports_go_one_way() -> None:
    assert wrong_edges(ROOT) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(ROOT) == []


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {room(path.relative_to(ROOT).as_posix()) for path in modules()}
    below = {name for name in rooms if "/" in name and not name.startswith("spaces/")}
    assert below == set(ROOMS_BELOW)


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """A tree of three files in which the structure is as it should be."""
    for file in ("spaces/errors.py", "search/job/spec.py", "search/run/driver.py"):
        place = tmp_path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("import json\n")
    (tmp_path / "search/run/driver.py").write_text("import search.job.spec\n")
    return tmp_path


WRITTEN = {
    "at the top": "{}\n",
    "inside a function": "def late():\n    {}\n",
    "inside a method": "class Late:\n    def get(self):\n        {}\n",
    "for type checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}\n",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("search/job/spec.py", "from search.run import driver"),
        ("search/job/spec.py", "from search.run.driver import Driver"),
        ("search/job/spec.py", "import search.run.driver"),
        ("spaces/errors.py", "from search.job.spec import JobSpec"),
    ],
)
def test_the_structure_test_sees_an_edge_against_the_order(
    small_tree: Path, file: str, statement: str, written: str
) -> None:
    assert wrong_edges(small_tree) == [] and circle(small_tree) == []
    (small_tree / file).write_text(written.format(statement))
    assert len(wrong_edges(small_tree)) == 1


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_the_structure_test_sees_a_circle_within_a_room(small_tree: Path, written: str) -> None:
    (small_tree / "search/run/bridge.py").write_text("from search.run.driver import Driver\n")
    assert circle(small_tree) == []
    (small_tree / "search/run/driver.py").write_text(
        written.format("from search.run.bridge import Bridge")
    )
    assert set(circle(small_tree)) == {"search/run/driver.py", "search/run/bridge.py"}


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owners(library: str) -> None:
    users = [path.relative_to(ROOT).as_posix() for path in modules() if library in libraries(path)]
    assert [user for user in users if not user.startswith(OWNERS[library])] == []


def test_spaces_needs_pydantic_and_the_standard_library_only() -> None:
    known = sys.stdlib_module_names | {"pydantic", "pydantic_core", "spaces"}
    for path in sorted((ROOT / "spaces").rglob("*.py")):
        assert libraries(path) <= known, path.name


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_light_commands_import_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['gatesearch', *{arguments!r}]\n"
        "from search.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_loader_that_runs_code_from_data() -> None:
    forbidden = {"pickle", "cloudpickle", "marshal", "shelve", "dill", "joblib"}
    for path in modules():
        assert not libraries(path) & forbidden, path
        text = path.read_text()
        assert "torch.load" not in text, path
        assert "allow_pickle=True" not in text, path


def test_commands_print_in_one_place_where_texts_are_cleaned() -> None:
    allowed = {
        "search/cli/terminal.py",  # the place
        "search/tracking/dashboard.py",  # our own words, and what the user typed
        "search/tracking/follower.py",  # into its log
    }
    found = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "Console")
    }
    assert found <= allowed


def test_no_file_is_long_but_tables_of_data() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in modules()
    }
    assert {file for file, lines in lengths.items() if lines > 400} == {"spaces/cells.py"}


def test_every_folder_with_code_is_a_package() -> None:
    """Only packages are installed; a checkout would run without."""
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    assert {str(folder) for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_top_level_is_the_agreed_one() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {name.split("/")[0] for name in listed if "/" in name}
    assert folders <= {*PACKAGES, "tests", ".ci", ".github"}
    files = {name for name in listed if "/" not in name}
    documents = {f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "README", "SECURITY")}
    assert files == {
        *documents,
        *(".gitignore", "LICENSE", "Makefile", "constraints.txt", "pyproject.toml"),
    }


def test_links_of_documents_lead_to_a_file_and_a_heading() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    lost = []
    for name in listed:
        for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text()):
            path, _, heading = target.partition("#")
            if "://" in path:
                continue
            file = (ROOT / name).parent / path if path else ROOT / name
            if not file.exists() or (heading and heading not in _headings(file)):
                lost.append(f"{name}: {target}")
    assert lost == []


def _headings(document: Path) -> set[str]:
    """Return the headings of a document as links name them."""
    titles = re.findall(r"(?m)^#+ (.+)$", document.read_text())
    return {re.sub(r"[^\w\s-]", "", title.lower()).replace(" ", "-") for title in titles}


def test_no_two_modules_of_tests_have_one_name() -> None:
    """They are imported by it alone: in one run, the second would be taken for the first."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert {name for name, number in names.items() if number > 1} <= {"conftest.py"}
