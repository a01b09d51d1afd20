"""Fixtures shared by all tests, one thread per process, and the option --slow."""

import atexit
import gc
import io
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock

from tests.browser import NAMES, Browser, find_browser
from tests.pairs import params

gc.disable()  # until all tests are loaded, a quarter of whose time it would take
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported
os.fsync = lambda descriptor: None  # type: ignore[assignment]  # no file has to outlast a crash of the machine
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup; tests send it to themselves
if not shutil.which("nvidia-smi"):
    os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels for GPUs run without one; read when Triton is imported


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or config.getoption("-m"):
        return
    slow = [item for item in items if is_slow(item)]
    check_names(items)
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not is_slow(item)]


def is_slow(item: pytest.Item) -> bool:
    """Whether a test, or the parameters of this one, are left to --slow."""
    fast = item.get_closest_marker("fast")
    return "slow" in item.keywords or (fast is not None and item.callspec.id not in fast.args)  # type: ignore[attr-defined]


def check_names(items: list[pytest.Item]) -> None:
    """A mark `fast` that names none of the parameters, such as after a change of them, would hide a test."""
    functions: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("fast"):
            functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, parameters in functions.items():
        if len(parameters) > 1 and all(map(is_slow, parameters)):
            raise pytest.UsageError(f"{name}: the mark `fast` names none of its parameters")


def pytest_collection_finish() -> None:
    """Leave what was loaded so far out of garbage collection, which would go through all of torch again and again, and
    collect the rest less often: together an eighth of the time of all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()
    atexit.register(gc.unfreeze)  # libraries check at their end that their objects are gone


def pytest_sessionfinish() -> None:
    """Collect once what tests have left, as pytest then does five times."""
    gc.collect()
    gc.freeze()


if "PYTEST_XDIST_WORKER" in os.environ:
    # the last thing that a process does which has reported all its results: taking apart what it loaded takes seconds
    atexit.register(os._exit, 0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parameters of tests marked with `pairs`; only those that are run are made, as a full product is large."""
    slow = bool(metafunc.config.getoption("--slow") or metafunc.config.getoption("-m"))
    for mark in metafunc.definition.iter_markers("pairs"):
        metafunc.parametrize(list(mark.kwargs), params(mark.kwargs, *mark.args, slow=slow))


SMALL = (
    "tokenizer.size=200",
    "training.batch_tokens=256",
    "training.max_updates=6",
    "training.validate_every=3",
    "training.warmup=2",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.log_every=2",
    "trainer.progress=none",
    "search.beam=2",
    "search.max_length=8",
    "search.batch=16",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    path = find_browser()
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is installed, and $CHROMIUM names none")
    driven = Browser(path, tmp_path_factory.mktemp("profile"))
    yield driven
    driven.close()


@pytest.fixture(scope="session")
def random_texts() -> Callable[..., Iterator[str]]:
    """`random_texts(*alphabets, count=500)`: texts of up to 24 characters, each from one of the alphabets or all."""

    def draw(*alphabets: str, count: int = 500) -> Iterator[str]:
        rng = random.Random(1)
        for _ in range(count):
            chosen = rng.sample(alphabets, rng.randint(1, len(alphabets)))
            yield "".join(rng.choice(rng.choice(chosen)) for _ in range(rng.randint(0, 24)))

    return draw


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, dev and test .en and .de (120, 12 and 12 pairs of the embedded corpus), and train.align."""
    from seq2seq.data.toy.translation import generate_translations
    from seq2seq.data.word_links import format_links

    folder, toy = tmp_path_factory.mktemp("corpus"), generate_translations(pairs=144, dev=2, test=2)
    for name, start, stop in (("train", 0, 120), ("dev", 120, 132), ("test", 132, 144)):
        for side in ("source", "target"):
            lines = [getattr(example, side) + "\n" for example in toy.train[start:stop]]
            (folder / f"{name}.{'en' if side == 'source' else 'de'}").write_text("".join(lines), encoding="utf-8")
    (folder / "train.align").write_text("".join(f"{format_links(example.alignment)}\n" for example in toy.train[:120]))
    return folder


@pytest.fixture(scope="session")
def small_settings(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """`small_settings(runs, *settings)`: the settings of a training that takes a second, as command line arguments."""
    data = ["data=mine", f"data.root={corpus}", "data.train=[train]", "data.dev=[dev]", "+data.test.test=[test]"]
    data_cache = f"data.cache={tmp_path_factory.mktemp('cache')}"

    def arguments(runs: Path, *settings: str) -> list[str]:
        chosen = any(setting.startswith("model.parameters=") for setting in settings)  # which choose model.hidden
        size = ["model.embedding=8", *([] if chosen else ["model.hidden=8"])]
        if "model=transformer" in settings:
            size = []
        return [*data, data_cache, *SMALL, *size, f"runs={runs}", *settings]

    return arguments


@pytest.fixture(scope="session")
def small_config(small_settings: Callable[..., list[str]]) -> Callable[..., Any]:
    """`small_config(runs, *settings)`: what `small_settings` is composed to. Each choice of groups is composed once."""
    from seq2seq.config.io import every_setting
    from seq2seq.launch.compose import compose_config
    from tests.settings import changed

    compose = cache(lambda *groups: compose_config(small_settings(Path("runs"), *groups)))

    def make(runs: Path, *settings: str) -> Any:
        single = [setting for setting in settings if setting.partition("=")[0] in every_setting()]
        groups = [setting for setting in settings if setting not in single]
        return changed(compose(*groups), f"runs={runs}", *single)

    return make


@pytest.fixture(scope="session")
def trained(small_config: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`trained(*settings)`: train a small model; returns its run directory, alone in its folder."""
    from seq2seq.training.run import train

    return lambda *settings: train(small_config(tmp_path_factory.mktemp("runs"), *settings))


@pytest.fixture(scope="session")
def tiny_run(trained: Callable[..., Path]) -> Path:
    """A finished run, shared by all tests: they must not change it."""
    return trained()


@pytest.fixture
def run_copy(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, which the test may change."""
    return Path(shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name))


def randomize_weights(run: Path, scale: float = 1.0) -> Path:
    """Give a run random weights: a barely trained model has the same output for every sentence."""
    import torch
    from safetensors.torch import load_file

    from seq2seq.ids import EOS
    from seq2seq.runs.weights import save_weights

    generator = torch.Generator().manual_seed(3)
    weights = {
        name: scale * torch.randn(w.shape, generator=generator)
        for name, w in load_file(run / "weights.safetensors").items()
    }
    weights["head.output.bias"][EOS] = 1.0
    save_weights(weights, run)
    return run


@pytest.fixture(scope="session")
def random_run(small_config: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`random_run(*settings)`: a run with random weights, created once for each combination of settings.

    It is written without a training, whose time it would take; tests of what a training writes use `trained`."""
    from seq2seq.runs.directory import INFO, read_info
    from seq2seq.runs.weights import save_weights
    from seq2seq.training.resources import count_parameters
    from seq2seq.training.run import create_directory, make_model, plan_training
    from seq2seq.utils.files import write_json

    @cache
    def run(*settings: str) -> Path:
        plan = plan_training(small_config(tmp_path_factory.mktemp("runs"), *settings))
        create_directory(plan)
        model = make_model(plan.config, plan.prepared, None)
        save_weights(dict(model.named_parameters()), plan.folder)
        result = {"updates": 1, "weights_from": [1], "dev_score": 0.0, "target_tokens": 100, "batches": "0" * 16}
        used = {"parameters": count_parameters(model), "seconds": 1.0, "processor_seconds": 1.0}
        write_json(plan.folder / INFO, read_info(plan.folder) | {"finished": True} | result | used)
        return randomize_weights(plan.folder)

    return run


FAMILIES: dict[str, tuple[str, ...]] = {
    "rnn": (),
    "transformer": (
        "model=transformer", "model.size=16", "model.heads=2", "model.feedforward=16",
        "model.encoder_layers=1", "model.decoder_layers=1",
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def family_run(random_run: Callable[..., Path]) -> Callable[[str], Path]:
    """`family_run(name)`: a run of a family, small, with random weights; tests must not change it."""
    return lambda family: random_run(*FAMILIES[family])


class Exported(NamedTuple):
    """A run, its bundles in float32 and int8, and what the command printed."""

    run: Path
    float32: Path
    int8: Path
    out: str


@pytest.fixture(scope="session")
def export_family(
    family_run: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Exported]:
    """`export_family(name)`: a model of a family, exported once for all processes, as tracing takes seconds."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # a process has a folder of its own inside

    @cache
    def export(family: str) -> Exported:
        run, printed = shared / f"exported-{family}", shared / f"exported-{family}.txt"
        with FileLock(f"{run}.lock"):
            if not printed.exists():
                shutil.copytree(family_run(family), run)
                printed.write_text(export_command(run), encoding="utf-8")
        return Exported(run, run / "export.s2s", run / "export-int8.s2s", printed.read_text(encoding="utf-8"))

    return export


def export_command(run: Path) -> str:
    """Export a run in float32 and int8; what is printed."""
    words = ["export", run, "--dtype", "float32", "int8", "--sentences", 14, "--allow-loss", 100]
    from seq2seq import cli

    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert cli.main([str(word) for word in words]) == 0, err.getvalue()
    return out.getvalue()


@pytest.fixture(scope="session")
def lines(corpus: Path) -> list[str]:
    """Source lines of different lengths, two of them empty."""
    test = (corpus / "test.en").read_text(encoding="utf-8").splitlines()
    return [*test[:5], "", *test[5:9], "  ", *test[9:], test[0].split()[0]]


@pytest.fixture(scope="session")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Ray on this machine with two cores, started once, which writes nothing to the home folder."""
    ray = pytest.importorskip("ray", reason="pip install 'seq2seq[ray]'")
    root = str(Path(__file__).resolve().parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PYTHONPATH", os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]))
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
        try:
            yield ray
        finally:
            ray.shutdown()


@pytest.fixture(scope="session")
def p_value() -> Callable[..., float]:
    """`p_value(test, metric, system, baseline, references, samples)`: the p-value of the difference of two systems.

    `test` is "randomisation" or "bootstrap"; each system is given as the output lines of several runs."""
    from seq2seq.evaluation.metrics import score
    from seq2seq.evaluation.significance import paired_bootstrap, randomisation

    def compare(
        test: str, name: str, system: list[list[str]], baseline: list[list[str]], references: list[str], samples: int
    ) -> float:
        ours, theirs = (
            [score(lines, [references], [name], bootstrap=0)[0] for lines in runs] for runs in (system, baseline)
        )
        systems: dict[str, Any] = {
            "system": [scored.statistics for scored in ours],
            "baseline": [scored.statistics for scored in theirs],
            "formula": ours[0].formula,
        }
        if test == "randomisation":
            return randomisation(**systems, trials=samples)
        return paired_bootstrap(**systems, samples=samples)

    return compare
