"""Explorers without a kernel: `sent` keeps every message that would have gone to the browser."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import comm
import pytest
from comm.base_comm import BaseComm
from explorer.networks import small_network
from explorer.whole_network import batches

from lrexplore.explorer.app import Explorer, explore
from lrexplore.explorer.layer.floor import Floor
from lrexplore.explorer.work.worker import Token


@dataclass(frozen=True)
class Message:
    """One message to the browser: whose, of which method, its traits without their arrays, its size on the wire."""

    widget: str
    method: str
    state: dict
    num_bytes: int

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.state)


@dataclass
class Sent:
    """All messages, in their order."""

    messages: list[Message] = field(default_factory=list)

    def clear(self) -> None:
        self.messages.clear()

    def to(self, widget, method: str = "update") -> list[Message]:
        """The messages of one method to one widget."""
        return [item for item in list(self.messages) if (item.widget, item.method) == (widget.model_id, method)]

    def last(self, widget, name: str):
        """A trait as the browser has it: what the last message with it said, an echo of its own included."""
        told = [item.state for item in list(self.messages) if item.widget == widget.model_id and name in item.state]
        return told[-1][name] if told else None

    @property
    def num_bytes(self) -> int:
        return sum(item.num_bytes for item in list(self.messages))


@pytest.fixture
def sent(monkeypatch) -> Sent:
    """What widgets made in this test send."""
    kept = Sent()

    class KeepingComm(BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            data = data or {}
            size = len(json.dumps(data)) + sum(memoryview(buffer).nbytes for buffer in buffers or ())
            method = data.get("method", msg_type)
            kept.messages.append(Message(self.comm_id, method, data.get("state", {}), size))

    monkeypatch.setattr(comm, "create_comm", KeepingComm)
    return kept


@pytest.fixture(scope="session")
def curve_folder(tmp_path_factory):
    """One cache of curves for all tests: they are kept by a hash of what they depend on."""
    return tmp_path_factory.mktemp("curves")


@pytest.fixture(autouse=True)
def own_cache(curve_folder, monkeypatch) -> None:
    """Tests neither read nor write the cache of the person who runs them."""
    monkeypatch.setenv("LREXPLORE_CACHE", str(curve_folder))


@pytest.fixture
def no_floor(monkeypatch) -> None:
    """Explorers without the proofs of the floor, which take seconds a layer, and without a pause before them."""
    monkeypatch.setattr(Floor, "missing", lambda *arguments: [])
    monkeypatch.setattr(Token, "pause", Token.cancelled)


@pytest.fixture
def open_explorer(no_floor) -> Iterator[Callable[..., Explorer]]:
    """A function like `explore`, by default of the small network; closes at the end, the error area being empty."""
    opened = []

    def open_one(model=None, **options) -> Explorer:
        explorer = explore(small_network() if model is None else model, **options)
        opened.append(explorer)
        return explorer

    yield open_one
    errors = [explorer.panel.error for explorer in opened]
    for explorer in opened:
        explorer.close()
    assert errors == [""] * len(opened)


@pytest.fixture
def explorer(sent, open_explorer) -> Explorer:
    """The small network's explorer, all of its first layer's curves complete; what it sent so far is forgotten."""
    opened = open_explorer()
    assert opened.wait(60)
    sent.clear()
    return opened


@pytest.fixture
def network_explorer(sent, open_explorer):
    """The small network's explorer with the Network tab open and complete; what it sent so far is forgotten."""
    explorer = open_explorer(loader=batches())
    explorer.state.tab = "Network"
    assert explorer.page("Network").wait(120)
    sent.clear()
    return explorer


@pytest.fixture
def page(network_explorer):
    """The open page; its error area is empty at the end, unless a test read and emptied it."""
    opened = network_explorer.page("Network")
    yield opened
    opened.wait(60)
    assert opened.panel.error == ""
