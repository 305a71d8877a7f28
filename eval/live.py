"""Score a model that is in memory, such as one in training, on a fixed slice of data.

The questions, the scorer and the metrics are those of ``vsre eval``. Nothing is written: a checkpoint that matters is
evaluated again by that command, which keeps its predictions.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from eval.answering import Run
from eval.benchmarks import read_benchmark
from eval.config import EvalConfig
from eval.decoders import decode, readings_of
from eval.images import ImageFeatures
from eval.metrics import METRICS, accuracy, by_category
from eval.plan import Item, plan_batches, plan_items
from eval.predictions import Prediction
from eval.results import summarise
from eval.run import check_settings
from eval.scoring import Scorer
from spatial.errors import ConfigError
from spatial.scene import digest


class LiveEvaluation:
    """One slice of data, asked in one way.

    Args:
        config: ``model``, ``out`` and ``device`` are not read.

    Raises:
        ConfigError: a setting that cannot be used, or several decoders or image modes, whose scores would have one
            name.
        RecordError: the records cannot be read, or none is left.
    """

    def __init__(self, config: EvalConfig) -> None:
        decoders = check_settings(config)
        if len(decoders) > 1 or len(config.image_modes) > 1:
            raise ConfigError("one decoder and one image mode are scored in training; 'vsre eval' scores several")
        self.config, self.decoder = config, decoders[0]
        self.records = read_benchmark(config.data)
        self._items: list[Item] = []

    @cached_property
    def image_ids(self) -> frozenset[str]:
        """The images that are asked about."""
        return frozenset(record.image_id for record in self.records.records)

    @cached_property
    def content(self) -> str:
        """Hash of what is asked about; scores of another slice cannot be compared."""
        return digest("\n".join(sorted(f"{record.record_id} {record.image_id}" for record in self.records.records)))

    def answers(self, model: Any, processor: Any, part: int = 0, parts: int = 1) -> list[Prediction]:
        """Answer every ``parts``-th batch of questions, from the ``part``-th on.

        Args:
            model: in eval mode; of an adapted one, the base that holds the adapters.
            processor: of the model.
            part: from 0.
            parts: of the slice, such as processes that each do one.
        """
        if not self._items:
            self._items = plan_items(self.records.records, self.config, processor, self.records.images)
        batches = plan_batches(self._items, self.config.batch_size)[part::parts]
        asked = [item for batch in batches for items in batch.values() for item in items]
        failed = [item for item in self._items if item.failed][part::parts]
        canvas: str = processor.image_processor.mode
        features = ImageFeatures(model, processor, self.records.images)
        scorer = Scorer(model, processor, max_tokens=self.config.max_tokens)
        run = Run("", canvas, self.config, readings_of([self.decoder]), scorer, features)
        return run.answer(asked + failed)

    def scores(self, answers: Sequence[Prediction]) -> dict[str, float]:
        """Return the metrics that the slice has a value for.

        With them come the interval of the accuracy, the accuracy on each category ("accuracy_presence"), ``n`` and
        ``failed``.
        """
        rows = decode(self.decoder, sorted(answers, key=lambda row: row.key))
        (run,) = summarise(rows, self.config.bootstrap, self.config.seed)
        low, high = run["ci95"] or (None, None)
        found = {name: run[name] for name in METRICS} | {"ci95_low": low, "ci95_high": high}
        found |= {f"accuracy_{category}": accuracy(part) for category, part in by_category(rows).items()}
        known = {name: float(value) for name, value in found.items() if value is not None}
        return known | {"n": run["n"], "failed": len(run["failed"])}
