"""Subwords: pieces of words, joined from bytes by how often they stand together (Sennrich et al. 2016)."""

from collections.abc import Iterable, Sequence
from typing import Any

PAD, BEGIN, END, MASK = 0, 1, 2, 3
_SPECIAL = ["<pad>", "<s>", "</s>", "<mask>"]
NUM_FIXED = len(_SPECIAL) + 256  # and one piece for every byte, so that no text is unknown


class Subwords:
    """A vocabulary of pieces; `encode` and `decode`, and `to_text` for a file from which `of_text` makes the same."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> "Subwords":
        """At most `size` pieces, learned from the texts; the same ones for the same texts.

        Raises ValueError for fewer than 300, ModuleNotFoundError without the extra `language`.
        """
        library = _library()
        if size < NUM_FIXED + 40:
            raise ValueError(
                f"`vocabulary` must be {NUM_FIXED + 40} or more ({NUM_FIXED} pieces are bytes and marks), got {size}."
                " Use 1000 for a little text, 8000 for more."
            )
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = library.decoders.ByteLevel()
        alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False, min_frequency=2
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def of_text(cls, text: str) -> "Subwords":
        """Those whose `to_text` this is. Raises ValueError for another text."""
        try:
            return cls(_library().Tokenizer.from_str(text))
        except ModuleNotFoundError:
            raise
        except Exception as error:  # the library raises no narrower one
            raise ValueError(
                f"`subwords` must be a vocabulary of a run, got a text that is none ({error}). Restore the file."
            ) from None

    def to_text(self) -> str:
        """JSON, as the library `tokenizers` keeps it."""
        return self._tokenizer.to_str()

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of the pieces of every text, without marks of beginning and end."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, numbers: Sequence[Sequence[int]]) -> list[str]:
        """The texts again; marks are left out."""
        return [text.strip() for text in self._tokenizer.decode_batch([list(row) for row in numbers])]


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`tokenizers` must be installed to train on text, got an environment without it."
            " Install the extra: pip install -e '.[language]'"
        ) from error
    return tokenizers
