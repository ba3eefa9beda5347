"""HTTP to a Ray head's Jobs API: one address, one token, and an error for everything that fails."""

import ipaddress
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from deploy.client.auth import Token
from deploy.errors import ClusterError, JobRefusedError

if TYPE_CHECKING:
    import aiohttp
    import requests

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
UPLOAD_SECONDS = 300.0
QUIET_SECONDS = 20.0


def find_address(address: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the head's dashboard URL without a trailing slash.

    Without `address`: RAY_API_SERVER_ADDRESS, RAY_ADDRESS if it is a URL of the dashboard, else the
    dashboard of this machine. Raises ClusterError for what is not an http(s) URL.
    """
    place = "--address"
    if address is None:
        for place in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
            value = environ.get(place, "")
            if re.match(r"https?://", value) or (value and place == "RAY_API_SERVER_ADDRESS"):
                address = value
                break
        else:
            return DEFAULT_ADDRESS
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # raises UnicodeError for what no host's name can be
    except ValueError:
        host, parts = None, urlsplit("")
    if "@" in address:
        raise ClusterError.refused(
            place,
            "an address must hold no user name and no password",
            "use the token instead: RAY_AUTH_TOKEN_PATH or --token-file",
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ClusterError.refused(
            place,
            "the address must be the URL of a Ray dashboard, not "
            f"{re.split('[?#]', address)[0][:100]!r}",  # a query may carry a secret
            "give it as http://HOST:8265 or https://HOST; ray:// and HOST:6379 are other ports",
        )
    return address.rstrip("/")


def is_address_named(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment names an address, as find_address reads it."""
    url = re.match(r"https?://", environ.get("RAY_ADDRESS", ""))
    return bool(environ.get("RAY_API_SERVER_ADDRESS")) or url is not None


def is_loopback(address: str) -> bool:
    """Return whether the address stays on this machine; no address does not."""
    host = ""
    try:
        host = urlsplit(address).hostname or ""
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Connection:
    """Requests to one head. `warnings` holds what the user should read once."""

    def __init__(self, address: str, token: Token | None) -> None:
        self.address = address
        self.warnings: list[str] = []
        self._token = token
        self._local = is_loopback(address)
        self._session: requests.Session | None = None
        if token is not None and token.warning:
            self.warnings.append(token.warning)
        if token is not None and address.startswith("http://") and not self._local:
            self.warnings.append(
                f"the token travels unencrypted to {address}: use https, or a tunnel "
                "(kubectl port-forward, ssh -L) and http://127.0.0.1"
            )
        if token is None:
            self.warnings.append(
                "no token is used; a cluster that accepts this runs anybody's code "
                "(start it with RAY_AUTH_MODE=token)"
            )

    def another(self) -> "Connection":
        """Return a connection to the same head, for another thread."""
        return Connection(self.address, self._token)

    def __repr__(self) -> str:
        return f"Connection({self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the open sockets; the next request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON answer of a request, or raise ClusterError."""
        response = self.request(method, path, body=body)
        try:
            return response.json()
        except ValueError:
            raise self._not_ray("its answer is not JSON") from None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        data: bytes | None = None,
        accept: tuple[int, ...] = (),
    ) -> "requests.Response":
        """Send one request; return the answer if its status is 2xx or listed in `accept`.

        `body` is sent as JSON, `data` as it is. Redirects are not followed, so that the token goes
        to no other host.
        """
        import requests

        if self._session is None:
            self._session = requests.Session()
            # A proxy of the environment cannot reach this machine's own loopback.
            self._session.trust_env = not self._local
        try:
            response = self._session.request(
                method,
                self.address + path,
                json=body,
                data=data,
                auth=self._authorize,  # a callable also keeps ~/.netrc from replacing the header
                timeout=(CONNECT_SECONDS, READ_SECONDS if data is None else UPLOAD_SECONDS),
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise ClusterError(
                self.address,
                "the server's certificate must be one that this machine accepts",
                "check the host name; for your own authority, set REQUESTS_CA_BUNDLE to its file",
            ) from error
        except requests.exceptions.ConnectTimeout as error:
            raise self._unreachable(f"no answer within {CONNECT_SECONDS:.0f} s") from error
        except requests.exceptions.Timeout as error:
            raise ClusterError(
                self.address,
                f"the head accepted {method} {path} but did not answer in time",
                "look at the head's load and its dashboard.log, then try again",
            ) from error
        except requests.exceptions.ConnectionError as error:
            raise self._unreachable(reason(error)) from error
        except (requests.exceptions.RequestException, ValueError) as error:
            raise self._not_ray(type(error).__name__) from error
        self.check(response.status_code, response.text, path, accept)
        return response

    def _authorize(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers.update(self._headers())
        return request

    def _headers(self) -> dict[str, str]:
        """Return the headers that carry the token."""
        return {} if self._token is None else {"Authorization": self._token.header()}

    def check(self, status: int, text: str, path: str, accept: tuple[int, ...] = ()) -> None:
        """Raise the ClusterError that belongs to an HTTP status; JobRefusedError for one upload."""
        if 200 <= status < 300 or status in accept:
            return
        told = _told(text)  # by a queue; Ray says nothing in this form
        if status in (400, 401, 403, 502) and {"rule", "remedy"} <= told.keys():
            place, code = told.get("place", self.address), 1 if status == 502 else 2
            raise ClusterError(place, told["rule"], told["remedy"], exit_code=code)
        if status == 401:
            raise ClusterError.refused(
                self.address,
                "the request must carry the cluster's token "
                + ("(none was found)" if self._token is None else "(it did not accept this one)"),
                "set RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN, or name the file with --token-file",
            )
        if status == 403:
            source = "no token" if self._token is None else f"the token from {self._token.source}"
            raise ClusterError.refused(
                self.address,
                f"the cluster refuses {source}",
                "get the cluster's own token (on its head: ray get-auth-token)",
            )
        if 300 <= status < 400:
            raise ClusterError.refused(
                self.address,
                "the address must not redirect elsewhere: a token follows no redirect",
                "give the final address of the Ray dashboard",
            )
        if status == 413:
            raise JobRefusedError(
                self.address,
                "the server or a proxy before it refuses an upload of this size",
                "raise the proxy's body limit, or put the data on a volume of the cluster",
            )
        if status in (404, 405):
            raise self._not_ray(f"it has no {path}")
        raise ClusterError(
            self.address,
            f"the cluster answered {status} to {path}: {last_line(text)}",
            "look at the head's dashboard.log",
        )

    def _unreachable(self, why: str) -> ClusterError:
        remedy = "check host and port, that the cluster runs, and the tunnel or port-forward to it"
        if is_loopback(self.address):
            remedy += "; or start this machine's service: gatesearch up"
        return ClusterError(self.address, f"no Ray head can be reached ({why})", remedy)

    def _not_ray(self, why: str) -> ClusterError:
        return ClusterError.refused(
            self.address,
            f"the address must be that of a Ray head's Jobs API ({why})",
            "give the address of the Ray dashboard (port 8265 unless changed)",
        )

    @asynccontextmanager
    async def web_socket(self, path: str) -> "AsyncIterator[aiohttp.ClientWebSocketResponse]":
        """Open a web socket of the head. Raises what aiohttp does, OSError and TimeoutError."""
        import aiohttp

        timeout = aiohttp.ClientWSTimeout(ws_close=0.3)  # Ray's log sockets answer no close
        async with (
            aiohttp.ClientSession(trust_env=not self._local) as session,
            session.ws_connect(
                self.address + path, headers=self._headers(), timeout=timeout
            ) as socket,
        ):
            yield socket

    def stream(self, path: str) -> Iterator[str]:
        """Yield the text messages of a web socket until the server closes it in order.

        An empty text means that nothing came for QUIET_SECONDS: Ray's log sockets answer no ping,
        so the caller finds out in another way whether the head is still there. Raises ClusterError
        if the socket cannot be opened, EOFError if it breaks off.
        """
        import asyncio

        import aiohttp

        opened = self.web_socket(path)
        with asyncio.Runner() as runner:
            try:
                socket = runner.run(opened.__aenter__())
            except aiohttp.WSServerHandshakeError as error:
                self.check(error.status, error.message, path)
                raise ClusterError(
                    self.address,
                    "a log must be followed through a web socket, and none can be opened here",
                    "let the proxy pass web sockets, or read the log without following it",
                ) from None  # the cause's repr holds the request's headers
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._unreachable(reason(error)) from None
            try:
                while True:
                    try:
                        message = runner.run(socket.receive(timeout=QUIET_SECONDS))
                    except TimeoutError:
                        yield ""
                        continue
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.data
                    elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                        if socket.close_code == aiohttp.WSCloseCode.OK:
                            return
                        raise EOFError(f"web socket closed with {socket.close_code}")
                    elif message.type is aiohttp.WSMsgType.ERROR:
                        raise EOFError("the web socket broke off")
            finally:
                runner.run(opened.__aexit__(None, None, None))


def _told(text: str) -> dict[str, str]:
    """Return the texts by which a queue says what is wrong: rule, remedy and most often place."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    found = told.items() if isinstance(told, dict) else ()
    return {name: value for name, value in found if isinstance(value, str)}


def reason(error: Exception) -> str:
    """Return the innermost cause of a connection error, without the request."""
    text = str(error).rsplit(": ", 1)[-1].strip(")'\"> ")
    match = re.search(r"\[Errno -?\d+\] ([^'\")\[]+)", str(error))
    return (match.group(1) if match else text[:120]) or type(error).__name__


def last_line(text: str) -> str:
    """Return the last line that says something; of a server's traceback, the error itself."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no text"


def segment(text: str) -> str:
    """Return `text` as one segment of a URL's path."""
    return quote(text, safe="")
