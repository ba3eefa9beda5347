"""HTTP: tokens, hosts and origins, and which request does what.

It speaks Ray's Jobs API as far as gatesearch's client does, so that a queue's address stands in the
place of a cluster's; and below /queue what a cluster has not.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiohttp import web

from deploy.client.archive import FETCH_PREFIX
from deploy.client.connection import is_loopback, segment
from deploy.client.package import MAX_BYTES
from deploy.client.queue import VERSION
from deploy.errors import ClusterError, QueueAwayError
from deploy.queue.dispatch import Dispatcher
from deploy.queue.gateway import Gateway
from deploy.queue.metrics import CONTENT_TYPE
from deploy.queue.packages import Packages
from deploy.queue.requests import Requests
from deploy.queue.store import Store, User

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_T = TypeVar("_T")
_USER = web.RequestKey("user", User)
_MAX_JSON = 65_536
_ASK = "have an admin of the queue make one: gatesearch queue user add NAME"


class Server:
    """The requests of one queue."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        requests: Requests,
        gateway: Gateway,
        dispatcher: Dispatcher,
        user_changed: Callable[[str], None],
    ) -> None:
        """user_changed: told whose token is another one now."""
        self._store, self._packages, self._requests = store, packages, requests
        self._gateway, self._dispatcher = gateway, dispatcher
        self._user_changed = user_changed
        # Waits for a database that is away while the loop goes on; packages are put one by one.
        self._waiting = ThreadPoolExecutor(1, "database")

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._admit], client_max_size=MAX_BYTES + 1)
        app.on_cleanup.append(self._end)
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/v0/nodes", self._nodes),
                web.get("/api/jobs/", self._jobs),
                web.get("/api/jobs/{id}", self._job),
                web.delete("/api/jobs/{id}", self._forget),
                web.get("/api/jobs/{id}/logs", self._logs),
                web.get("/api/jobs/{id}/logs/tail", self._follow),
                web.post("/api/jobs/{id}/stop", self._stop),
                web.get("/metrics", self._metrics),
                web.get("/queue", self._listing),
                web.get("/queue/packages/{sha256}", self._has_package),
                web.put("/queue/packages/{sha256}", self._put_package),
                web.post("/queue/jobs", self._submit),
                web.post("/queue/jobs/{id}", self._change),
                web.post("/queue/jobs/{id}/resume", self._resume),
                web.post("/queue/jobs/{id}/print/{what}", self._print),
                web.post("/queue/users", self._add_user),
                web.delete("/queue/users/{name}", self._remove_user),
            ]
        )
        return app

    async def _end(self, app: web.Application) -> None:
        self._waiting.shutdown(cancel_futures=True)

    async def _waited(self, call: Callable[..., _T], *values: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._waiting, call, *values)

    @web.middleware
    async def _admit(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse what comes from a page of elsewhere, and whoever has no good token."""
        own = [f"http://{request.host}", *request.headers.getall("Origin", [])]
        if not all(map(is_loopback, own)):  # on whichever port: a tunnel may have another one
            rule = "the request must name this machine in Host and Origin"
            return _problem(
                403, rule, "reach the queue as 127.0.0.1, over a tunnel where it is far"
            )
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return _problem(401, "the request must carry a token of the queue", _ASK)
        try:
            user = await self._waited(self._requests.user_of, token.strip())
            if user is None:
                rule = "the token must be one of this queue's that is still good"
                return _problem(403, rule, _ASK)
            request[_USER] = user
            return await handler(request)
        except ClusterError as error:
            told = {"place": error.place, "rule": error.rule, "remedy": error.remedy}
            if error.exit_code == 2:
                return web.json_response(told, status=400)
            if not isinstance(error, QueueAwayError):
                told["rule"] = f"the cluster behind the queue: {error.rule}"
            return web.json_response(told, status=502)

    # Ray's

    async def _version(self, request: web.Request) -> web.Response:
        known = self._dispatcher.ray_version or "unknown"
        return web.json_response({"ray_version": known, VERSION: 1})

    async def _nodes(self, request: web.Request) -> web.Response:
        return await self._gateway.pass_on("GET", request.path_qs)

    async def _jobs(self, request: web.Request) -> web.Response:
        return web.json_response(self._requests.jobs())

    async def _job(self, request: web.Request) -> web.Response:
        details = self._requests.job(request.match_info["id"])
        if details is not None:
            return web.json_response(details)
        return await self._gateway.pass_on("GET", _path(request))

    async def _logs(self, request: web.Request) -> web.Response:
        entry = self._store.entry(request.match_info["id"])
        if entry is not None:
            return await self._gateway.logs(entry)
        return await self._gateway.pass_on("GET", _path(request, "/logs"))

    async def _follow(self, request: web.Request) -> web.WebSocketResponse:
        return await self._gateway.follow(request, request.match_info["id"])

    async def _stop(self, request: web.Request) -> web.Response:
        entry_id = request.match_info["id"]
        if self._store.entry(entry_id) is not None:
            self._requests.stop(request[_USER], entry_id)
            return web.json_response({"stopped": True})
        self._demand_printing(request)
        return await self._gateway.pass_on("POST", _path(request, "/stop"))

    async def _forget(self, request: web.Request) -> web.Response:
        self._demand_printing(request)
        return await self._gateway.pass_on("DELETE", _path(request))

    def _demand_printing(self, request: web.Request) -> None:
        """Raise ClusterError unless the submission only prints, or an admin asks."""
        entry_id = request.match_info["id"]
        if not entry_id.startswith(FETCH_PREFIX) and not request[_USER].admin:
            rule = "a job that was submitted past the queue must be left to an admin"
            raise ClusterError.refused(entry_id, rule, "ask an admin of the queue")

    # The queue's own

    async def _metrics(self, request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE}
        return web.Response(text=self._requests.metrics(), headers=headers)

    async def _listing(self, request: web.Request) -> web.Response:
        return web.json_response(self._requests.listing())

    async def _has_package(self, request: web.Request) -> web.Response:
        found = await self._waited(self._packages.has, request.match_info["sha256"])
        return web.json_response({"found": found}, status=200 if found else 404)

    async def _put_package(self, request: web.Request) -> web.Response:
        content = await request.read()
        await self._waited(self._packages.put, request.match_info["sha256"], content)
        return web.json_response({})

    async def _submit(self, request: web.Request) -> web.Response:
        return web.json_response(self._requests.submit(request[_USER], await _told(request)))

    async def _change(self, request: web.Request) -> web.Response:
        entry_id = request.match_info["id"]
        self._requests.change(request[_USER], entry_id, await _told(request))
        return web.json_response({})

    async def _resume(self, request: web.Request) -> web.Response:
        return web.json_response(self._requests.resume(request[_USER], request.match_info["id"]))

    async def _print(self, request: web.Request) -> web.Response:
        asked = request.match_info
        return web.json_response({"id": await self._gateway.print(asked["id"], asked["what"])})

    async def _add_user(self, request: web.Request) -> web.Response:
        told = await _told(request)
        token = self._requests.add_user(request[_USER], told)
        self._user_changed(told["name"])
        return web.json_response({"token": token})

    async def _remove_user(self, request: web.Request) -> web.Response:
        self._requests.remove_user(request[_USER], request.match_info["name"])
        return web.json_response({})


def _path(request: web.Request, rest: str = "") -> str:
    return f"/api/jobs/{segment(request.match_info['id'])}{rest}"


async def _told(request: web.Request) -> dict[str, Any]:
    """Return a request's JSON object. Raises ClusterError for anything else."""
    body = await request.read()
    try:
        told = json.loads(body) if len(body) <= _MAX_JSON else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        rule = f"the request must be a JSON object of at most {_MAX_JSON} bytes"
        raise ClusterError.refused(request.path, rule, "use gatesearch")
    return told


def _problem(status: int, rule: str, remedy: str) -> web.Response:
    return web.json_response({"rule": rule, "remedy": remedy}, status=status)
