"""The scoring API over HTTP, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from heart_disease.serving import server
from heart_disease.serving.follower import Follower


@contextmanager
def running(follower: Follower, token: str = "") -> Iterator[int]:
    """The port of a server that answers with the follower's version; it ends with the block, also if a test fails."""
    with server.listen("127.0.0.1", 0) as listener:
        api = server.web_server(follower, token)
        thread = threading.Thread(target=api.run, args=([listener],))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            api.should_exit = True
            thread.join()
