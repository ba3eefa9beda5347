"""Reads the arrays of an .npz file that a stranger may have made.

Nothing is unpickled. Nothing is unpacked before the headers of all arrays were read: they say how
much memory each one takes, and what does not fit or does not agree with its header is refused.
"""

import difflib
import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainables.data.memory import refuse_unless_it_fits

npy: Any = np.lib.format  # its functions carry no types

_SAVE_AGAIN = "write it again with numpy.savez({place!r}, x=x, lengths=lengths, …)"
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError,
    NotImplementedError, SyntaxError,
)  # fmt: skip  # what zipfile and numpy raise on files that are cut off, altered or encrypted


def read_arrays(
    path: Path, place: str, required: Collection[str], optional: Collection[str] = ()
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by name.

    place: what the user called the file; errors name it, and the array: "gestures.npz: x".
    Raises InputError for anything but a sound file with the required arrays, perhaps some of the
    optional ones and nothing else, that fits into memory.
    """
    try:
        if not path.exists():
            raise InputError.of(
                place,
                f"the data file must exist; there is none at {path}",
                "give the path of an .npz file, relative to the job file's folder",
            )
        if not path.is_file():
            raise InputError.of(
                place,
                f"the data must be a file; {path} is {'a directory' if path.is_dir() else 'none'}",
                "give the path of the .npz file itself",
            )
        with path.open("rb") as file:
            _check(file, place, required, optional)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except InputError:
        raise
    except PermissionError as error:
        raise InputError.of(
            place, f"the data file must be readable; {path} is not", "change its permissions"
        ) from error
    except _DAMAGE as error:
        raise _damaged(place, str(error)) from error


def _check(
    file: BinaryIO, place: str, required: Collection[str], optional: Collection[str]
) -> None:
    start = file.read(8)
    file.seek(0)
    if start.startswith(npy.MAGIC_PREFIX):
        raise InputError.of(
            place,
            "data must be an .npz file with named arrays; this is a single .npy array",
            _SAVE_AGAIN.format(place=place),
        )
    if not start.startswith(b"PK"):
        raise InputError.of(
            place,
            "data must be an .npz file, a zip archive of arrays; this is none",
            _SAVE_AGAIN.format(place=place),
        )
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        _check_names(names, place, required, optional)
        headers = {
            name: _header(archive, member, f"{place}: {name}")
            for name, member in zip(names, members, strict=True)
        }
    total = sum(size for size, _ in headers.values())
    largest = max(headers, key=lambda name: headers[name][0])
    # x is converted and then cut into splits: three copies at the worst moment
    refuse_unless_it_fits(
        3 * total, f"{place}: {largest}", "use less data, or a machine with more memory"
    )
    for name, (size, stored) in headers.items():
        if size != stored:
            raise _damaged(
                f"{place}: {name}", f"its header promises {size} bytes, {stored} are there"
            )


def _check_names(
    names: list[str], place: str, required: Collection[str], optional: Collection[str]
) -> None:
    known = [*required, *optional]
    missing = [name for name in required if name not in names]
    unknown = sorted({name for name in names if name not in known})
    twice = sorted({name for name in names if names.count(name) > 1})
    if not (missing or unknown or twice):
        return
    wrong = [
        f"{label} {', '.join(which)}"
        for label, which in (("missing", missing), ("unknown", unknown), ("twice", twice))
        if which
    ]
    meant = [
        f"{close[0]} for {name}"
        for name in unknown
        if (close := difflib.get_close_matches(name.lower(), known, n=1))
    ]
    raise InputError.of(
        place,
        f"the file must hold the arrays {', '.join(required)}"
        + (f" and may hold {', '.join(optional)}" if optional else "")
        + f", each once; {'; '.join(wrong)}",
        (f"rename: {', '.join(meant)}; or " if meant else "")
        + f"write it again with just these arrays: numpy.savez({place!r}, "
        + ", ".join(f"{name}={name}" for name in required)
        + ")",
    )


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> tuple[int, int]:
    """Return the bytes that the array takes by its header, and those that the archive holds."""
    try:
        with archive.open(member) as file:
            version = npy.read_magic(file)
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            if version not in read_header:  # 3.0 is for field names, which no plain array has
                raise ValueError(f"array format {version} is not for plain arrays")
            shape, _, dtype = read_header[version](file)
            begin = file.tell()
    except _DAMAGE as error:
        raise _damaged(place, str(error)) from error
    if dtype.hasobject:
        raise InputError.of(
            place,
            "arrays must hold numbers or text; this one holds pickled Python objects, "
            "which are never loaded",
            "save plain arrays: sequences of different lengths laid end to end in x, "
            "their lengths in lengths",
        )
    if dtype.fields is not None or dtype.subdtype is not None or dtype.kind not in "biufcUS":
        raise InputError.of(
            place,
            f"arrays must hold numbers or text; this one has the type {dtype}",
            "save a plain array of numbers",
        )
    if any(size < 0 for size in shape):
        raise _damaged(place, f"its header gives the shape {shape}")
    return math.prod(shape) * dtype.itemsize, member.file_size - begin


def _damaged(place: str, detail: str) -> InputError:
    return InputError.of(
        place,
        f"the file must be whole; it is damaged or was cut off ({detail.strip() or 'unreadable'})",
        "copy it again, or " + _SAVE_AGAIN.format(place=place.split(": ")[0]),
    )
