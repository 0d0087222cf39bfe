import itertools

import pytest
import torch

from lrexplore.models.language.translator import Decoding, translate, translator

PAD, BEGIN, END = 0, 1, 2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = translator(40).eval()
    with torch.no_grad():
        made.output.weight.mul_(3)  # so that the pieces differ in their probability
    return made


@pytest.fixture(scope="module")
def sources():
    lengths = (6, 3, 1)
    draws = torch.randint(4, 40, (3, 7), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate(lengths):
        draws[row, length:] = PAD
        draws[row, length] = END
    return draws


def test_a_piece_after_another_gives_the_logits_of_all_at_once(model, sources):
    target = torch.randint(4, 40, (3, 8), generator=torch.Generator().manual_seed(1))
    target[:, 0] = BEGIN
    with torch.no_grad():
        expected, decoding = model(sources, target), model.begin(sources)
        for place in range(8):
            logits = model.next(target[:, place], decoding)
            torch.testing.assert_close(logits, expected[:, place], atol=1e-4, rtol=1e-4)


def test_padding_of_sources_and_targets_changes_nothing(model, sources):
    target = torch.tensor([[BEGIN, 5, 6]] * 3)
    with torch.no_grad():
        alone = model(sources[1:2, :4], target[1:2])
        together = model(sources, torch.cat([target, torch.full((3, 2), PAD)], dim=1))[1:2, :3]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_logits_where_they_are_asked_for_are_those_among_all(model, sources):
    target = torch.randint(4, 40, (3, 5), generator=torch.Generator().manual_seed(1))
    where = torch.rand(3, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    with torch.no_grad():
        torch.testing.assert_close(model(sources, target, where), model(sources, target)[where])


def test_a_beam_of_one_takes_the_likeliest_piece_each_time(model, sources):
    found = translate(model, sources, begin=BEGIN, end=END, beam=1, most=6)
    for row, pieces in enumerate(found):
        said = [BEGIN]
        for _ in range(6):
            with torch.no_grad():
                logits = model(sources[row : row + 1], torch.tensor([said]))[0, -1]
            logits[PAD] = -torch.inf
            said.append(int(logits.argmax()))
            if said[-1] == END:
                break
        assert pieces == [piece for piece in said[1:] if piece != END]


class Table:
    """A translator of five pieces whose next piece depends on the last one and the source alone."""

    def __init__(self, seed):
        self.logits = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(seed))

    def begin(self, source, copies):
        return Decoding([], source.repeat_interleave(copies, dim=0)[:, 0], [])

    def next(self, pieces, decoding):
        return self.logits[decoding.mask, pieces]

    def best(self, source, most):
        logs = self.logits[source].clone()
        logs = logs.log_softmax(-1)
        rated = {}
        for count in range(most + 1):
            for row in itertools.product((BEGIN, 3, 4), repeat=count):
                steps = list(zip((BEGIN, *row), (*row, END), strict=True))
                rated[row] = float(sum(logs[a, b] for a, b in steps)) / len(steps)
        return list(max(rated, key=rated.get))


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_wide_enough_finds_the_best_of_all_translations(seed):
    table = Table(seed)
    found = translate(table, torch.tensor([[0], [1]]), begin=BEGIN, end=END, beam=60, most=3)
    assert found == [table.best(0, 3), table.best(1, 3)]


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_the_translation_of_a_text_does_not_depend_on_the_others_beside_it(model, sources, beam):
    together = translate(model, sources, begin=BEGIN, end=END, beam=beam, most=8)
    alone = [translate(model, row[None], begin=BEGIN, end=END, beam=beam, most=8)[0] for row in sources]
    assert together == alone
