"""A proxy that stops answering, for a network that stalls."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Proxy:
    """A TCP proxy on loopback that can stop forwarding. waiting: connections accepted since it stopped."""

    def __init__(self, port: int) -> None:
        self.port, self.waiting, self._flows = port, 0, threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.go_on()

    def stall(self) -> None:
        self.waiting = 0
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self._listener.accept()
                self.waiting += not self._flows.is_set()
                threading.Thread(target=self._serve, args=(here,), daemon=True).start()

    def _serve(self, here: socket.socket) -> None:
        self._flows.wait()
        with suppress(OSError):
            there = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self._forward, args=(there, here), daemon=True).start()
            self._forward(here, there)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
