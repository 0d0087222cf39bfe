"""Theory figures with a slider: moments computed beforehand, so that they move without a kernel or a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import plotly.graph_objects as go

from lrexplore.theory.figure import TheoryFigure


class MovingFigure(TheoryFigure):
    """A `TheoryFigure` of which some traces change with a slider.

    What is drawn inside `with view.moment(label):` belongs to that position of the slider; all moments draw the same
    traces in the same order. What is drawn outside stays. `slider` ends the figure.
    """

    def __init__(self, *titles: str, height: int = 440, **options: Any):
        super().__init__(*titles, height=height, **options)
        self._moving: tuple[int, ...] = ()
        self._drawn: list[tuple[go.Scatter, int]] | None = None

    @contextmanager
    def moment(self, label: str, note: str = "") -> Iterator[None]:
        """Collect what is drawn inside as one position of the slider; `note` stands above the panels meanwhile."""
        self._drawn = []
        yield
        drawn, self._drawn = self._drawn, None
        if not self._moving:
            start = len(self.figure.data)
            for trace, panel in drawn:
                super()._place(trace, panel)
            self._moving = tuple(range(start, len(self.figure.data)))
            self.figure.update_layout(title=_note(note))
        elif len(drawn) != len(self._moving):
            raise ValueError(
                f"`moment` must draw {len(self._moving)} traces as the first one did, got {len(drawn)} for {label!r}. "
                "Draw an empty trace where there is nothing to show."
            )
        traces = [trace for trace, _ in drawn]
        frame = go.Frame(name=label, data=traces, traces=self._moving, layout={"title": _note(note)})
        self.figure.frames = [*self.figure.frames, frame]

    def slider(self, label: str, *, play: bool = False) -> go.Figure:
        """The figure with a slider over its moments under the panels; `play` adds a button that runs through them."""
        names = [frame.name for frame in self.figure.frames]
        at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
        steps = [{"label": name, "method": "animate", "args": [[name], at_once]} for name in names]
        shown = {"prefix": f"{label}: ", "xanchor": "left"}
        place = {"x": 0.1 if play else 0.0, "len": 0.9 if play else 1.0, "pad": {"t": 55, "b": 5}}
        self.figure.update_layout(sliders=[{"steps": steps, "currentvalue": shown, "active": 0, **place}])
        noted = any(frame.layout.title.text for frame in self.figure.frames)
        self.figure.update_layout(margin={"b": 120, "t": 80 if noted else 56}, height=self.figure.layout.height + 80)
        if play:
            running = {"fromcurrent": True, "frame": {"duration": 400, "redraw": True}, "transition": {"duration": 0}}
            buttons = [
                {"label": "Play", "method": "animate", "args": [None, running]},
                {"label": "Pause", "method": "animate", "args": [[None], at_once]},
            ]
            where = {"x": 0, "xanchor": "left", "y": 0, "yanchor": "top", "pad": {"t": 60}}
            menu = {"type": "buttons", "direction": "down", "buttons": buttons, **where}
            self.figure.update_layout(updatemenus=[menu])
        return self.figure

    def _place(self, trace: Any, panel: int) -> None:
        if self._drawn is None:
            super()._place(trace, panel)
        else:
            # What make_subplots would do, for a trace that is no part of the figure yet.
            if trace.type == "scatter":
                number = "" if panel == 1 else panel
                trace.xaxis, trace.yaxis = f"x{number}", f"y{number}"
            self._drawn.append((trace, panel))


def _note(text: str) -> dict:
    return {"text": text, "x": 0.5, "y": 0.98, "yanchor": "top", "font": {"size": 14}}
