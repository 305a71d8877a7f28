"""How many draws of each contrast become a group, why the others fail, and what an accepted group costs.

    python benchmarks/acceptance.py [--quick] [--out FILE]

Every contrast of relations that a picture decides, direct and derived, and of those that hold by convention (marked *),
draws groups with all nouns there are, at 128 x 128 pixels with up to two bystanders, in both splits. A draw fails for
one of ``datagen.groups.REASONS``. Times are CPU seconds of one process, rejected draws included and PNG encoding not;
meshes are built before. The target is that no contrast accepts less than a fifth of its draws in either split.
"""

import time
from collections import Counter
from dataclasses import dataclass

from _report import finish, machine, options

from datagen.assets import ASSETS, unit_mesh
from datagen.config import DatagenConfig
from datagen.groups import REASONS, UnsatisfiableError, draw_group, pairs_of
from datagen.recipe import AMBIGUOUS_RECIPES, Recipe
from datagen.schedule import recipes_of

TARGET = 0.2


@dataclass(frozen=True)
class Draws:
    """What became of the draws of one recipe in one split."""

    recipe: Recipe
    split: str
    pairs: int
    accepted: int
    rejected: Counter[str]
    seconds: float

    @property
    def share(self) -> float:
        """Accepted draws over all."""
        return self.accepted / (self.accepted + self.rejected.total())

    @property
    def name(self) -> str:
        """The contrast, with a star where it holds by convention."""
        kind = "" if self.recipe.kind == "direct" else f" ({self.recipe.kind})"
        return f"{self.recipe.relation} | {self.recipe.counterpart}{kind}{' *' if self.recipe.ambiguous else ''}"


def measure(recipe: Recipe, split: str, groups: int) -> Draws:
    """Draw groups of a recipe; one that cannot be satisfied ends the recipe with what it had."""
    config = settings(split)
    rejected: Counter[str] = Counter()
    start = time.process_time()
    accepted = 0
    for index in range(groups):
        try:
            rejected.update(draw_group(config, recipe, index).rejected)
        except UnsatisfiableError as error:
            print(error)
            break
        accepted += 1
    spent = time.process_time() - start
    return Draws(recipe, split, len(pairs_of(recipe, config)), accepted, rejected, spent)


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "10 groups of each contrast and split instead of 100"), machine()
    groups = 10 if arguments.quick else 100
    for noun in ASSETS:
        unit_mesh(noun)
    print(f"{'contrast':<56}{'split':<7}{'pairs':>6}{'accepted':>10}{'ms':>6}  rejected")
    found = [_row(measure(recipe, split, groups)) for recipe in _recipes() for split in ("train", "test")]
    exact = [draws for draws in found if not draws.recipe.ambiguous]
    worst = min(exact, key=lambda draws: draws.share)
    total, spent = sum(draws.accepted for draws in exact), sum(draws.seconds for draws in exact)
    print(f"lowest: {worst.name} ({worst.split}) {worst.share:.0%}, target {TARGET:.0%}")
    print(f"images per CPU-second, all contrasts together: {2 * total / spent:.1f}")
    result = {
        "benchmark": "acceptance",
        "lowest_accepted": round(worst.share, 4),
        "lowest_recipe": f"{worst.name} ({worst.split})",
        "below_target": sum(draws.share < TARGET for draws in exact),
        "fewest_noun_pairs": min(draws.pairs for draws in exact),
        "images_per_cpu_second": round(2 * total / spent, 2),
        "n": groups,
        "recipes": [_numbers(draws) for draws in found],
        "nouns": len(ASSETS),
        "resolution": DatagenConfig().image_size,
        **before,
    }
    finish(result, arguments.out)


def settings(split: str) -> DatagenConfig:
    """Return the settings of all contrasts with all nouns."""
    return DatagenConfig(split=split, seed=7, exclude_nouns=[])


def _recipes() -> list[Recipe]:
    return [*recipes_of(settings("train")), *AMBIGUOUS_RECIPES]


def _row(draws: Draws) -> Draws:
    whole = draws.accepted + draws.rejected.total()
    why = ", ".join(f"{reason} {draws.rejected[reason] / whole:.0%}" for reason in REASONS if draws.rejected[reason])
    cost = 1000 * draws.seconds / max(1, draws.accepted)
    print(f"{draws.name:<56}{draws.split:<7}{draws.pairs:>6}{draws.share:>10.0%}{cost:>6.0f}  {why}", flush=True)
    return draws


def _numbers(draws: Draws) -> dict[str, object]:
    return {
        "relation": draws.recipe.relation,
        "counterpart": draws.recipe.counterpart,
        "kind": draws.recipe.kind,
        "split": draws.split,
        "pairs": draws.pairs,
        "groups": draws.accepted,
        "accepted": round(draws.share, 4),
        "ms_per_group": round(1000 * draws.seconds / max(1, draws.accepted), 1),
        "rejected": dict(sorted(draws.rejected.items())),
    }


if __name__ == "__main__":
    main()
