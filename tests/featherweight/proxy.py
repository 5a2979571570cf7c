"""A bad line: a TCP proxy that cuts connections when it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class CuttingProxy:
    """Passes bytes to ``port`` on; each entry of ``cuts`` ends one connection.

    An entry is the number of bytes from the service (``down``) or to it (``up``) after which the
    connection ends without a word. Connections beyond the list are left alone.
    """

    def __init__(self, port: int, *, down: list[int] | None = None, up: list[int] | None = None):
        self._target = port
        self._down, self._up = list(down or []), list(up or [])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                self.connections += 1
                theirs = socket.create_connection(("127.0.0.1", self._target))
                down = self._down.pop(0) if self._down else None
                up = self._up.pop(0) if self._up else None
                for source, sink, most in ((ours, theirs, up), (theirs, ours, down)):
                    threading.Thread(target=_pass, args=(source, sink, most), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, most: int | None) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while chunk := source.recv(4096):
            if most is not None and passed + len(chunk) > most:
                sink.sendall(chunk[: most - passed])
                break
            sink.sendall(chunk)
            passed += len(chunk)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextlib.contextmanager
def cutting(
    port: int, *, down: list[int] | None = None, up: list[int] | None = None
) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(port, down=down, up=up)
    try:
        yield proxy
    finally:
        proxy.close()
