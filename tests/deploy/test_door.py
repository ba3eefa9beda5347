"""What the containers of a service run beside others' servers: the door, the question how it is."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from server_process import free_ports

from deploy.door import serve
from deploy.healthy import is_healthy


@pytest.fixture
def web() -> Iterator[int]:
    """A server that is well at /well alone."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


async def ask(port: int, sent: bytes) -> bytes:
    """Send to a port, say that this is all, and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def test_a_door_hands_on_every_byte_both_ways_for_many_at_once() -> None:
    big = bytes(range(256)) * 20_000

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(-1))
        await writer.drain()
        writer.close()

    async def through() -> list[bytes]:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as inner:
            behind = inner.sockets[0].getsockname()[1]
            async with await serve(0, behind, "127.0.0.1") as door:
                port = door.sockets[0].getsockname()[1]
                return await asyncio.gather(*(ask(port, bytes([n]) + big) for n in range(8)))

    assert asyncio.run(through()) == [bytes([n]) + big for n in range(8)]


def test_a_door_before_nobody_closes_at_once_and_stays_open_for_later() -> None:
    (nobody,) = free_ports(1)

    async def through() -> list[bytes]:
        async with await serve(0, nobody, "127.0.0.1") as door:
            port = door.sockets[0].getsockname()[1]
            return [await ask(port, b"?"), await ask(port, b"?")]

    with contextlib.suppress(ConnectionError):  # the other way to be told that nobody is there
        assert asyncio.run(through()) == [b"", b""]


@pytest.mark.parametrize(("path", "well"), [("well", True), ("ill", False)])
def test_a_server_is_well_when_it_says_so(path: str, well: bool, web: int) -> None:
    assert is_healthy(f"http://127.0.0.1:{web}/{path}") is well


def test_a_server_that_is_not_there_is_not_well() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        assert not is_healthy(f"http://127.0.0.1:{bound.getsockname()[1]}/")
