"""Images of a person's own: read safely, said and named, and "yours" in both tabs from then on."""

import io

import pytest
import torch
from explorer.images import bomb, image_folder, picture
from explorer.networks import WIDE, linear_network, trained_network
from explorer.whole_network import batches, plot, readout, silent, take_error

import lrexplore as lr
from lrexplore.explorer import own_images
from lrexplore.explorer.network.judge import Judge
from lrexplore.explorer.own_images import of_person, of_uploads
from lrexplore.explorer.real_inputs import IMPLIED, YOURS
from lrexplore.explorer.samples import Origin


def small(images):
    """A batch of images 12 pixels wide."""
    resized = [torch.tensor(list(image.resize((12, 12)).get_flattened_data()), dtype=torch.float) for image in images]
    return torch.stack(resized).reshape(len(images), 12, 12, 3).permute(0, 3, 1, 2) / 128 - 1


@pytest.fixture
def prepared_small(monkeypatch):
    """Images are prepared 12 pixels wide, whatever the network."""
    monkeypatch.setattr("lrexplore.explorer.samples.preprocess", lambda name, images: small(images))


def read(images):
    """What is read of images, each with its group's id."""
    made = images(transform=small)
    rows = list(made.grouped())
    return made, torch.cat([batch for batch, _ in rows]), [one for _, ids in rows for one in ids]


def encoded(image, kind="PNG"):
    """The bytes of an image's file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_what_cannot_be_read_is_left_out_and_named(tmp_path):
    made, images, groups = read(of_person(image_folder(tmp_path / "photos")))
    assert len(images) == 12 and len(set(groups)) == 12
    assert made.said == "12 images of photos"
    assert made.left_out.startswith("3 left out: ")
    for name, reason in {
        "broken.jpg": "",
        "bomb.png": "more than 80 million pixels",
        "program.jpg": "no image",
    }.items():
        assert name in made.left_out and reason in made.left_out
    assert "hidden" not in made.left_out and "notes" not in made.left_out


def test_of_many_images_some_are_drawn_of_all_folders_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(own_images, "MOST_IMAGES", 12)
    folder = image_folder(tmp_path / "many", 40)
    for name in ("odd/broken.jpg", "odd/bomb.png", "even/program.jpg"):
        (folder / name).unlink()
    made, images, _ = read(of_person(folder))
    assert len(images) == 12
    assert made.said == "12 of 40 images of many"
    again, others, _ = read(of_person(str(folder)))
    assert torch.equal(images, others)


def test_near_duplicates_are_one_group():
    image = picture(1, 200)
    files = [(f"{n}.png", encoded(picture(n))) for n in range(3)] + [("a.jpg", encoded(image, "JPEG"))]
    files.append(("b.png", encoded(image.resize((120, 120)))))
    _, images, groups = read(of_uploads(files))
    assert len(images) == 5 and len(set(groups)) == 3


def test_a_link_to_a_folder_above_is_no_endless_way(tmp_path):
    folder = image_folder(tmp_path / "loop", 4)
    (folder / "even" / "back").symlink_to(folder, target_is_directory=True)
    made, images, _ = read(of_person(folder))
    assert len(images) == 4


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("", "`images` must be a folder of images, got nothing"),
        ("nowhere", "`images` must be a folder of images, got no such folder: nowhere"),
        ("empty", "got none in empty"),
        ("empty/notes.txt", "got a file"),
        (["gone.png"], "`images` must be files, got no file gone.png"),
    ],
)
def test_a_path_without_images_is_refused(images, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=message):
        of_person(images)


def test_one_image_is_too_few_and_what_was_left_out_is_said():
    files = [("one.png", encoded(picture(0))), ("bomb.png", bomb())]
    with pytest.raises(ValueError, match=r"two or more that can be read, got 1 uploaded images \(1 left out: bomb.png"):
        read(of_uploads(files))
    with pytest.raises(ValueError, match=r"got none \(film.mp4 \(no image\)\)"):
        of_uploads([], ["film.mp4 (no image)"])


def test_a_network_that_takes_no_images_says_how_they_were_prepared(tmp_path):
    images = of_person(image_folder(tmp_path / "photos", 4))
    with pytest.raises(ValueError, match="`images` must be inputs of this network, got .* as for resnet50"):
        Origin().with_images(linear_network(), images, silent)


def test_images_are_the_inputs_of_both_tabs_and_nothing_is_left_of_others(prepared_small, open_explorer, tmp_path):
    explorer = open_explorer(trained_network(), loader=batches())
    explorer.state.inputs, explorer.state.tab = YOURS, "Network"
    page = explorer.page("Network")
    assert explorer.wait(120) and page.wait(120)
    before = explorer.subject.real.calibration
    pictures = plot(page, "samples")["images"][0]["values"]
    drawn = explorer.panel.frame["key"]
    said = explorer.use_images(image_folder(tmp_path / "photos"))
    assert said.startswith("12 images of photos. 3 left out: ")
    assert explorer.wait(300) and page.wait(300)
    assert "12 images of photos (9 inputs of 9 groups)" in explorer.panel.frame["title"]
    assert explorer.panel.frame["key"] != drawn
    assert explorer.subject.real.calibration is not before
    expected = lr.calibrate(trained_network(), explorer.origin.samples(None).fit)
    torch.testing.assert_close(explorer.subject.real.calibration["stem"].mean, expected["stem"].mean)
    assert page.state.inputs == YOURS
    assert "1 plan was measured, on 3 inputs" in plot(page, "front")["caption"]
    assert "on 3 inputs: 12 images of photos" in readout(page, "agreement")["note"]
    assert "your inputs (12 images of photos)" in page.panel.frame["title"]
    assert page._judge.known(page.plan()).num_inputs == 3
    assert plot(page, "samples")["images"][0]["values"] != pictures
    for controls in (explorer.controls, page.controls):
        assert ("yours: 12 images of photos", YOURS) in controls.inputs.options
        assert controls.inputs.value == YOURS


def test_a_folder_is_taken_in_the_drawer_and_a_wrong_one_changes_nothing(prepared_small, open_explorer, tmp_path):
    explorer = open_explorer(trained_network())
    page = explorer.page("Network")
    assert page.wait(120)
    key, judge = page.panel.frame["key"], page._judge
    page.controls.folder.value = str(tmp_path / "nowhere")
    page.controls.use_folder.click()
    assert "`images` must be a folder of images, got no such folder" in take_error(page)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"nothing")
    page.controls.folder.value = str(tmp_path / "broken")
    page.controls.use_folder.click()
    assert page.wait(120)
    assert "`images` must be two or more that can be read, got 0 images of broken" in take_error(page)
    assert (page.panel.frame["key"], page.state.inputs) == (key, IMPLIED)
    assert page._judge is judge
    page.controls.folder.value = str(image_folder(tmp_path / "photos"))
    page.controls.use_folder.click()
    assert page.wait(300)
    assert (page.state.inputs, page.state.initializer, page.state.weights) == (YOURS, "whitened", "sensitivity")
    assert "12 images of photos. 3 left out: " in page.controls.taken.value
    assert page.plan().inputs == "your inputs"
    explorer.state.inputs = YOURS
    assert explorer.wait(120)
    assert "12 images of photos" in explorer.panel.frame["title"]


def test_reading_can_be_cancelled_and_leaves_what_was_there(prepared_small, open_explorer, tmp_path, monkeypatch):
    page = open_explorer(trained_network()).page("Network")
    assert page.wait(120)
    judge, decode = page._judge, own_images.decoded

    def cancelling(content):
        page.panel._handle_custom_msg({"type": "cancel"}, [])
        return decode(content)

    monkeypatch.setattr(own_images, "decoded", cancelling)
    page.controls.folder.value = str(image_folder(tmp_path / "photos"))
    page.controls.use_folder.click()
    assert page.wait(120)
    assert page._judge is judge and page.state.inputs == IMPLIED
    assert "cancelled" in page.panel.status


def test_an_answer_on_earlier_inputs_never_counts_for_the_images(prepared_small, open_explorer, tmp_path, monkeypatch):
    explorer = open_explorer(trained_network(), loader=batches())
    page, ask = explorer.page("Network"), Judge._ask
    folder, taken = image_folder(tmp_path / "photos"), []

    def taking(judge, plan, model, progress, what):
        if not taken:
            taken.append(explorer.use_images(folder))
        ask(judge, plan, model, progress, what)

    monkeypatch.setattr(Judge, "_ask", taking)
    page.state.ratio = 0.45
    assert page.wait(300)
    assert taken and page._judge.known(None).num_inputs == 3
    assert page._judge.known(page.plan()).num_inputs == 3


def test_files_from_the_browser_come_in_parts_and_are_taken(prepared_small, open_explorer):
    page = open_explorer(trained_network()).page("Network")
    assert page.wait(120)
    upload, answers = page.controls.upload, []
    upload.send = lambda content: answers.append(content["type"])
    files = [(f"{n}.png", encoded(picture(n))) for n in range(8)]

    def say(content, *buffers):
        upload._handle_custom_msg({"number": "1", **content}, list(buffers))

    say({"type": "begin", "names": [name for name, _ in files], "left_out": ["notes.txt (no image)"]})
    for number, (_, content) in enumerate(files):
        for start in range(0, len(content), 500):
            say({"type": "part", "file": number}, memoryview(content[start : start + 500]))
    say({"type": "end"})
    assert page.wait(300)
    assert set(answers) == {"more"}
    assert "8 uploaded images. 1 left out: notes.txt (no image)" in page.controls.taken.value
    assert page._allocation.origin.calibrated(None, silent)[WIDE].num_groups > 1
    say({"type": "part", "file": 0}, b"late")
    assert answers[-1] == "refused"


def test_more_bytes_than_were_allowed_are_refused(open_explorer):
    upload = open_explorer(trained_network()).page("Network").controls.upload
    answers, upload.most_bytes = [], 10
    upload.send = lambda content: answers.append(content["type"])
    for content, buffers in (
        ({"type": "begin", "names": ["a.png"]}, []),
        ({"type": "part", "file": 0}, [b"123456"]),
        ({"type": "part", "file": 0}, [b"123456"]),
        ({"type": "end"}, []),
    ):
        upload._handle_custom_msg({"number": "1", **content}, buffers)
    assert answers == ["more", "more", "refused", "refused"]


def test_names_of_files_are_shown_as_text(open_explorer):
    page = open_explorer(trained_network()).page("Network")
    page.controls.offer_inputs("2 uploaded images", "1 left out: <script>.png (no image)")
    assert "<script>" not in page.controls.taken.value
