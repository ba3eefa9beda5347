"""What the queue passes on to the cluster: logs, results, nodes. Its users have no token there."""

import asyncio
import re
import secrets

import aiohttp
from aiohttp import web

from deploy.client.archive import FETCH_PREFIX
from deploy.client.auth import Token
from deploy.client.client import Client
from deploy.client.cluster_job import ClusterJob
from deploy.client.commands import journal_command, send_command, standing_command
from deploy.client.connection import Connection, segment
from deploy.errors import ClusterError
from deploy.queue.entry import Entry
from deploy.queue.store import Store

_LOOK_SECONDS = 1.0  # how often a log that is waited for is looked for
_PASSED = (400, 404, 405, 500)


class Gateway:
    """One cluster, as seen through the queue."""

    def __init__(self, address: str, token: Token | None, store: Store) -> None:
        self._address, self._token, self._store = address, token, store

    async def pass_on(self, method: str, path: str) -> web.Response:
        """Return the cluster's own answer. Raises ClusterError where it gives none."""
        status, body = await asyncio.to_thread(self._request, method, path)
        return web.Response(status=status, body=body, content_type="application/json")

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        with Connection(self._address, self._token) as http:
            answer = http.request(method, path, accept=_PASSED)
            return answer.status_code, answer.content

    async def logs(self, entry: Entry) -> web.Response:
        """Return a job's log so far, in Ray's form; an empty one where the cluster has none."""
        if entry.submission is not None:
            answer = await self.pass_on("GET", f"/api/jobs/{segment(entry.submission)}/logs")
            if answer.status == 200:
                return answer
        return web.json_response({"logs": ""})

    async def follow(self, request: web.Request, entry_id: str) -> web.WebSocketResponse:
        """Send a log through a web socket as it grows; of a job that waits, once it runs."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        entry = await asyncio.to_thread(self._store.entry, entry_id)
        while entry is not None and entry.state in ("queued", "starting"):
            try:
                message = await socket.receive(timeout=_LOOK_SECONDS)
            except TimeoutError:
                entry = await asyncio.to_thread(self._store.entry, entry_id)
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                return socket  # whoever listened has left
        submission = entry_id if entry is None else entry.submission
        code = aiohttp.WSCloseCode.OK
        if submission is not None:
            code = await self._pump(socket, submission)
        await socket.close(code=code)
        return socket

    async def _pump(self, socket: web.WebSocketResponse, submission: str) -> aiohttp.WSCloseCode:
        """Send on what the cluster's web socket says; return how it has ended."""
        http = Connection(self._address, self._token)
        path = f"/api/jobs/{segment(submission)}/logs/tail"
        try:
            async with http.web_socket(path) as source:
                gone = asyncio.create_task(_left(socket))
                try:
                    while True:
                        arriving = asyncio.create_task(source.receive())
                        await asyncio.wait({arriving, gone}, return_when="FIRST_COMPLETED")
                        if not arriving.done():
                            arriving.cancel()
                            return aiohttp.WSCloseCode.OK
                        message = arriving.result()
                        if message.type is not aiohttp.WSMsgType.TEXT:
                            break
                        await socket.send_str(message.data)
                finally:
                    gone.cancel()
                in_order = source.close_code == aiohttp.WSCloseCode.OK
        except aiohttp.WSServerHandshakeError as error:
            in_order = error.status == 404  # of a head that came back without it
        except (aiohttp.ClientError, OSError):
            in_order = False
        return aiohttp.WSCloseCode.OK if in_order else aiohttp.WSCloseCode.TRY_AGAIN_LATER

    async def print(self, entry_id: str, what: str) -> str:
        """Have the cluster print something of a job; return the submission whose log has it."""
        return await asyncio.to_thread(self._print, entry_id, what)

    def _print(self, entry_id: str, what: str) -> str:
        with Client(self._address, self._token) as client:
            entry = self._store.entry(entry_id)
            job: ClusterJob = client.find(entry_id) if entry is None else entry.as_cluster_job()
            folder = job.folder_in_shell
            commands = {
                "folder": send_command(folder, checkpoints=False),
                "checkpoints": send_command(folder, checkpoints=True),
                "standing": standing_command(folder),
            }
            if found := re.fullmatch("journal-([0-9]{1,9})", what):
                commands[what] = journal_command(folder, int(found[1]))
            if what not in commands:
                rule = f"what is printed must be one of {', '.join(commands)}, not {what!r:.40}"
                raise ClusterError.refused(entry_id, rule, "use the queue's gatesearch")
            submission = f"{FETCH_PREFIX}{secrets.token_hex(6)}"
            client.print(submission, commands[what])
        return submission


async def _left(socket: web.WebSocketResponse) -> None:
    """Return when whoever listens has left."""
    while True:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
