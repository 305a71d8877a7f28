"""Two processes with random numbers of their own, rows of unlike lengths, and counts over all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spatial.dataset import DatasetFolder, write_shard
from tests.extras import needs_deepspeed
from tests.training.test_zero import Base, base, facts_of, launch, losses  # noqa: F401
from tests.training.zero_worker import counted
from training.config import TrainConfig
from training.run import train
from training.throughput import Throughput

pytestmark = [
    pytest.mark.slow,
    needs_deepspeed,
    pytest.mark.timeout(2400),
]

WEIGHTS = ("adapter_model.safetensors", "model.safetensors")


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(next(out / name for name in WEIGHTS if (out / name).exists()))


def test_a_run_with_dropout_that_is_killed_ends_where_an_uninterrupted_one_ends(base: Base) -> None:  # noqa: F811
    shaken = replace(base.config.lora, dropout=0.1)
    ways: dict[str, tuple[str, dict[str, object]]] = {
        "ddp": ("ddp", {"lora": shaken, "encoder_dropout": 0.3}),
        "zero1": ("zero1", {"lora": shaken}),
        "zero2": ("zero2", {"lora": shaken}),
        "full": ("zero3", {"stage": "full"}),
    }
    whole = {f"whole-{name}": base.named(f"whole-{name}", way, **more) for name, (way, more) in ways.items()}
    still = base.named("still", "ddp")
    code, output = launch(base.folder, whole | {"still": still})
    assert code == 0, output[-4000:]
    broken = {name: base.named(f"killed-{name}", way, **more) for name, (way, more) in ways.items()}
    for name, config in broken.items():
        code, output = launch(base.folder, {name: config}, kill=name)
        assert code != 0, output
        checkpoints = Path(config.out) / "checkpoints"
        assert [path.name for path in checkpoints.glob("checkpoint-*")] == ["checkpoint-3"], output[-4000:]
        if name != "full":
            states = [
                torch.load(checkpoints / f"checkpoint-3/rng_state_{rank}.pth", weights_only=False) for rank in (0, 1)
            ]
            assert not torch.equal(states[0]["cpu"], states[1]["cpu"]), "every rank drops other entries"
    code, output = launch(base.folder, broken)
    assert code == 0, output[-4000:]
    for name in ways:
        one, two = base.folder / f"whole-{name}", base.folder / f"killed-{name}"
        assert losses(two) == pytest.approx(losses(one), abs=1e-6)
        expected, found = weights(one), weights(two)
        assert expected.keys() == found.keys()
        assert all(torch.allclose(expected[key], found[key], atol=1e-6, rtol=0) for key in expected)
    for name in ("ddp", "zero1", "zero2"):
        assert losses(base.folder / f"whole-{name}") != pytest.approx(losses(Path(still.out)), abs=1e-4)


@dataclass
class Uneven:
    """Runs on images with 1 to 8 statements, by way and loss, beside one process with what it counted."""

    base: Base
    one: dict[str, Path]
    counted: dict[str, dict[str, float]]


def train_watched(config: TrainConfig) -> Throughput:
    """Train in this process and return what measured it."""
    seen: list[Throughput] = []
    stock = Throughput.close

    def close(self: Throughput, gather: Callable[[torch.Tensor], torch.Tensor]) -> None:
        stock(self, gather)
        seen.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Throughput, "close", close)
        train(config)
    return seen[0]


@pytest.fixture(scope="module")
def uneven(base: Base, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uneven]:  # noqa: F811
    whole = DatasetFolder(data)
    images = list(whole.images.values())
    most = {row.image_id: 1 + place % 8 for place, row in enumerate(images)}
    kept = [
        record
        for row in images
        for record in [each for each in whole.records if each.image_id == row.image_id][: most[row.image_id]]
    ]
    folder = tmp_path_factory.mktemp("uneven")
    write_shard(folder, 0, images, kept)
    config = replace(base.config, data=[str(folder)], statements_per_image=8)
    shared, one, sums = Base(config, base.folder), {}, {}
    configs: dict[str, TrainConfig] = {}
    for per in ("token", "statement"):
        for way in ("ddp", "zero2", "zero3"):
            configs[f"{per}-{way}"] = shared.named(f"{per}-{way}", way, loss_per=per)
        config_of_one = replace(config, out=str(base.folder / f"one-{per}"), loss_per=per)  # type: ignore[arg-type]
        sums[per] = counted(train_watched(config_of_one))
        one[per] = Path(config_of_one.out)
    twice = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    configs["statement-accumulated"] = shared.named("statement-accumulated", "ddp", loss_per="statement", trainer=twice)
    code, output = launch(base.folder, configs)
    assert code == 0, output[-4000:]
    yield Uneven(shared, one, sums)


@pytest.mark.parametrize("way", ["ddp", "zero2", "zero3", "accumulated"])
def test_every_statement_counts_alike_whatever_process_it_is_in(uneven: Uneven, way: str) -> None:
    folder = uneven.base.folder
    assert losses(folder / f"statement-{way}") == pytest.approx(losses(uneven.one["statement"]), abs=1e-4)
    one, two = weights(uneven.one["statement"]), weights(folder / f"statement-{way}")
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert losses(uneven.one["statement"]) != pytest.approx(losses(uneven.one["token"]), abs=1e-3)


@pytest.mark.parametrize("way", ["ddp", "zero2", "zero3"])
@pytest.mark.parametrize("per", ["token", "statement"])
def test_the_log_counts_the_work_of_all_processes(uneven: Uneven, way: str, per: str) -> None:
    assert losses(uneven.base.folder / f"{per}-{way}") == pytest.approx(losses(uneven.one[per]), abs=1e-4)
    assert facts_of(uneven.base, f"{per}-{way}")["counted"] == uneven.counted[per]
    assert uneven.counted[per]["images"] == 8 * 8 and uneven.counted[per]["statements"] == 4 * 2 * sum(range(1, 9))
