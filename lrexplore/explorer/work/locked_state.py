"""Traits that several threads may set: one at a time, and several of them as one."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import traitlets as t


class LockedState(t.HasTraits):
    """Holds `lock` while a trait is set and while observers hear of it; whoever shows the state holds the same lock.

    Without it a thread that holds notifications would have another thread's values go unchecked.
    """

    lock: RLock
    _is_assigning = False

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
