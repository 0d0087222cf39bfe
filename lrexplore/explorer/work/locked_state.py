"""Traits that several threads may set: one at a time, and several of them as one."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import RLock

import ipywidgets
import traitlets as t


class _Locked(t.HasTraits):
    """Holds `lock` while a trait is set and while observers hear of it.

    Without it a thread that holds notifications would have another thread's values go unchecked.
    """

    lock: AbstractContextManager

    def setup_instance(self, /, *args, **kwargs) -> None:
        """Called by traitlets before `__init__`."""
        self.__dict__["lock"] = RLock()
        super().setup_instance(*args, **kwargs)

    def __setattr__(self, name: str, value) -> None:
        with self.lock:
            super().__setattr__(name, value)

    def set_trait(self, name: str, value) -> None:
        """Set a trait, also one that is read-only."""
        with self.lock:
            super().set_trait(name, value)

    @contextmanager
    def hold_trait_notifications(self) -> Iterator[None]:
        """Observers hear of what is set in this block at its end, and checks see all of it."""
        with self.lock, super().hold_trait_notifications():
            yield


class LockedState(_Locked):
    """Traits set by one thread at a time; whoever shows the state holds the same `lock`."""

    _is_assigning = False

    def assign(self, **values) -> None:
        """Set several traits as one: checked together, as they are given, and nothing of them is set if one is refused.

        Traits that follow others (an initializer its inputs, a rank its layer) do not. Raises TraitError.
        """
        if unknown := [name for name in values if not self.has_trait(name)]:
            raise t.TraitError(
                f"`values` must be of traits of the state, got {unknown[0]!r}. They are {', '.join(self.traits())}."
            )
        with self.lock:
            self._is_assigning = True
            try:
                with self.hold_trait_notifications():
                    for name, value in values.items():
                        setattr(self, name, value)
            finally:
                self._is_assigning = False


class LockedWidget(_Locked, ipywidgets.Widget):
    """A widget that shows a state: set by the browser or a thread, one at a time.

    `share` has it hold the state's lock: with two locks, each of two threads could wait for the one that the other has.
    """

    def share(self, lock: AbstractContextManager) -> None:
        """Hold this lock instead of its own from now on."""
        self.__dict__["lock"] = lock

    def set_state(self, sync_data) -> None:
        """Called with what the browser has sent."""
        with self.lock:
            super().set_state(sync_data)

    @contextmanager
    def hold_sync(self) -> Iterator[None]:
        """The browser hears of what is set in this block at its end, in one message."""
        with self.lock, super().hold_sync():
            yield
