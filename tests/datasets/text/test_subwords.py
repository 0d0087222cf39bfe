import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrexplore.datasets.text import Subwords, TokenPairs, TokenTexts
from lrexplore.datasets.text.generated_pairs import generated_pairs
from lrexplore.datasets.text.subwords import BEGIN, END, MASK, NUM_FIXED, PAD
from lrexplore.datasets.text.token_batches import cut_into_batches

TEXTS = [text for pair in generated_pairs(400) for text in pair]


@pytest.fixture(scope="module")
def subwords():
    return Subwords.learn(TEXTS, 500)


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"])), min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_text_comes_back_from_its_pieces(subwords, words):
    text = " ".join(word for word in words if word)
    assert subwords.decode(subwords.encode([text])) == [text]


def test_frequent_words_are_one_piece_and_the_vocabulary_has_the_size_asked_for(subwords):
    assert len(subwords) == 500
    assert len(subwords.encode(["hundred"])[0]) == 1
    assert subwords.decode([[BEGIN, *subwords.encode(["Montag"])[0], END, PAD]]) == ["Montag"]


def test_the_same_texts_give_the_same_vocabulary_in_another_process(subwords):
    code = "import sys; sys.path.insert(0, '.')\nfrom lrexplore.datasets.text import Subwords\n"
    code += "from lrexplore.datasets.text.generated_pairs import generated_pairs\n"
    code += "print(Subwords.learn([text for pair in generated_pairs(400) for text in pair], 500).to_text())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip() == subwords.to_text().strip()
    assert Subwords.of_text(subwords.to_text()).encode(TEXTS) == subwords.encode(TEXTS)


def test_a_vocabulary_without_room_for_words_and_a_text_that_is_none_are_refused():
    with pytest.raises(ValueError, match="`vocabulary` must be 300 or more .* got 260"):
        Subwords.learn(TEXTS, NUM_FIXED)
    with pytest.raises(ValueError, match="`subwords` must be a vocabulary of a run"):
        Subwords.of_text("{}")


def test_every_text_is_in_one_batch_and_no_batch_is_larger_than_asked_for():
    lengths = torch.randint(1, 40, (500,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = cut_into_batches(lengths, 200)
    assert sorted(index for batch in batches for index in batch) == list(range(500))
    sizes = [len(batch) * max(lengths[index] for index in batch) for batch in batches]
    assert max(sizes) <= 200 and sum(lengths) / sum(sizes) > 0.9  # little of it is padding
    with pytest.raises(ValueError, match="`batch_size` must have room for 2 of the longest texts"):
        cut_into_batches([10, 30], 40, shares=2)


def test_a_batch_of_pairs_asks_for_each_piece_of_the_target_and_its_end(subwords):
    pairs = [("one house", "ein Haus"), ("twenty-one", "einundzwanzig")]
    numbers = tuple(subwords.encode([pair[side] for pair in pairs]) for side in (0, 1))
    data = TokenPairs(pairs, numbers)
    source, given_target, where = data.batch([0, 1], [0, 1]).inputs
    labels, num_labels = data.batch([0, 1], [0, 1]).labels, data.batch([0], [0, 1]).num_labels
    assert subwords.decode(source.tolist()) == [pair[0] for pair in pairs]
    assert given_target[:, 0].tolist() == [BEGIN, BEGIN]
    assert labels.tolist() == [*numbers[1][0], END, *numbers[1][1], END]
    assert given_target[:, 1:][where[:, :-1] & (given_target[:, 1:] != PAD)].tolist() == numbers[1][0] + numbers[1][1]
    assert num_labels == len(labels) == int(where.sum())


def test_masks_hide_15_in_100_pieces_and_the_labels_are_what_stood_there():
    rows = [torch.randint(4, 400, (100,), generator=torch.Generator().manual_seed(k)).tolist() for k in range(200)]
    data = TokenTexts(rows, 400)
    (shown, where), labels, _, num_labels = data.batch(range(200), range(200), seed=1)
    assert labels.tolist() == torch.tensor([[BEGIN, *row, END] for row in rows])[where].tolist()
    assert num_labels == len(labels) == 200 * 15
    assert shown[~where].tolist() == torch.tensor([[BEGIN, *row, END] for row in rows])[~where].tolist()
    masked, same = (shown[where] == MASK).float().mean(), (shown[where] == labels).float().mean()
    assert masked == pytest.approx(0.8, abs=0.03) and same == pytest.approx(0.1, abs=0.03)


def test_the_masks_of_a_text_go_by_the_seed_and_not_by_its_batch():
    rows = [list(range(4, 40)), list(range(40, 60))]
    data = TokenTexts(rows, 64)
    alone, other = data.batch([1], [0, 1], seed=5), data.batch([1], [0, 1], seed=6)
    together = data.batch([0, 1], [0, 1], seed=5)
    assert alone.inputs[0][0].tolist() == together.inputs[0][1][:22].tolist()
    assert not alone.inputs[1].equal(other.inputs[1])
