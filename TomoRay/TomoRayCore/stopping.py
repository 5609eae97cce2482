"""Clean stops: SIGTERM and SIGINT become ``Cancelled``, so that everything half done is removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from TomoRayCore.errors import Cancelled

RaiseIfStopped = Callable[[], None]


@contextmanager
def stoppable() -> Iterator[RaiseIfStopped]:
    """Let signals stop the work inside this block.

    The first SIGTERM or SIGINT raises ``Cancelled`` at once; later ones are ignored, so that the
    clean-up cannot be interrupted in its turn. Outside the main thread, where Python allows no
    handlers, the block runs as it is.

    Yields:
        A function that raises ``Cancelled`` when a signal came. Progress reports call it, since
        a library may have swallowed the exception that the signal raised.
    """
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        if not stopped.is_set():
            stopped.set()
            raise Cancelled(signal.Signals(signum).name)

    def raise_if_stopped() -> None:
        if stopped.is_set():
            raise Cancelled

    if threading.current_thread() is not threading.main_thread():
        yield raise_if_stopped
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield raise_if_stopped
    except Exception as error:
        # A parser's wide net may have turned our exception into its own kind of failure.
        if stopped.is_set() and not isinstance(error, Cancelled):
            raise Cancelled from error
        raise
    finally:
        for number, handler in before.items():
            # None: someone outside Python had installed the handler, which cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
