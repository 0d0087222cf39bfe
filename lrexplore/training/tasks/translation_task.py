"""Translation: the next piece of a target, and BLEU of what beam search makes of the sources."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch

from lrexplore.datasets.text import Subwords, TextData, TokenPairs, open_pairs
from lrexplore.datasets.text.subwords import BEGIN, END
from lrexplore.datasets.text.token_batches import cut_into_batches
from lrexplore.models.language import Translator
from lrexplore.models.language.translator import translate
from lrexplore.recipes.config import Config
from lrexplore.training.tasks.text_task import TextTask

_AT_ONCE = 2000  # pieces of sources, each `beam` times
_LONGER = 10  # pieces that a translation may have beyond twice its source's


class TranslationTask(TextTask):
    """Pairs; top-1 is the share of a target's pieces that is guessed from those before."""

    def open(self, config: Config, subwords: Subwords | None) -> TextData:
        if find_spec("sacrebleu") is None:
            raise ModuleNotFoundError(
                "`sacrebleu` must be installed to judge translations, got an environment without it."
                " Install the extra: pip install -e '.[language]'"
            )
        return open_pairs(
            config.data, config.languages, held_out=config.held_out, vocabulary=config.vocabulary,
            num_pairs=config.num_images, subwords=subwords,
        )  # fmt: skip

    def judge(self, learner: Any, part: Any, config: Config, stop: Callable[[], bool]) -> dict[str, float] | None:
        """`bleu` of the part as sacrebleu counts it (13a, mixed case, one reference)."""
        processes = learner.processes
        batches = cut_into_batches(part.lengths(), max(_AT_ONCE, *part.lengths()))
        own, stopped = {}, False
        for indices in batches[processes.index :: processes.count]:
            if stopped := stop():
                break
            texts = translations(learner.judged.eval(), learner.data.subwords, part, indices, config.beam)
            own.update(zip(indices, texts, strict=True))
        shares = processes.gather((stopped, own))
        if any(ended for ended, _ in shares):
            return None
        every = {index: text for _, share in shares for index, text in share.items()}
        return {"bleu": bleu([every[k] for k in range(len(part))], [target for _, target in part.pairs])}


def translations(model: Translator, subwords: Subwords, part: TokenPairs, indices: list[int], beam: int) -> list[str]:
    """What the model, in evaluation mode, makes of the sources with these indices."""
    device = next(model.parameters()).device
    sources = part.sources(indices).to(device)
    with torch.autocast(device.type, enabled=False):
        most = 2 * sources.shape[1] + _LONGER
        return subwords.decode(translate(model, sources, begin=BEGIN, end=END, beam=beam, most=most))


def bleu(translations: list[str], expected: list[str]) -> float:
    """BLEU of texts against one reference each, 0 to 100."""
    import sacrebleu

    return sacrebleu.corpus_bleu(translations, [expected]).score
