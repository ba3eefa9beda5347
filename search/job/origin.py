"""Where a job file came from, which says in which folder its relative paths start."""

from pathlib import Path

_ORIGIN = "# gatesearch job file from "


def base_of(path: Path, text: str) -> Path:
    """Return the folder that relative paths in a job file start from.

    It is the folder of the file, behind a link that of the link's target. The copy in a job's
    folder starts where the file did that it was made of. What is no file, such as a pipe, starts
    from the current folder.
    """
    first = text.partition("\n")[0]
    if first.startswith(_ORIGIN):
        return Path(first.removeprefix(_ORIGIN)).parent
    return path.resolve().parent if path.is_file() else Path.cwd()


def with_origin(text: str, place: Path) -> bytes:
    """Return the copy of a job file for a job's folder; place: the file, in its base folder."""
    return f"{_ORIGIN}{place}\n{without_origin(text)}".encode()


def without_origin(text: str) -> str:
    """Return the text of a job file as its user wrote it."""
    return text.partition("\n")[2] if text.startswith(_ORIGIN) else text
