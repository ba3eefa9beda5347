"""Reads the arrays of an .npz file that a stranger may have made.

Nothing is unpickled. Nothing is unpacked before the headers of all arrays were read: they say how
much memory each one takes, and what does not fit or does not agree with its header is refused. The
archive's directory and the headers are bounded themselves, and refused before they are read.
"""

import difflib
import io
import math
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.text import first_line, named
from trainables.data.memory import refuse_unless_it_fits

npy: Any = np.lib.format  # its functions carry no types

_SAVE_AGAIN = "write it again with numpy.savez({place!r}, x=x, lengths=lengths, …)"
#: Bytes that are read at once of anything but an array: a directory of some thousand members.
_MAX_READ = 2**18
_MAX_HEADER = 10_000  # bytes of an array's header; numpy's own limit, which it applies too late
_MAX_NAMED = 5  # arrays that a message lists
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # which numpy writes; they unpack in pieces


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
            return _load(file, place)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: of a path that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError.of(
            place,
            f"the data file must be readable; {path} is not ({reason})",
            "check the path and its permissions",
        ) from error


def _load(file: BinaryIO, place: str) -> dict[str, NDArray[Any]]:
    file.seek(0)
    try:
        with warnings.catch_warnings(action="ignore"), np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # numpy, zipfile and zlib list no classes for what is damaged
        raise _damaged(place, str(error)) from error


class _Bounded:
    """A file that reads little at once, whatever the sizes say that a stranger wrote into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes. Raises ValueError where they would be too many."""
        found = self._file.read(_MAX_READ + 1 if size < 0 else min(size, _MAX_READ + 1))
        if len(found) > _MAX_READ:
            raise ValueError(f"more than {_MAX_READ // 1024} KiB of names and sizes")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


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
    try:
        archive = zipfile.ZipFile(_Bounded(file))
    except Exception as error:  # zipfile lists no classes for what is damaged
        raise _damaged(place, str(error)) from error
    with archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        _check_names(names, place, required, optional)
        headers = {
            name: _header(archive, member, f"{place}: {name}")
            for name, member in zip(names, members, strict=True)
        }
    # At the worst moment x is there as it is stored and, where that is another type, as float32 or
    # symbols; parts are read from one array (measured by tests/benchmarks/large_data.py).
    total = sum(size + converted for size, _, converted in headers.values())
    largest = max(headers, key=lambda name: headers[name][0])
    refuse_unless_it_fits(
        total, f"{place}: {largest}", "use less data, or a machine with more memory"
    )
    for name, (size, stored, _) in headers.items():
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
    twice = sorted(name for name, number in Counter(names).items() if number > 1)
    if not (missing or unknown or twice):
        return
    wrong = [
        f"{label} {_listed(which)}"
        for label, which in (("missing", missing), ("unknown", unknown), ("twice", twice))
        if which
    ]
    meant = [
        f"{close[0]} for {named(name)}"
        for name in unknown[:_MAX_NAMED]
        if (close := difflib.get_close_matches(name[:60].lower(), known, n=1))
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


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    shown = ", ".join(map(named, names[:_MAX_NAMED]))
    return f"{shown} and {more} more" if more > 0 else shown


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> tuple[int, int, int]:
    """Return the bytes of an array by its header, of the archive, and of what becomes of it.

    The last are those that it takes as float32 or int64, where it is of another type.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            shape, dtype, begin = _read_header(archive, member)
    except Exception as error:  # numpy reads a header as Python's source, which fails in many ways
        raise _damaged(place, str(error)) from error
    if dtype.hasobject:
        raise InputError.of(
            place,
            "arrays must hold numbers or text; this one holds pickled Python objects, "
            "which are never loaded",
            "save plain arrays: sequences of different lengths laid end to end in x, "
            "their lengths in lengths",
        )
    plain = dtype.fields is None and dtype.subdtype is None and dtype.kind in "biufcUS"
    if not plain or dtype.itemsize == 0:
        raise InputError.of(
            place,
            f"arrays must hold numbers or text; this one has the type {named(str(dtype))}",
            "save a plain array of numbers",
        )
    if not all(type(size) is int and 0 <= size <= sys.maxsize for size in shape):
        raise _damaged(place, f"its header gives the shape {shape}")
    number, wanted = math.prod(shape), np.float32 if len(shape) > 1 else np.int64
    converted = 0 if dtype == wanted else number * np.dtype(wanted).itemsize
    return number * dtype.itemsize, member.file_size - begin, converted


def _read_header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[tuple[Any, ...], np.dtype[Any], int]:
    """Return shape and type of an array, and where its values begin. Raises any exception."""
    if member.compress_type not in _PACKINGS:
        raise ValueError(f"packed in way {member.compress_type}, which numpy does not write")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in read_header:  # 3.0 is for field names, which no plain array has
            raise ValueError(f"array format {version} is not for plain arrays")
        size = file.read(2 * version[0])  # 2 bytes in version 1, 4 in version 2
        if int.from_bytes(size, "little") > _MAX_HEADER:
            raise ValueError(f"a header of more than {_MAX_HEADER} bytes")
        header = size + file.read(int.from_bytes(size, "little"))
        shape, _, dtype = read_header[version](io.BytesIO(header))
        return shape, dtype, file.tell()


def _damaged(place: str, detail: str) -> InputError:
    shown = first_line(detail) or "unreadable"
    return InputError.of(
        place,
        f"the file must be whole; it is damaged or was cut off ({shown})",
        "copy it again, or " + _SAVE_AGAIN.format(place=place.split(": ")[0]),
    )
