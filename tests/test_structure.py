"""The rules that hold the packages together: who may import whom, and who owns which library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("spaces", "trainables", "search", "deploy")
ALLOWED = {
    "spaces": {"spaces"},
    "trainables": {"spaces", "trainables"},
    "search": {"spaces", "trainables", "search"},
    "deploy": {"deploy"},
}
OWNERS = {
    "optuna": {
        "search/study.py",
        "search/view.py",
        "search/history.py",
        "search/draws.py",
        "search/samplers.py",
        "search/cma.py",
        "search/pruners.py",
        "search/importance.py",
    },
    "ray": {"trainables/tune.py", "search/bridge.py", "search/runner.py", "search/nodes.py"},
    "mlflow": {"search/tracking.py", "search/mirror_", "search/dashboard.py"},
    "plotly": {"search/report/"},
    "psycopg2": {"search/sql_journal.py"},
    "boto3": {"trainables/s3_store.py"},
    "botocore": {"trainables/s3_store.py"},
}
LIGHT_COMMANDS = (["--help"], ["validate", "deploy/jobs/quickstart.yaml"], ["submit", "--help"])
HEAVY = ("torch", "ray", "optuna", "mlflow", "psycopg2", "boto3")


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (top-level name, full name) of every absolute import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
        for name in names:
            yield name.partition(".")[0], name


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    place = path.relative_to(ROOT)
    allowed = set(ALLOWED[place.parts[0]])
    if str(place) == "search/cli.py":
        allowed.add("deploy")
    ours = {top for top, _ in imports(path) if top in PACKAGES}
    assert ours <= allowed, f"{place} imports {ours - allowed}"


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owners(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in modules()
        if library in {top for top, _ in imports(path)}
    }
    owners = OWNERS[library]
    strangers = {user for user in users if not any(user.startswith(owner) for owner in owners)}
    assert not strangers, f"{library} is imported by {strangers}"


def test_spaces_needs_pydantic_and_the_standard_library_only() -> None:
    for path in sorted((ROOT / "spaces").rglob("*.py")):
        for top, name in imports(path):
            known = top in sys.stdlib_module_names | {"pydantic", "pydantic_core", "spaces"}
            assert known, f"{path.name} imports {name}"


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
        assert not {top for top, _ in imports(path)} & forbidden, path
        text = path.read_text()
        assert "torch.load" not in text, path
        assert "allow_pickle=True" not in text, path


def test_top_level_folders_are_the_agreed_ones() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {name.split("/")[0] for name in listed if "/" in name}
    assert folders <= {*PACKAGES, "tests", ".ci", ".github"}
