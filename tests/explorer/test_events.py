"""What happens when a browser, cells and workers are all at an explorer at once."""

import pytest

from lrexplore.bench.faults.explorer_events import _Campaign, explorer_events


def test_random_events_from_four_threads_end_well_and_leave_all_of_one_mind(no_floor):
    events = explorer_events(400, seed=5)
    assert events.faults == []
    assert events.num_taken + events.num_refused == 400
    assert events.num_taken > 300


def test_the_campaign_finds_a_state_that_is_apart_from_its_panel(no_floor, monkeypatch):
    look = _Campaign._look

    def break_and_look(campaign, when):
        campaign.training.panel.checked = campaign.training.state.checked
        campaign.explorer.wait(60)
        campaign.explorer.panel.unobserve_all()
        campaign.explorer.panel.rank = campaign.explorer.state.max_rank + 1
        look(campaign, when)

    monkeypatch.setattr(_Campaign, "_look", break_and_look)
    assert any("rank on the panel" in fault for fault in explorer_events(4).faults)


def test_an_option_that_is_offered_no_longer_is_not_taken(explorer):
    explorer.controls.initializer.set_state({"index": 99})
    assert explorer.state.initializer == explorer.controls.initializer.value == "function"


@pytest.mark.parametrize("tab", ["Network", "Training"])
def test_each_tab_holds_one_lock_with_its_panel_and_pickers(explorer, tab):
    page = explorer.page(tab)
    page = page.tab if tab == "Training" else page
    controls = [*page.controls._bound._controls.values()]
    assert {id(widget.lock) for widget in (page.panel, *controls)} == {id(page.state.lock)}
