"""Checkpoints in an S3 bucket, or in anything that speaks S3.

    prefix/NAME/<random>-model.safetensors     its files
    prefix/NAME/manifest.json                  {"format": 1, "files": {name: {key, size, sha256}}}
    prefix/results/<random>/report.html        likewise, of results: see put and get

Files are stored first, under keys that nobody else uses, and the manifest last, in one request: it
is what makes a checkpoint, and storing another one replaces it whole. Readers check every file
against it.

Credentials, region and endpoint come from where boto3 looks for them: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, ~/.aws, the role of the machine. Every node needs them.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)

from spaces.errors import InputError
from spaces.fields import Fault
from spaces.text import show
from trainables.checkpoints.base import (
    CheckpointError,
    Cleaned,
    Store,
    StoreAwayError,
    StoreError,
    check_name,
    is_checkpoint_name,
)
from trainables.patience import PATIENCE, Patience, StillAwayError
from trainables.scratch import ScratchFolder

FORMAT = 1
MANIFEST = "manifest.json"
_FILE = re.compile(r"[0-9a-f]{12}-[^/]+")
_TRIES = 2  # of a request, at once; a server that stays away is a matter of patience
_MISSING = ("NoSuchKey", "404", "NotFound")
_PASSING = ("SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "429")
_UNSUPPORTED = ("NotImplemented", "MethodNotAllowed", "405", "501")

#: What to do about an error, by its code.
_REMEDIES = {
    "404": "make the bucket, or name another",
    "NoSuchBucket": "make the bucket, or name another",
    "403": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do in the bucket",
    "AccessDenied": "let these credentials list, read, write and delete below the prefix",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "renew the credentials",
    "301": "set AWS_REGION to the bucket's region",
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
}
_UNREACHABLE = "start the server, or correct AWS_ENDPOINT_URL; every node must reach it"


class S3Store(Store):
    """Checkpoints below a prefix of a bucket. Its methods raise StoreError for what S3 refuses."""

    def __init__(self, url: str, *, patience: float = PATIENCE, turn: float = math.inf) -> None:
        """patience, turn: seconds to wait for a server that is away, see Patience."""
        self._url = url.rstrip("/")
        self._bucket, _, self._prefix = self._url.removeprefix("s3://").partition("/")
        self._patience = Patience(patience, turn)
        self._cached_client: Any = None

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a folder on this machine, whose files are uploaded at the end."""
        check_name(name)
        with ScratchFolder() as scratch:
            folder = scratch.path
            yield folder
            stored: list[str] = []  # keys
            try:
                with self._as_store_error():
                    self._upload(name, folder, stored)
            except BaseException:
                with contextlib.suppress(StoreError):
                    self._remove(stored)
                raise

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give a folder on this machine with the files, checked against the manifest."""
        check_name(name)
        with ScratchFolder() as scratch:
            with self._as_store_error():
                self._download(name, scratch.path)
            yield scratch.path

    def names(self) -> list[str]:
        """Return the names that have a manifest."""
        keys = (key.split("/") for key in self._list(""))
        return sorted(
            parts[0] for parts in keys if parts[1:] == [MANIFEST] and is_checkpoint_name(parts[0])
        )

    def delete(self, name: str) -> None:
        """Remove the manifest, and then the files."""
        check_name(name)
        manifest = f"{name}/{MANIFEST}"
        ours = filter(_is_ours, self._list(f"{name}/"))
        self._remove(sorted(ours, key=lambda key: key != manifest))

    def clean(self, keep: Collection[str], *, dry_run: bool = False) -> Cleaned:
        """Remove files of checkpoints of other names, and of these what no manifest names."""
        old: list[str] = []
        sizes = {key: size for key, size in self._sizes("") if _is_ours(key)}
        kept = 0
        for name, found in groupby(sizes, key=lambda key: key.split("/")[0]):
            keys = list(found)
            manifest = f"{name}/{MANIFEST}"
            used: set[str] = set()
            if name in keep and manifest in keys:
                with contextlib.suppress(CheckpointError):
                    files = self._manifest(name)
                    used = {manifest, *(f"{name}/{entry['key']}" for entry in files.values())}
            kept += bool(used)
            old += sorted(set(keys) - used, key=lambda key: key != manifest)
        if not dry_run:
            self._remove(old)
        removed = sum(key.endswith(f"/{MANIFEST}") for key in old)
        freed = sum(sizes[key] for key in old)
        return Cleaned(removed, kept, freed, sum(sizes.values()) - freed)

    def put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Store files under a name that is no checkpoint's: readers find all former or all new.

        files: contents by paths below the name, which stay the ends of their keys.
        """
        manifest = f"{name}/{MANIFEST}"
        new = uuid.uuid4().hex[:12]
        with self._as_store_error():
            former = [key for key in self._list(f"{name}/") if key != manifest]
            told: dict[str, Any] = {}
            for path, content in files.items():
                told[path] = _entry(f"{new}/{path}", content)
                self._put(f"{name}/{told[path]['key']}", content)
            self._put(manifest, json.dumps({"format": FORMAT, "files": told}).encode())
        self._remove(former)

    def get(self, name: str) -> dict[str, bytes] | None:
        """Return the files that `put` has stored, by their paths; None where there are none.

        Raises CheckpointError where they are not as their manifest says.
        """
        for last in (False, False, True):  # they may be replaced while they are read
            with self._as_store_error():
                if (content := self._get(f"{name}/{MANIFEST}")) is None:
                    return None
                try:
                    files = self._files(name, content)
                    return {path: self._file(name, entry) for path, entry in files.items()}
                except CheckpointError:
                    if last:
                        raise
        return None

    def faults(self) -> list[Fault]:
        """Return why checkpoints cannot be stored here, if so. Leaves nothing behind."""
        key = f"{self._prefix}/.gatesearch-{uuid.uuid4().hex}".lstrip("/")
        place: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        try:
            self._client.head_bucket(Bucket=self._bucket)
            self._client.put_object(**place, Body=b"")
            self._client.get_object(**place)["Body"].close()
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
            self._client.delete_object(**place)
        except (BotoCoreError, ClientError) as error:
            code, message = _code_and_message(error)
            unknown = "see the message" if isinstance(error, ClientError) else _UNREACHABLE
            rule = f"{self._url} must take the job's checkpoints ({message})"
            return [Fault(rule, _REMEDIES.get(code, unknown))]
        return []

    # Requests. Keys are given without the prefix.

    def _upload(self, name: str, folder: Path, stored: list[str]) -> None:
        files: dict[str, Any] = {}
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            key = f"{uuid.uuid4().hex[:12]}-{path.name}"
            files[path.name] = _entry(key, content)
            stored.append(f"{name}/{key}")
            self._put(stored[-1], content)
        manifest = {"format": FORMAT, "files": files}
        self._put(f"{name}/{MANIFEST}", json.dumps(manifest).encode())

    def _download(self, name: str, folder: Path) -> None:
        for file, entry in self._manifest(name).items():
            (folder / Path(file).name).write_bytes(self._file(name, entry))

    def _file(self, name: str, entry: Mapping[str, Any]) -> bytes:
        """Return a file's content, checked against its entry in the manifest."""
        content = self._get(f"{name}/{entry['key']}")
        if content is None or hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise CheckpointError(
                f"{self._url}/{name}/{entry['key']} has another digest than its manifest says"
            )
        return content

    def _manifest(self, name: str) -> dict[str, dict[str, Any]]:
        with self._as_store_error():
            content = self._get(f"{name}/{MANIFEST}")
        if content is None:
            raise CheckpointError(f"there is no checkpoint {name} in {self._url}")
        return self._files(name, content)

    def _files(self, name: str, content: bytes) -> dict[str, dict[str, Any]]:
        """Return the entries of a manifest, by the names of their files."""
        try:
            manifest = json.loads(content)
            if manifest["format"] == FORMAT and all(
                {"key", "size", "sha256"} <= entry.keys() for entry in manifest["files"].values()
            ):
                return dict(manifest["files"])
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        raise CheckpointError(f"{self._url}/{name}/{MANIFEST} is no manifest of format {FORMAT}")

    def _list(self, below: str) -> Iterator[str]:
        """Yield keys in their order."""
        return (key for key, _ in self._sizes(below))

    def _sizes(self, below: str) -> Iterator[tuple[str, int]]:
        """Yield keys in their order, each with the bytes of its object."""
        start = f"{self._prefix}/" if self._prefix else ""
        with self._as_store_error():
            asked: dict[str, Any] = {"Bucket": self._bucket, "Prefix": start + below}
            while True:
                page = self._request("list_objects_v2", **asked)
                for entry in page.get("Contents", []):
                    yield entry["Key"].removeprefix(start), entry["Size"]
                if not page.get("IsTruncated"):
                    return
                asked["ContinuationToken"] = page["NextContinuationToken"]

    def _put(self, key: str, content: bytes) -> None:
        self._request("put_object", Bucket=self._bucket, Key=self._key(key), Body=content)

    def _get(self, key: str) -> bytes | None:
        def get() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            with contextlib.closing(answer["Body"]) as body:
                content: bytes = body.read()
                return content

        try:
            return self._patience(get, self._away)
        except ClientError as error:
            if _code_and_message(error)[0] in _MISSING:
                return None
            raise

    def _request(self, name: str, **asked: Any) -> Any:
        """Return the answer to a request, tried again while the server is away."""
        return self._patience(lambda: getattr(self._client, name)(**asked), self._away)

    def _away(self, error: Exception) -> str | None:
        """Return what an error says that passes by itself, with the store's name."""
        return f"{self._url}: {_code_and_message(error)[1]}" if _passes(error) else None

    def _remove(self, keys: Iterable[str]) -> None:
        objects = [{"Key": self._key(key)} for key in keys]
        with self._as_store_error():
            for first in range(0, len(objects), 1_000):
                some = objects[first : first + 1_000]
                request = {"Objects": some, "Quiet": True}
                try:
                    self._request("delete_objects", Bucket=self._bucket, Delete=request)
                except ClientError as error:
                    if _code_and_message(error)[0] not in _UNSUPPORTED:
                        raise
                    for one in some:  # not every server deletes many at once
                        self._request("delete_object", Bucket=self._bucket, **one)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    @contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            yield
        except StillAwayError as error:
            raise StoreAwayError(str(error)) from None
        except (BotoCoreError, ClientError) as error:
            code, message = _code_and_message(error)
            remedy = _REMEDIES.get(code, _UNREACHABLE if _passes(error) else None)
            raise StoreError(f"{self._url}: {message}{f'; {remedy}' if remedy else ''}") from None

    @property
    def _client(self) -> Any:
        if self._cached_client is None:
            config = Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": _TRIES},
                # Servers other than Amazon's do not all know the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            try:
                session = boto3.Session()  # the default one is shared
                self._cached_client = session.client("s3", config=config)
            except ValueError:
                raise InputError.of(
                    "AWS_ENDPOINT_URL",
                    f"must be http(s)://HOST:PORT, not {show(os.environ.get('AWS_ENDPOINT_URL'))}",
                    "correct it, or the endpoint_url of your AWS configuration",
                ) from None
        return self._cached_client


def _entry(key: str, content: bytes) -> dict[str, Any]:
    """Return what a manifest says of a file."""
    return {"key": key, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _is_ours(key: str) -> bool:
    """Return whether a key, without the prefix, is one that a store writes."""
    name, _, file = key.partition("/")
    return is_checkpoint_name(name) and (file == MANIFEST or _FILE.fullmatch(file) is not None)


def _passes(error: Exception) -> bool:
    """Return whether an error is of a server that is away, overloaded or starting."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status in (500, 502, 503, 504) or _code_and_message(error)[0] in _PASSING
    if isinstance(error, SSLError):
        return False  # a certificate that is refused stays refused
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError)


def _code_and_message(error: Exception) -> tuple[str, str]:
    """Return the error's code and message."""
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        code = str(details.get("Code", "unknown"))
        return code, f"{details.get('Message') or 'no message'} ({code})"
    return type(error).__name__, str(error)
