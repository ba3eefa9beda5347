"""An exported folder: its files, what an export may replace, and how it is replaced whole."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaces.errors import InputError
from trainables.files import beside, replace_folder

CONFIG, WEIGHTS, MODEL, CARD = "config.yaml", "weights.safetensors", "model.onnx", "card.md"
FILES = (CONFIG, WEIGHTS, MODEL, CARD)
FORMAT = 1  #: of the metadata in weights and model

_ONE_OF_SEVERAL = re.compile(r"\d+-.+-\d+")  # <rank>-<arm>-<number>


def is_export(folder: Path) -> bool:
    """Return whether a folder holds one exported configuration."""
    return all((folder / name).is_file() for name in FILES)


def check_free(out: Path, *, force: bool) -> None:
    """Raise InputError unless `out` is free, or an export that may be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise InputError.of(str(out), "an export must go to a folder, not a file", "name another")
    if not any(out.iterdir()):
        return
    if not _exported_names(out):
        raise InputError.of(
            str(out),
            "an export must go to a new folder, an empty one or a former export; this folder holds "
            "something else",
            "name a folder that does not exist yet",
        )
    if not force:
        raise InputError.of(
            str(out),
            "an export that exists must be replaced by intent",
            "replace it with --force, or name another folder",
        )


@contextmanager
def replacing_export(out: Path) -> Iterator[Path]:
    """Give a draft folder; at the end it takes the place of `out`, with the user's files in it.

    The files that the block writes must be on disk when it ends. After an error `out` is as it was.
    """
    out = out.resolve()
    draft = beside(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError.of(
            str(out), f"must be a folder that you may make ({reason})", "name another folder"
        ) from error
    try:
        yield draft
        if out.exists():
            _copy_others(out, draft)
        replace_folder(draft, out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _exported_names(out: Path) -> set[str]:
    """Return the names in `out` that an export has made: its files, or folders of several."""
    if is_export(out):
        return set(FILES)
    return {p.name for p in out.iterdir() if _ONE_OF_SEVERAL.fullmatch(p.name) and is_export(p)}


def _copy_others(out: Path, draft: Path) -> None:
    """Copy what is in `out` and was made by no export."""
    exported = _exported_names(out)
    for path in out.iterdir():
        if path.name in exported:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, draft / path.name, symlinks=True)
        else:
            shutil.copy2(path, draft / path.name, follow_symlinks=False)
