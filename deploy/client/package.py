"""What is sent with a submission: one small zip of the job file and the user's data.

Everything lies under `job/`, laid out as it is on the user's disk, so that a data path in the job
file means the same on the cluster. Same content, same bytes, same name.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploy.errors import ClusterError

FOLDER = "job"
#: Bytes of a zip that a Ray dashboard accepts (its body limit is 100 MiB).
MAX_BYTES = 100_000_000


@dataclass(frozen=True)
class Package:
    """The zip of a job file and its data."""

    job_path: str  #: the job file's path inside the zip
    digest: str  #: SHA-256 of names and contents, hexadecimal
    content: bytes

    @property
    def name(self) -> str:
        """Its name in the cluster's package store."""
        return f"_ray_pkg_{self.digest[:40]}.zip"

    @property
    def uri(self) -> str:
        """Its address in a runtime_env."""
        return f"gcs://{self.name}"


def pack(
    job_yaml: Path,
    data_files: Sequence[Path],
    max_bytes: int = MAX_BYTES,
    *,
    content: bytes | None = None,
) -> Package:
    """Read the job file and its data into a package.

    `data_files` are written as in the job file: relative to the job file's folder. content: the job
    file's, where it was read already: the second reading of a pipe gives nothing. Raises
    ClusterError for absolute paths, files that cannot be read, and a zip over `max_bytes`.
    """
    folder = job_yaml.absolute().parent
    home = Path(os.path.normpath(folder))  # in names "up" is textual; files are opened as given
    sources = {home / job_yaml.name: job_yaml}
    height = 0  # of the highest folder that a path goes through
    for file in data_files:
        if file.is_absolute():
            raise ClusterError.refused(
                str(file),
                "a data path must be relative to the job file, to mean the same on the cluster",
                "write it relative to the job file's folder; the file is sent along",
            )
        ups = sum(part == ".." for part in file.parts)
        if ".." in file.parts[ups:]:
            raise ClusterError.refused(
                str(file),
                "a data path must have every .. at its beginning: folders in between are not sent",
                "write it without the detour",
            )
        sources[Path(os.path.normpath(home / file))] = folder / file
        height = max(height, ups)
    if height > len(home.parents):
        raise ClusterError.refused(
            str(job_yaml), "a data path must not lead above the top folder", "correct the path"
        )
    top = (home, *home.parents)[height]
    names = {
        str(PurePosixPath(FOLDER, *place.relative_to(top).parts)): source
        for place, source in sources.items()
    }
    digest = hashlib.sha256()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(names.items()):
            read = content if source is job_yaml else None
            packed = _read(source, max_bytes) if read is None else read
            digest.update(f"{name}\0{len(packed)}\0".encode())
            digest.update(packed)
            entry = zipfile.ZipInfo(name)  # dated 1980: the bytes depend on the content alone
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, packed)
            if buffer.tell() > max_bytes:
                raise _too_large(source, buffer.tell(), max_bytes)
    job_path = str(PurePosixPath(FOLDER, *(home / job_yaml.name).relative_to(top).parts))
    return Package(job_path, digest.hexdigest(), buffer.getvalue())


def _read(source: Path, max_bytes: int) -> bytes:
    try:
        # Nothing compresses a thousandfold: do not read what cannot fit.
        if (size := source.stat().st_size) > 1000 * max_bytes:
            raise _too_large(source, size, max_bytes)
        return source.read_bytes()
    except OSError as error:
        raise ClusterError.refused(
            str(source),
            f"the file must be readable ({error.strerror})",
            "correct the path; it is relative to the job file",
        ) from error


def _too_large(source: Path, size: int, max_bytes: int) -> ClusterError:
    return ClusterError.refused(
        str(source),
        f"the job file and its data must have at most {max_bytes / 1e6:.0f} MB packed, "
        f"not {size / 1e6:.0f} MB",
        "put the data on a volume of the cluster and run the job there, or send fewer sequences",
    )
