"""What takes long and is wanted by several threads: worked out once."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
WAIT_S = 0.1


class Once(Generic[T]):
    """Holds `value`, None until `get` has worked it out."""

    def __init__(self):
        self.value: T | None = None
        self._lock = Lock()

    def get(self, make: Callable[[], T], waiting: Callable[[], None]) -> T:
        """The value, made unless it is there. While another thread makes it `waiting()` is called; it may raise.

        What `make` raises goes to its caller alone: the next one makes the value anew.
        """
        while not self._lock.acquire(timeout=WAIT_S):
            waiting()
        try:
            if self.value is None:
                self.value = make()
            return self.value
        finally:
            self._lock.release()
