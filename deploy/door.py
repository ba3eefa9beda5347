"""A door before a server that only half of its ports should be seen of.

    python -m deploy.door PORT INNER

Accepts connections on PORT of every interface and hands each on, byte by byte, to INNER of this
host's loopback. A container beside SeaweedFS runs it: SeaweedFS asks for a login on its S3 port
alone, and binds the port beside it, which takes new accounts from anybody, to the same interfaces.
"""

import asyncio
import sys

_CHUNK = 1 << 18  # bytes


async def serve(port: int, inner: int, host: str = "0.0.0.0") -> asyncio.Server:
    """Open the door and return the server that holds it open. port: 0 is any free one."""

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, asks = await asyncio.open_connection("127.0.0.1", inner)
        except OSError:  # the server is not up: whoever came tries again
            writer.close()
            return
        await asyncio.gather(_hand_on(reader, asks), _hand_on(answers, writer))
        asks.close()
        writer.close()

    return await asyncio.start_server(enter, host, port)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends; then tell the other."""
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def _forever(port: int, inner: int) -> None:
    async with await serve(port, inner) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_forever(int(sys.argv[1]), int(sys.argv[2])))
