"""The process of a queue: `gatesearch queue serve`."""

import asyncio
import getpass
import re
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from deploy.client.auth import Token
from deploy.client.client import Client
from deploy.errors import ClusterError
from deploy.files import TOKEN, write_whole
from deploy.queue.database import SqliteDatabase
from deploy.queue.dispatch import Dispatcher
from deploy.queue.gateway import Gateway
from deploy.queue.notify import Notifier
from deploy.queue.packages import PackageFolder, Packages
from deploy.queue.requests import Requests
from deploy.queue.server import Server
from deploy.queue.store import TABLES, VERSION, Store
from deploy.queue.users import Signer, key_of

HOST = "127.0.0.1"
END_SECONDS = 15.0


def serve(
    folder: Path,
    address: str,
    token: Token | None,
    port: int,
    limit: int,
    root: str | None,
    log: Callable[[str], None],
    database: str | None = None,
) -> None:
    """Serve the queue in a folder before the cluster at an address, until SIGTERM or Ctrl-C.

    database: postgresql://…, without a password, where the queue is kept instead of the folder.
    token: the cluster's. limit: jobs that run at once. root: folder of the jobs' folders on the
    cluster, where a job names none. log: takes lines for whoever looks after it. Whoever starts it
    is its first admin, whose token is in the folder, readable by them alone.
    """
    with ExitStack() as held:
        store, packages, signer = open_queue(folder, database)
        held.callback(store.close)
        packages.prune({entry.package for entry in store.entries() if entry.state != "succeeded"})
        owner = _owner()

        def write_token(name: str) -> None:
            if name == owner:
                token = signer.sign(owner, store.users()[owner].number)
                write_whole(folder / TOKEN, token.encode())

        found = store.users().get(owner)
        if found is None or found.removed or not found.admin:
            store.put_user(owner, admin=True, weight=1 if found is None else found.weight)
        write_token(owner)
        client = held.enter_context(Client(address, token))
        dispatcher = Dispatcher(store, packages, client, limit, root)
        notifier = Notifier(store)
        requests = Requests(store, packages, signer, dispatcher, root)
        gateway = Gateway(client.address, token, store)
        server = Server(store, packages, requests, gateway, dispatcher, write_token)
        for part in (dispatcher.run, notifier.run):
            thread = threading.Thread(target=part, args=(log,), daemon=True)
            thread.start()
            held.callback(thread.join, END_SECONDS)
        held.callback(notifier.end)
        held.callback(dispatcher.end)

        def tell() -> None:
            log(f"the queue listens on {HOST}:{port}, before {client.address}; {limit} at once")
            log(f"the token of {owner}, its admin, is in {folder / TOKEN}")

        asyncio.run(_listen(server.app(), port, tell))


def open_queue(folder: Path, database: str | None = None) -> tuple[Store, Packages, Signer]:
    """Open a queue in a folder, or in PostgreSQL: what it knows, its packages and its key.

    Raises ClusterError where another process has it, and for a place that is no use.
    """
    if database is None:
        store = Store(SqliteDatabase(folder, TABLES, VERSION))
        return store, PackageFolder(folder / "packages"), Signer(key_of(folder / "key"))
    from deploy.queue.postgres import PostgresDatabase, PostgresPackages

    folder.mkdir(parents=True, mode=0o700, exist_ok=True)  # the owner's token is there
    opened = PostgresDatabase(database, TABLES, VERSION)
    return Store(opened), PostgresPackages(opened), Signer(opened.key())


async def _listen(app: web.Application, port: int, listens: Callable[[], None]) -> None:
    """Answer requests until a signal to end. listens: called once they can come."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's and a shell's `&` stay
            asyncio.get_running_loop().add_signal_handler(number, over.set)
    # Without a log of requests, which would be the place to look for tokens.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            rule = f"port {port} must be free ({error.strerror})"
            raise ClusterError.refused("--port", rule, "give another one") from error
        listens()
        await over.wait()
    finally:
        await runner.cleanup()


def _owner() -> str:
    """Return the name of whoever started the queue, as the queue's users are named."""
    try:
        name = re.sub(r"[^a-z0-9_-]", "-", getpass.getuser().lower())[:32].lstrip("-_")
    except (KeyError, OSError):
        name = ""
    return name or "owner"
