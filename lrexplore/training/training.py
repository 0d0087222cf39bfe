"""Training under way: steps, evaluations, records, checkpoints, the same for one process and for many."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from torch import nn
from tqdm import tqdm

from lrexplore.datasets import Batch, Data
from lrexplore.nn.sparse import sparse_layers
from lrexplore.recipes.config import Config
from lrexplore.records import Reader, Writer
from lrexplore.records.schema import read_status
from lrexplore.training.chosen_ranks import as_record, plan_of_run
from lrexplore.training.finetuning.begun import begin
from lrexplore.training.forms.first_masks import pruned_alike
from lrexplore.training.forms.rewiring import Rewiring
from lrexplore.training.layer_norms import measure_layers, product_norms, watched_layers, zeros_at_the_end
from lrexplore.training.learner import Learner, learning_rate
from lrexplore.training.processes import Processes, environment, lost_process
from lrexplore.training.progress import Progress
from lrexplore.training.rank_change.rank_changes import RankChanges
from lrexplore.training.saved_state import NAME, load_checkpoint, save_checkpoint
from lrexplore.training.settle_execution import settle_execution
from lrexplore.training.spectra.recorder import SpectraRecorder
from lrexplore.training.stop import Stop, Stopped, end_workers
from lrexplore.training.tasks import task_of

_STATUS_S = 1.0
_SPECTRA_STEPS, _SPECTRA_SHARE = 20, 0.015


class Training:
    """One run under way. A context manager, so that an error reaches the run's status."""

    def __init__(
        self, config: Config, folder: Path, data: Data, processes: Processes, stop: Stop, *, begun: bool = False
    ):
        self.config, self.folder, self.data = config, folder, data
        self.processes, self.stop, self._begun = processes, stop, begun
        self.task = task_of(config)
        self.plan = self.task.plan(config, data, processes.count)
        self.origin = begin(config, data.num_classes, plan_of_run(config, folder), folder)
        filled = config.resume and (folder / NAME).exists()
        model = pruned_alike(self.origin.model, config, data, self.plan, processes, filled=filled)
        self.origin = replace(self.origin, model=model)
        self.rank_plan = self.origin.plan
        self.layers = watched_layers(self.origin.model, config.layers)
        self.learner = Learner(self.origin.model, config, data, processes, self.origin.teacher)
        self.learner.rewiring = Rewiring.of(model, config, self.plan.num_steps)
        self._cut_off: set[str] = set()
        self.execution = settle_execution(config, folder, self.learner, data, self.plan)
        self.spectra: SpectraRecorder | None = None
        if config.record_spectra and processes.is_first:
            self.spectra = SpectraRecorder(self.learner.model, config.scheme, processes.device)
        self.changes: RankChanges | None = None
        if config.rank_change is not None:
            model, steps = self.learner.model, (self.plan.num_steps, self.plan.steps_per_epoch)
            self.changes = RankChanges(config, model, *steps, self.rank_plan)
        self.norms = _recorded_norms(config, self.plan.num_steps, len(self.learner.factorized))
        self.step = self.epochs_done = 0
        self.wall_s = 0.0
        self.sums = {"loss": 0.0, "top1": 0.0, "top5": 0.0, "steps": 0}
        self._writer: Writer | None = None
        self._said = 0.0
        self._metrics: dict = {}
        self._cut: dict[str, float] = {}

    def __enter__(self) -> "Training":
        if self.processes.is_first:
            self._writer = self._open_records()
            self.task.keep(self.folder, self.data)
        self.processes.first(None)  # from here on nobody else writes the checkpoint
        try:
            checkpoint = load_checkpoint(self.folder, self.processes.device) if self.config.resume else None
            if checkpoint:
                self.learner.load_state_dict(checkpoint)
                if self.changes is not None:
                    self.changes.load_state_dict(checkpoint["rank_change"])
                self.step, self.epochs_done = checkpoint["step"], checkpoint["epochs_done"]
                self.wall_s, self.sums = checkpoint["wall_s"], checkpoint["sums"]
            if self._writer and self._begun:
                self._cut = {key: value for key, value in _status_of(self.folder).items() if key.endswith("_cut_top1")}
                self._writer.resume(checkpoint["rows"] if checkpoint else {})
                self._writer.append("events", {"step": self.step, "event": "resumed"})
        except BaseException:
            if self._writer:
                self._writer.close()
            raise
        if self._writer:
            self._say_cut_off()
            self._say("running")
            self.stop.last_words = lambda: self._say("stopped")
        return self

    def _open_records(self) -> Writer:
        model = self.learner.model
        description = {
            "name": self.config.name, "config": self.config.as_dict(), "layers": self.layers,
            "environment": environment(self.processes),
            "num_classes": self.data.num_classes,
            "num_parameters": sum(parameter.numel() for parameter in model.parameters())
            - zeros_at_the_end(model, self.config.sparsity if self.config.prune == "gradual" else None),
            "execution": self.execution,
            "factorization": [vars(record) for record in getattr(model, "factorization", ())],
            **({"pruning": [vars(record) for record in model.pruning]} if hasattr(model, "pruning") else {}),
            **as_record(self.rank_plan),
            **self.origin.record,
            **({} if self.spectra is None else {"spectra_layers": self.spectra.names}),
        }  # fmt: skip
        return Writer(self.folder, description, tensorboard=self.config.tensorboard, begun=self._begun)

    def __exit__(self, kind, error, trace) -> None:
        if self.spectra is not None:
            self.spectra.close()
        if self._writer is None:
            return
        self.stop.last_words = lambda: None
        if error is not None:
            with suppress(OSError):  # the disk may be what went wrong
                if isinstance(error, KeyboardInterrupt | Stopped):
                    self._say("stopped")
                else:
                    self._say("failed", message=str(error) or kind.__name__)
        self._writer.close()

    def until_the_end(self) -> str:
        """Steps, and an evaluation after every epoch and at the end; "done" or "stopped".

        Raises ConnectionError or ChildProcessError where another process of the run is gone.
        """
        try:
            return self._until_the_end()
        except Stopped:
            end_workers()  # they may wait for their data in vain
            return self._stop()
        except RuntimeError as error:
            if lost := lost_process(error, self.processes.count, self.config.workers):
                raise lost from error
            raise

    def _until_the_end(self) -> str:
        plan, config = self.plan, self.config
        batches = self.task.training_batches(config, self.data, plan, self.processes, self.step)
        with ExitStack() as stack:
            progress = stack.enter_context(
                Progress(config, plan, self.step, shown=self.processes.is_first, unit=self.task.unit)
            )
            if config.start is not None and self.step == 0 and not self._begin_curve():
                return self._stop()
            while True:
                if self._epoch_is_over() and not self._end_epoch(progress):
                    return self._stop()
                if self.step >= plan.num_steps:
                    return self._finish()
                started = time.perf_counter()
                with self._waiting():
                    micro_batches = next(batches)
                self._broken = [name for batch in micro_batches for name in batch.corrupt]
                for batch in micro_batches:
                    self._check_images(batch)
                lr = learning_rate(config, self.step, plan.num_steps, plan.steps_per_epoch)
                if self.step == 0:
                    self._measure(lr)
                    self._take_spectra()
                metrics = self.learner.step(micro_batches, self.step, lr, self.stop())
                self.step += 1
                if self.norms:
                    self.learner.set_norms(self.norms[self.step - 1])
                self._record_step(metrics, lr, time.perf_counter() - started, micro_batches)
                self._change_ranks()
                progress.advance(self._metrics)
                if metrics["stopped"]:
                    return self._stop()
                if self.step % config.checkpoint_steps == 0:
                    self._save()

    def _epoch_is_over(self) -> bool:
        whole, more = divmod(self.step, self.plan.steps_per_epoch)
        return whole + (more > 0 and self.step >= self.plan.num_steps) > self.epochs_done

    def _waiting(self):
        """Where one process only waits for images it may leave at once; of several, the others would wait for it."""
        return self.stop.waiting() if self.processes.count == 1 else nullcontext()

    def _check_images(self, batch: Batch) -> None:
        if batch.corrupt and self.config.corrupt == "fail":
            names = batch.corrupt
            raise ValueError(
                f"`data` must hold images that can be read, got {len(names)} broken in one batch, first {names[0]}."
                " Replace it, or use `corrupt='skip'`, which goes on without broken images."
            )
        if len(batch.labels) and not 0 <= int(batch.labels.min()) <= int(batch.labels.max()) < self.data.num_classes:
            outside = [label for label in batch.labels.tolist() if not 0 <= label < self.data.num_classes]
            raise ValueError(
                f"`data` must have labels in 0..{self.data.num_classes - 1}, got {outside[0]}. Count the classes from"
                " 0, or say that there are more."
            )

    def _record_step(self, metrics: dict, lr: float, step_s: float, micro_batches: list) -> None:
        self.wall_s += step_s
        num_labels = self.task.num_labels(self.config, micro_batches)
        for key in ("loss", "top1", "top5"):
            self.sums[key] += metrics[key]
        self.sums["steps"] += 1
        if metrics["corrupt"]:
            names = [name for share in self.processes.gather(self._broken) for name in share]
            for name in names if self._writer else ():
                self._writer.append("events", {"step": self.step, "event": "corrupt image", "file": name})
                tqdm.write(f"`{name}` cannot be read and is left out", file=sys.stderr)
        self._metrics = {
            "step": self.step, "epoch": self.plan.epoch(self.step - 1), "wall_s": self.wall_s,
            **{key: metrics[key] for key in ("loss", "top1", "top5")}, "lr": lr,
            f"{self.task.unit}s_per_s": num_labels / step_s,
        }  # fmt: skip
        if self._writer is None:
            return
        self._writer.append("steps", self._metrics)
        if self.learner.rewiring is not None and self.learner.rewiring.is_due(self.step - 1):
            self._say_cut_off()
        if self.config.record_norms:
            norms = product_norms(self.learner.factorized).tolist()
            self._writer.append("norms", {"step": self.step, "frobenius_norm": norms})
        every = self.config.norms_steps or max(1, self.plan.steps_per_epoch // 10)
        if self.step % every == 0 or self.step == self.plan.num_steps:
            self._measure(lr)
        if self._spectra_are_due():
            self._take_spectra()
        if time.monotonic() - self._said > _STATUS_S:
            self._say("running")

    def _say_cut_off(self) -> None:
        """Tells, once of each layer, that no weight of it is left."""
        for name, layer in sparse_layers(self.learner.model).items():
            if name not in self._cut_off and not layer.mask.any():
                self._cut_off.add(name)
                if self._writer is not None:
                    self._writer.append("events", {"step": self.step, "event": "cut off", "layer": name})
                tqdm.write(f"`{name}` is cut off: no weight of it is left", file=sys.stderr)

    def _change_ranks(self) -> None:
        """Gives layers other ranks where it is time to, as the first process finds, and records which."""
        if self.changes is None or not self.changes.due(self.step):
            return
        made = self.changes.find(self.learner.model, self.step) if self.processes.is_first else []
        made = self.processes.first(made)
        if not made:
            if self._writer and not self.changes.is_over and self.step == self.changes.warmup_steps:
                self._writer.append("events", {"step": self.step, "event": "no layer saves parameters at its rank yet"})
            return
        self.learner.change_ranks(made)
        self.changes.made(made)
        if self._writer is None:
            return
        for change in made:
            self._writer.append("events", {
                "step": self.step, "event": "rank", "layer": change.layer, "old_rank": change.old_rank,
                "new_rank": change.new_rank,
            })  # fmt: skip
        count = sum(parameter.numel() for parameter in self.learner.model.parameters())
        said = f"{len(made)} layers at other ranks, {count:,} parameters: {self.changes.why}"
        self._writer.append("events", {"step": self.step, "event": said, "num_parameters": count})
        tqdm.write(f"step {self.step}: {said}", file=sys.stderr)

    def _measure(self, lr: float) -> None:
        if self._writer is None:
            return
        norms = measure_layers(self.learner.model, self.layers, lr, self.config.scheme)
        epoch = self.plan.epoch(max(0, self.step - 1))
        self._writer.append("layers", {"step": self.step, "epoch": epoch, "lr": lr, **norms})

    def _spectra_are_due(self) -> bool:
        """As often as was asked for; by default seldom enough to cost little, whatever network it is."""
        if self.step == self.plan.num_steps:
            return True
        if self.config.spectra_steps is not None:
            return self.step % self.config.spectra_steps == 0
        seldom = self.spectra is not None and self.spectra.taken_s <= _SPECTRA_SHARE * self.wall_s
        return self.step % max(_SPECTRA_STEPS, self.plan.num_steps // 10) == 0 and seldom

    def _take_spectra(self) -> None:
        if self.spectra is not None:
            self.spectra.take(self.step, self.plan.epoch(max(0, self.step - 1)))
            self._write_spectra(wait=False)

    def _write_spectra(self, *, wait: bool) -> None:
        for row in self.spectra.rows(wait=wait) if self.spectra and self._writer else ():
            self._writer.append("spectra", row)

    def _begin_curve(self) -> bool:
        """Evaluates what the run starts from, and what that was cut from; False where it was stopped.

        The curve begins there, with an epoch 0; events tell of the original.
        """
        if self.processes.first(self._writer is not None and self._writer.rows["epochs"] > 0):
            return True
        stages: dict[str, nn.Module | None] = {"after the cut" if self.origin.original else "before training": None}
        if self.origin.original is not None:
            stages = {"before the cut": self.origin.original.to(self.processes.device), **stages}
        elif self.learner.teacher is not None:
            stages = {"the teacher": self.learner.teacher.model, **stages}
        rows = {}
        for when, model in stages.items():
            metrics = self._evaluate(self.data.held_out, model)
            if metrics is None:
                return False
            rows[when] = {f"held_out_{key}": value for key, value in metrics.items()}
        self.origin = replace(self.origin, original=None)  # its memory is needed
        if self._writer is None:
            return True
        for said in self.origin.said:
            self._writer.append("events", {"step": 0, "event": said})
            tqdm.write(said, file=sys.stderr)
        for when, row in rows.items():
            if len(rows) > 1:  # a network that is not this one, and what is left of it here
                self._cut[("after" if row is rows[list(rows)[-1]] else "before") + "_cut_top1"] = row["held_out_top1"]
            if when in ("before the cut", "the teacher"):
                self._writer.append("events", {"step": 0, "event": when, **row})
            text = f"{when}: held-out loss {row['held_out_loss']:.4f}, top-1 {row['held_out_top1']:.2f} %"
            tqdm.write(text, file=sys.stderr)
        self._writer.append("epochs", {"step": 0, "epoch": 0, "wall_s": 0.0, **row})
        return True

    def _end_epoch(self, progress: Progress) -> bool:
        """Evaluates on the held-out images, records the epoch and saves a checkpoint; False where it was stopped."""
        metrics = self._evaluate(self.data.held_out)
        if metrics is None:
            return False
        steps = max(1, self.sums["steps"])
        row = {
            "step": self.step, "epoch": self.epochs_done + 1, "wall_s": self.wall_s,
            **{f"train_{key}": self.sums[key] / steps for key in ("loss", "top1", "top5")},
            **{f"held_out_{key}": value for key, value in metrics.items()},
        }  # fmt: skip
        if self._writer:
            self._writer.append("epochs", row)
        self._metrics |= {key: row[key] for key in row if key.startswith("held_out")}
        progress.say(row)
        self.epochs_done += 1
        self.sums = dict.fromkeys(self.sums, 0.0)
        self._save()
        return True

    def _evaluate(self, images, model=None) -> dict | None:
        batches = self.task.evaluation_batches(images, self.config, self.plan, self.processes)
        metrics = self.learner.evaluate(self._checked(batches), self.stop, model)
        if metrics is None or model is not None:
            return metrics
        more = self.task.judge(self.learner, images, self.config, self.stop)
        return None if more is None else metrics | more

    def _checked(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            with self._waiting():
                batch = next(batches, None)
            if batch is None:
                return
            self._check_images(batch)
            yield batch

    def _finish(self) -> str:
        """Reads the test images, once."""
        metrics = self._evaluate(self.data.test)
        if metrics is None:
            return self._stop()
        row = {f"test_{key}": value for key, value in metrics.items()}
        if self._writer:
            self._write_spectra(wait=True)
            if nuclear := self.learner.nuclear:
                spent = f"nuclear decay of unfactorized layers took {nuclear.spent_s:.1f} s of this process"
                self._writer.append("events", {"step": self.step, "event": spent, "spent_s": nuclear.spent_s})
            self._writer.append("epochs", {"step": self.step, "epoch": self.epochs_done, **row})
            self._writer.finish()
            self._metrics |= row
            self._say("done")
        return "done"

    def _stop(self) -> str:
        self._save()
        if self._writer:
            self._say("stopped")
        return "stopped"

    def _save(self) -> None:
        state = self.learner.state_dict()
        if self._writer is None:
            return
        self._write_spectra(wait=True)
        self._writer.sync()
        state |= {
            "step": self.step,
            "epochs_done": self.epochs_done,
            "wall_s": self.wall_s,
            "sums": self.sums,
            **({} if self.changes is None else {"rank_change": self.changes.state_dict()}),
        }
        save_checkpoint(self.folder, {**state, "rows": self._writer.rows})

    def _say(self, state: str, **more) -> None:
        self._said = time.monotonic()
        status = {"step": self.step, "num_steps": self.plan.num_steps, **self._cut, **self._metrics, **more}
        self._writer.status(state, **status)


def _status_of(folder: Path) -> dict:
    try:
        return read_status(folder)
    except (FileNotFoundError, ValueError):
        return {}


def _recorded_norms(config: Config, num_steps: int, num_layers: int) -> list[list[float]]:
    """The norms after every step of the run that `norms_from` names; empty without it.

    Raises ValueError where that run has not recorded those of every step and layer of this one.
    """
    if config.norms_from is None:
        return []
    reader = Reader(config.norms_from)
    reader.poll()
    table = reader.table("norms")
    if table.empty:
        raise ValueError(
            f"`norms_from` must be a run that recorded its norms, got {config.norms_from} without any."
            " Run it with `record_norms`."
        )
    norms = [group["frobenius_norm"].tolist() for _, group in table.groupby("step")]
    if len(norms) < num_steps or len(norms[0]) != num_layers:
        raise ValueError(
            f"`norms_from` must be a run with the norms of {num_layers} layers after each of {num_steps} steps, got"
            f" {len(norms[0])} after {len(norms)} in {config.norms_from}. Finish that run, or train this one as long."
        )
    return norms
