"""An exported folder: its files, what an export may replace, and how it is replaced whole."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spaces.errors import InputError
from trainables.files import remove_stale_drafts, replacing_folder

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
    if not is_export(out) and not _exported_folders(out):
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
    with ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            remove_stale_drafts(out)
            draft = stack.enter_context(replacing_folder(out))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError.of(
                str(out), f"must be a folder that you may make ({reason})", "name another folder"
            ) from error
        yield draft
        if out.exists():
            _copy_others(out, draft)


def _exported_folders(out: Path) -> list[Path]:
    """Return the folders in `out` that an export of several has made."""
    return [path for path in out.iterdir() if _is_one_of_several(path)]


def _is_one_of_several(path: Path) -> bool:
    return (
        _ONE_OF_SEVERAL.fullmatch(path.name) is not None
        and not path.is_symlink()
        and is_export(path)
    )


def _copy_others(out: Path, draft: Path) -> None:
    """Copy what is in `out`, or in one of its exported folders, and was made by no export."""
    one = is_export(out)
    for path in out.iterdir():
        if one and path.name in FILES:
            continue
        if not one and _is_one_of_several(path):
            for file in path.iterdir():
                if file.name not in FILES:
                    (draft / path.name).mkdir(exist_ok=True)
                    _copy(file, draft / path.name / file.name)
        else:
            _copy(path, draft / path.name)


def _copy(path: Path, to: Path) -> None:
    """Copy something of the user's. Raises InputError where that is impossible."""
    if os.path.lexists(to):
        rule = "must not have the name of something that is exported, since no export made it"
        raise InputError.of(str(path), rule, "move it away, or name another folder")
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, to, symlinks=True)
        else:
            shutil.copy2(path, to, follow_symlinks=False)
    except (shutil.Error, shutil.SpecialFileError) as error:
        rule = "what is in the folder must be files, folders and links that can be copied"
        raise InputError.of(str(path), rule, "move it away, or name another folder") from error
