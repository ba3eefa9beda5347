"""A TCP link to a server on loopback that tests can cut, at a chosen moment of the conversation."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

#: When a connection is cut that sends the awaited bytes: before the server gets them; as soon as it
#: has them, with the server's side left hanging as when a machine vanishes; or when the server has
#: answered and the client has not heard it.
Moment = Literal["before", "during", "after"]


@dataclass
class Pair:
    """One connection: the client's end and the server's."""

    client: socket.socket
    server: socket.socket
    mute: bool = False  #: the client hears no more
    answered: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Close both ends."""
        _close(self.client)
        _close(self.server)


@dataclass
class Link:
    """Forwards connections from `port` to a server on this machine, until it is cut."""

    server: int  #: port of the server
    listener: socket.socket
    cuts: int = 0  #: how often it was cut
    _pairs: list[Pair] = field(default_factory=list)
    _awaited: tuple[bytes, Moment] | None = None
    _down: bool = False

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self.listener.getsockname()[1])

    def cut_when(self, sent: bytes, moment: Moment) -> None:
        """Cut the next connection that sends these bytes, once."""
        self._awaited = (sent, moment)

    def cut(self, *, for_good: bool = False) -> None:
        """Cut what is connected; for good: refuse what comes, too, until `mend`."""
        self._down = for_good
        for pair in self._pairs:
            pair.close()
        self._pairs.clear()
        self.cuts += 1

    def mend(self) -> None:
        """Let connections through again."""
        self._down = False

    def serve(self) -> None:
        """Take connections until the listener is shut."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self._down:
                _close(client)
                continue
            pair = Pair(client, socket.create_connection(("127.0.0.1", self.server)))
            self._pairs.append(pair)
            threading.Thread(target=self._forth, args=(pair,), daemon=True).start()
            threading.Thread(target=self._back, args=(pair,), daemon=True).start()

    def _forth(self, pair: Pair) -> None:
        with contextlib.suppress(OSError):
            while content := pair.client.recv(65_536):
                if self._awaited is not None and self._awaited[0] in content:
                    self._cut(pair, content)
                    return
                pair.server.sendall(content)
        pair.close()

    def _back(self, pair: Pair) -> None:
        with contextlib.suppress(OSError):
            while content := pair.server.recv(65_536):
                pair.answered.set()
                if not pair.mute:
                    pair.client.sendall(content)
        pair.close()

    def _cut(self, pair: Pair, content: bytes) -> None:
        assert self._awaited is not None
        moment, self._awaited = self._awaited[1], None
        self.cuts += 1
        if moment == "before":
            pair.close()
            return
        pair.mute = True
        pair.answered.clear()
        pair.server.sendall(content)
        if moment == "during":
            _close(pair.client)
        else:
            pair.answered.wait(60)
            pair.close()


@contextlib.contextmanager
def linked(server: int) -> Iterator[Link]:
    """Give a link to a server's port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link(server, listener)
        thread = threading.Thread(target=link.serve)
        thread.start()
        try:
            yield link
        finally:
            link.cut(for_good=True)
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
