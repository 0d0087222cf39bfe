"""A person's own images in a real JupyterLab: files chosen in the browser, then a folder by its path."""

import json

import pytest
from explorer.images import bomb, image_folder, picture

pytestmark = pytest.mark.browser

CELL = """
import lrexplore as lr
from explorer.networks import trained_network
from explorer.whole_network import batches

explorer = lr.explore(trained_network(), loader=batches())
explorer.state.tab = "Network"
page = explorer.page("Network")
page.controls.upload.part_bytes = 4000  # several parts a file
explorer
"""
NOTE = "words => document.querySelector('[data-readout-id=agreement] .lrx-note')?.textContent.includes(words)"
TITLE = "words => [...document.querySelectorAll('.lrx-title')].some((node) => node.textContent.includes(words))"


def test_files_and_then_a_folder_become_the_inputs_of_both_tabs(watched, tmp_path):
    notebook = watched("images", [CELL], "explorer.panel", "page.panel")
    page = notebook.page
    page.wait_for_function(NOTE, arg="your loader")
    page.get_by_role("button", name="pin, judge, save").click()
    files = [tmp_path / f"{number}.png" for number in range(8)]
    for number, file in enumerate(files):
        picture(number, 200).save(file)
    files.append(tmp_path / "bomb.png")
    files[-1].write_bytes(bomb())
    page.get_by_label("choose images, or drop them here").set_input_files(files)
    page.wait_for_function(NOTE, arg="8 uploaded images")
    page.get_by_text("1 left out: bomb.png (more than 80 million pixels)").wait_for()
    page.wait_for_function(TITLE, arg="your inputs (8 uploaded images)")
    assert notebook.kernel_value("page.wait(200)")
    assert notebook.kernel_value("page._judge.known(page.plan()).num_inputs") == 2

    folder = image_folder(tmp_path / "photos")
    page.get_by_label("your images", exact=True).fill(str(folder / "nowhere"))
    page.get_by_role("button", name="use folder").click()
    page.locator(".lrx-error", has_text="got no such folder").locator("visible=true").wait_for()
    page.get_by_label("your images", exact=True).fill(str(folder))
    page.get_by_role("button", name="use folder").click()
    page.wait_for_function(NOTE, arg="12 images of photos")
    page.get_by_label("inputs", exact=True).locator("visible=true").get_by_text("yours: 12 images of photos")
    notebook.wait_for_value("page.panel.error", "")
    notebook.kernel_value("explorer.state.assign(tab='Layer', inputs='yours')")
    page.wait_for_function(TITLE, arg="of 12 images of photos (9 inputs of 9 groups)")
    assert notebook.kernel_value("explorer.wait(100)")


def test_files_that_are_dropped_are_sent_too(watched, tmp_path):
    notebook = watched("dropped", [CELL], "explorer.panel", "page.panel")
    page = notebook.page
    page.wait_for_function(NOTE, arg="your loader")
    page.get_by_role("button", name="pin, judge, save").click()
    file = tmp_path / "one.png"
    sent = []
    for number in range(4):
        picture(number, 100).save(file)
        sent.append(list(file.read_bytes()))
    transfer = page.evaluate_handle(
        """contents => {
            const transfer = new DataTransfer();
            for (const [number, bytes] of JSON.parse(contents).entries())
                transfer.items.add(new File([new Uint8Array(bytes)], `${number}.png`, {type: "image/png"}));
            return transfer;
        }""",
        json.dumps(sent),
    )
    page.locator(".lrx-upload").dispatch_event("drop", {"dataTransfer": transfer})
    page.wait_for_function(NOTE, arg="4 uploaded images")
