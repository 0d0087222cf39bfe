import inspect
import threading
from threading import Thread

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.calibration import calibrate
from lrexplore.explorer.network.compute import Allocation
from lrexplore.explorer.network.judge import Judge
from lrexplore.explorer.network.state import Wish
from lrexplore.explorer.real_inputs import YOURS
from lrexplore.explorer.samples import Origin
from lrexplore.network.compare import compare, layer_drift
from lrexplore.network.faster_execution import choose_execution
from lrexplore.network.files import save
from lrexplore.network.private import looks_only, private_copy
from lrexplore.network.programs import export
from lrexplore.ranks.latency import layer_latencies


class Watched(nn.Module):
    """A network that is not to be run: it counts calls, and holds what deepcopy does not take."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.body[1].running_mean += 0.1  # of training, so that inputs are implied
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 6)
        self.lock, self.made, self.library = threading.Lock(), {"by": [threading.RLock(), (x for x in "ab")]}, torch
        self.seen, self.num_calls = [], 0
        self.drop.eval()
        for module in self.modules():
            module.register_forward_hook(look)

    def forward(self, x):
        self.num_calls += 1
        with self.lock:
            self.seen.append(x.shape)
            return self.head(self.drop(self.body(x)).mean((2, 3)))


SEEN = []


def look(module, args, output):
    SEEN.append(module)


class Written(Exception):
    pass


def state_of(model):
    """All that a run or a trace could have left behind."""
    tensors = {name: (id(x), x._version, x.requires_grad) for name, x in model.state_dict(keep_vars=True).items()}
    tensors |= {name: id(parameter.grad) for name, parameter in model.named_parameters()}
    modules = {
        name: (id(module), module.training, {key: repr(sorted(map(str, value))) if "_hooks" in key else id(value)
                                             for key, value in vars(module).items()})
        for name, module in model.named_modules()
    }  # fmt: skip
    return tensors, modules, model.num_calls, list(model.seen), list(SEEN)


class WithHeads(nn.Module):
    """A watched model beside an attention."""

    def __init__(self, watched):
        super().__init__()
        self.watched, self.heads = watched, nn.MultiheadAttention(4, 2)


BATCHES = [torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(seed)) for seed in range(6)]

LABELLED = [(batch, torch.zeros(4, dtype=torch.long)) for batch in BATCHES]


def judged(model, tmp_path):
    allocation, wish = Allocation(model, Origin(loader=BATCHES)), Wish(ratio=0.8, inputs=YOURS, initializer="whitened")
    allocation.prepare(wish, lambda *told: None)
    allocation.measure(wish, lambda *told: None)
    Judge(allocation).verdict(wish, lambda *told: None)


RUNS = {
    "layers": lambda model, path: lr.layers(model),
    "heads": lambda model, path: lr.heads(model),
    "head_error": lambda model, path: lr.head_error(WithHeads(model), "heads:qk.0", 1),
    "calibrate heads": lambda model, path: calibrate(model, BATCHES, heads=True),
    "layers on an example": lambda model, path: lr.layers(model, BATCHES[0]),
    "calibrate": lambda model, path: calibrate(model, BATCHES),
    "implied_inputs": lambda model, path: lr.implied_inputs(model, num_samples=8, num_held_out=8),
    "factorize": lambda model, path: lr.factorize(model, rank_scale=0.5),
    "factorize on inputs": lambda model, path: lr.factorize(model, rank_scale=0.5, loader=BATCHES),
    "factorize as tensors": lambda model, path: lr.factorize(model, form="tucker", rank_scale=0.4, loader=BATCHES),
    "overcomplete": lambda model, path: lr.overcomplete(model, "deep"),
    "prune": lambda model, path: lr.prune(model, sparsity=0.5),
    "prune by gradients": lambda model, path: lr.prune(model, sparsity=0.5, method="snip", loader=LABELLED),
    "prune by curvature": lambda model, path: lr.prune(model, sparsity=0.5, method="grasp", loader=LABELLED),
    "allocate": lambda model, path: lr.allocate(model, parameter_ratio=0.8, loader=BATCHES, use_cache=False),
    "times": lambda model, path: layer_latencies(model, lr.network.find_layers(model, BATCHES[0])[1], [2]),
    "compare": lambda model, path: compare(model, lr.factorize(model, rank_scale=0.5), BATCHES, latency_rounds=1),
    "drift": lambda model, path: layer_drift(model, lr.factorize(model, rank_scale=0.5), BATCHES),
    "export": lambda model, path: export(model, path / "model.pt2", BATCHES[0]),
    "save": lambda model, path: save(model, path / "model.safetensors"),
    "load": lambda model, path: (save(lr.factorize(model, rank_scale=0.5), path / "small.safetensors"),
                                 lr.load(path / "small.safetensors", model)),
    "load_model": lambda model, path: lr.load_model(model),
    "collapse": lambda model, path: lr.collapse(model),
    "explore": lambda model, path: lr.explore(model, loader=BATCHES),
    "Explorer": lambda model, path: lr.Explorer(model, loader=BATCHES),
    "parameter_groups": lambda model, path: lr.parameter_groups(model, decay_strength=1e-4, decay_norms=False),
    "FrobeniusDecay": lambda model, path: lr.FrobeniusDecay(model, 1e-4).attach(torch.optim.SGD(model.parameters())),
    "judge": judged,
}  # fmt: skip
BY_DESIGN = {"choose_execution", "set_execution"}  # they set how the layers of a factorized network compute
READERS = {"report"}  # of what `factorize` left
NAMES = {"train"}  # the model is made in another process


def test_every_public_function_that_takes_a_model_is_walked_over():
    public = {name: getattr(lr, name) for name in lr.__all__}
    takes_model = {
        name for name, thing in public.items() if callable(thing) and not name.isupper()
        and {"model", "name_or_path", "subject"} & set(inspect.signature(thing).parameters)
    }  # fmt: skip
    assert {"factorize", "explore", "load_model", "compare"} <= takes_model
    assert takes_model - BY_DESIGN - READERS - NAMES <= set(RUNS), "give the new function a run"


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_a_persons_model_is_neither_run_nor_changed(run, tmp_path, monkeypatch):
    model = Watched()
    before = state_of(model)
    mine = {id(module) for module in model.modules()}
    write = nn.Module.__setattr__

    def setattr_of_others(module, name, value):
        if id(module) in mine:
            raise Written(f"{type(module).__name__}.{name}")
        write(module, name, value)

    monkeypatch.setattr(nn.Module, "__setattr__", setattr_of_others)
    run(model, tmp_path)
    assert state_of(model) == before


def test_choosing_the_execution_sets_that_and_runs_nothing_of_the_network():
    model = lr.factorize(Watched(), rank_scale=0.5)
    before = model.num_calls, list(model.seen), list(SEEN), model.body[1].running_mean.clone()
    modes = [module.training for module in model.modules()]
    assert len(choose_execution(model, BATCHES[0], num_rounds=1)) == 3
    assert (model.num_calls, model.seen, SEEN) == before[:3] and torch.equal(model.body[1].running_mean, before[3])
    assert [module.training for module in model.modules()] == modes


def test_a_private_copy_answers_as_the_model_with_the_models_own_parameters():
    model = Watched()
    twin = private_copy(model)
    assert all(a is b for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert not any(a is b for a, b in zip(model.buffers(), twin.buffers(), strict=True))
    assert twin.lock is model.lock and twin.made["by"][0] is model.made["by"][0] and twin.library is torch
    assert not any(module.training for module in twin.modules()) and model.training
    SEEN.clear()
    answer = twin(BATCHES[0])
    assert model.num_calls == 0 and SEEN == []
    assert torch.equal(answer, model.eval()(BATCHES[0]))
    SEEN.clear()


def test_patches_and_hooks_of_a_copy_act_on_the_copy():
    model, kept = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), []
    plain, called = model[0].forward, []
    model[0].register_forward_pre_hook(lambda module, args: called.append(module))
    model.forward = lambda x: 2 * model[1](plain(x))
    model[1].register_forward_hook(lambda module, args, output: kept.append(output) or output + 1)
    x = torch.randn(3, 4)
    expected, told = model(x), len(kept)
    twin = private_copy(model)
    model[0].weight = nn.Parameter(torch.zeros(4, 4))
    assert torch.equal(twin(x), expected) and len(kept) == told and called == []


def test_a_model_that_refuses_to_be_copied_is_told_so_before_any_work():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def __deepcopy__(self, memo):
            raise RuntimeError("there is only one")

    for run in (lr.layers, lambda model: calibrate(model, [torch.randn(2, 8)])):
        with pytest.raises(
            ValueError, match=r"`model` must be one that `copy.deepcopy` copies.*only one.*__deepcopy__"
        ):
            run(Single())


def test_calibration_counts_its_own_inputs_while_another_thread_runs_the_model():
    model, done = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), threading.Event()
    times = [0]

    def run():
        while not done.is_set():
            model(torch.randn(5, 4))
            times[0] += 1

    running = Thread(target=run)
    running.start()
    entry = calibrate(model, [torch.randn(20, 4) for _ in range(9)]).entries("0")[0]
    done.set()
    running.join()
    assert entry.num_vectors + len(entry.held_out) == 180 and model.training and times[0] > 0


def test_a_compiled_network_is_calibrated_and_factorized_by_the_network_in_it():
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).eval()
    compiled, x = torch.compile(model, backend="eager"), torch.randn(6, 8)
    compiled(x)
    calibration = calibrate(compiled, [x, x])
    assert "_orig_mod.0" in calibration
    made = lr.factorize(compiled, ranks={"_orig_mod.0": 8}, initializer="whitened", calibration=calibration)
    assert torch.allclose(made(x), model(x), atol=1e-5)
    assert lr.collapse(made)(x).allclose(model(x), atol=1e-5)


class Summing(nn.Module):
    """Its forward reads what a hook of its own kept."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.kept = nn.Linear(6, 6), nn.Linear(6, 6), []
        self.first.register_forward_hook(self.keep)

    def keep(self, module, args, output):
        self.kept.append(output)

    def forward(self, x):
        self.first(x)
        return self.second(self.kept.pop())


def test_hooks_that_only_look_come_along_and_act_on_the_factorized_network():
    model, x = Summing(), torch.randn(5, 6)
    made = lr.factorize(model, ranks={"first": 6, "second": 6}, initializer="spectral")
    assert torch.allclose(made(x), model(x), atol=1e-5) and model.kept == made.kept == []
    assert torch.allclose(lr.collapse(made)(x), model(x), atol=1e-5)


def test_a_patched_network_is_factorized_and_not_called_by_its_copy():
    model, x = nn.Sequential(nn.Linear(6, 6), nn.Tanh()), torch.randn(5, 6)
    first = model[0]
    model.forward = lambda x: 2 * first(x)
    expected = model(x)
    made = lr.factorize(model, ranks={"0": 6}, initializer="spectral")
    nn.init.zeros_(first.weight)
    assert torch.allclose(made(x), expected, atol=1e-5)


def returned(module, args, output):
    return output if module.training else None


def changed(module, args, output):
    output.mul_(2)


def test_hooks_that_only_look_are_told_from_those_that_change():
    assert looks_only(look) and looks_only(lambda module, args: None)
    assert not any(map(looks_only, (returned, changed, lambda module, args, output: output * 2, print)))


WRAPPED = {
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "compiled in place": lambda net: (net.compile(backend="eager"), net)[1],
    "a compiled part": lambda net: nn.Sequential(torch.compile(net[0], backend="eager"), *net[1:]).eval(),
    "data parallel": nn.DataParallel,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_wrapped_network_goes_all_the_way_to_its_file_and_its_program(wrap, tmp_path):
    net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)).eval(), torch.randn(4, 8)
    wrapped = wrap(net)
    wrapped(x)
    plan = lr.allocate(wrapped, parameter_ratio=0.9, loader=[x], use_cache=False)
    assert len(calibrate(wrapped, [x])) == 2 and plan.parameter_ratio <= 0.9
    small = lr.factorize(wrapped, rank_scale=0.3)
    assert lr.report(small)["rank"].tolist() == [2, 2]
    assert compare(wrapped, small, [x], latency_rounds=0).loc["parameters", "compared"] < 1
    lr.save(small, tmp_path / "small.safetensors")
    assert torch.equal(lr.load(tmp_path / "small.safetensors", wrapped)(x), small(x))
    export(small, tmp_path / "small.pt2", x)
    assert torch.allclose(torch.export.load(tmp_path / "small.pt2").module()(x), small(x), atol=1e-6)
