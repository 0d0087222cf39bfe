"""The training tab of an explorer: it offers to train what is on screen, and rests while another tab is in front."""

from lrexplore.explorer.training.set_ranks import plan_of
from lrexplore.explorer.training.tab import TrainingTab
from lrexplore.ranks import RankPlan

TITLE = "Training"
FOLLOWED = ("initializer", "scheme")


class TrainingPage:
    """A page of `explorer`: `tab` is its TrainingTab, whose form follows the layer's tab."""

    def __init__(self, explorer):
        self._explorer = explorer
        model = explorer.subject.name.split(" · ")[0]
        self.tab = TrainingTab(model=model, plan=self._plan)
        self.tab.form.rank_scale.value = explorer.subject.rank_scale
        self.tab.show(explorer.state.tab == TITLE)
        self.widget = self.tab.widget
        self._on_choice()
        explorer.state.observe(self._on_choice, names=list(FOLLOWED))
        explorer.state.observe(self._on_tab, names="tab")

    def close(self) -> None:
        """Close the tab; runs go on."""
        self._explorer.state.unobserve(self._on_choice, names=list(FOLLOWED))
        self._explorer.state.unobserve(self._on_tab, names="tab")
        self.tab.close()

    def _plan(self, scheme: str) -> RankPlan:
        explorer = self._explorer
        if scheme != explorer.state.scheme:
            raise ValueError(
                f"`scheme` must be {explorer.state.scheme}, in which the ranks were set layer by layer, got {scheme}."
                " Choose that one, or set the ranks again in the other."
            )
        return plan_of(explorer.subject, explorer.ranks(), scheme, explorer.state.initializer)

    def _on_choice(self, change=None) -> None:
        state = self._explorer.state
        self.tab.form.follow(state.initializer, state.scheme)

    def _on_tab(self, change) -> None:
        self.tab.show(change["new"] == TITLE)
