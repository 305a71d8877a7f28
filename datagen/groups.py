"""Draw one counterfactual group: two scenes that differ in one thing, verified by predicates and by pixels.

All randomness of a group comes from one counter-based generator keyed by (seed, split, group index), so a
group is the same whichever process draws it and in whatever order.
"""

from dataclasses import dataclass, replace

import numpy as np

from datagen.assets import ASSETS, asset, part_keys
from datagen.assets.catalogue import TOOLS, remembered
from datagen.claims import OPPOSED, Statement, depends_on_viewer, mixes_directions, statements, turns_round
from datagen.config import DatagenConfig
from datagen.families import Placements, Rng, turned
from datagen.layout import clash, distractors, specify, stand, viewed
from datagen.looks import LOOKS
from datagen.needs import suits
from datagen.nouns import TRUE_COLOURS, chosen_nouns, paints
from datagen.recipe import Recipe
from datagen.render import Rendered, observe_rendered, render
from datagen.visibility import clearly_seen, outlines
from spatial.errors import ConfigError
from spatial.observation import Observation
from spatial.scene import ObjectSpec, Scene, digest

MAX_ATTEMPTS = 400
"""A recipe that has not succeeded after this many draws cannot be satisfied."""

REASONS = ("proposal", "clash", "framing", "predicate", "visibility")
"""Why a draw fails, in the order of the checks: nothing fits, objects share space, one is out of the picture, a
predicate does not say what was meant, or something is hardly seen."""

HELD_OUT = 6
"""One unordered pair of nouns in this many is kept for testing."""


class UnsatisfiableError(ConfigError):
    """No attempt of a recipe produced a valid group."""


@dataclass(frozen=True)
class View:
    """A scene with its pixels and what can be seen of it."""

    scene: Scene
    rendered: Rendered
    observation: Observation


@dataclass(frozen=True)
class Group:
    """Two views, the statements that tell them apart, and why the draws before it failed (see ``REASONS``)."""

    group_id: str
    recipe: Recipe
    views: tuple[View, View]
    statements: tuple[Statement, ...]
    rejected: tuple[str, ...]
    coloured: bool

    @property
    def attempts(self) -> int:
        """Draws until this group was accepted, itself included."""
        return len(self.rejected) + 1


def is_held_out(first: str, second: str) -> bool:
    """Tell whether a pair of nouns, in either order, belongs to the test split.

    A part, an arch or a hoop meets few nouns, so two in five of those are kept and not one in six.
    """
    few = any("/" in noun or noun in TOOLS for noun in (first, second))
    number = int(digest("|".join(sorted((first, second)))), 16)
    return number % 5 < 2 if few else number % HELD_OUT == 0


@remembered
def noun_pairs(needs: tuple[str, ...], split: str, nouns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the ordered pairs of nouns of a split whose usual sizes and features meet a family's needs.

    Args:
        needs: see ``Family.needs``.
        split: "train" or "test".
        nouns: sorted keys of the catalogue to draw from; that of a part ("cup/handle") goes with its whole.

    Raises:
        UnsatisfiableError: there is none.
    """
    candidates = _candidates(needs, nouns)
    usual = {noun: specify(noun, "", 1.0) for noun in {noun for pair in candidates for noun in pair}}
    pairs = tuple(
        (a, b) for a, b in candidates if is_held_out(a, b) == (split == "test") and suits(needs, usual[a], usual[b])
    )
    if not pairs:
        told = f" meet {', '.join(needs)}" if needs else ""
        raise UnsatisfiableError(f"no two of the {len(nouns)} nouns{told} in split {split!r}")
    return pairs


def pairs_of(recipe: Recipe, config: DatagenConfig) -> tuple[tuple[str, str], ...]:
    """Return the pairs of nouns that a contrast can be about with these settings.

    Raises:
        UnsatisfiableError: there is none, or none of what the contrast needs beside them.
    """
    nouns, brings = chosen_nouns(config), recipe.family.brings
    if brings and not set(brings) & set(nouns):
        raise UnsatisfiableError(f"{recipe.relation!r} needs one of {', '.join(brings)} among the nouns")
    try:
        return noun_pairs(recipe.family.needs, config.split, nouns)
    except UnsatisfiableError as error:
        both = " and ".join(dict.fromkeys([f"{recipe.relation!r}", f"{recipe.counterpart!r}"]))
        raise UnsatisfiableError(f"{both}: {error}; leave the relation out, or add nouns") from error


def _candidates(needs: tuple[str, ...], nouns: tuple[str, ...]) -> list[tuple[str, str]]:
    parts = [(part, whole) for part, whole in part_keys() if whole in nouns]
    if "a part of b" in needs:
        return parts
    if "b part of a" in needs:
        return [(whole, part) for part, whole in parts]
    firsts = ("hoop",) if "a hoop" in needs else nouns
    seconds = ("arch",) if "b arch" in needs else nouns
    return [(a, b) for a in firsts for b in seconds if a != b]


def draw_group(config: DatagenConfig, recipe: Recipe, index: int) -> Group:
    """Draw attempts until one passes every check.

    Raises:
        UnsatisfiableError: ``MAX_ATTEMPTS`` draws failed.
    """
    kind = "" if recipe.kind == "direct" else f"/{recipe.kind}"
    group_id = digest(f"{config.seed}/{config.split}/{index}/{recipe.relation}/{recipe.counterpart}{kind}")
    rng = np.random.Generator(np.random.Philox(key=int(group_id, 16)))
    frames = _frames(config, recipe, group_id)
    rejected: list[str] = []
    while len(rejected) < MAX_ATTEMPTS:
        scenes = _draw_scenes(rng, config, recipe, frames)
        if isinstance(scenes, str):
            rejected.append(scenes)
            continue
        made = statements(recipe, scenes, frames)
        if not made:
            rejected.append("predicate")
            continue
        views = _views(scenes, config, recipe)
        if views:
            return Group(group_id, recipe, views, made, tuple(rejected), bool(rng.random() < 0.6))
        rejected.append("visibility")
    raise UnsatisfiableError(
        f"no scene for {recipe.relation!r} against {recipe.counterpart!r} ({recipe.kind}) in {MAX_ATTEMPTS} draws;"
        " leave it out of 'relations', or allow larger images or fewer distractors"
    )


def _frames(config: DatagenConfig, recipe: Recipe, group_id: str) -> str:
    """Return how a group deals with two readings of left and right: as the settings say, or by showing a conflict."""
    if config.frames == "viewer" or not depends_on_viewer(recipe):
        return "viewer"
    share = int(digest(f"frames/{group_id}")[:8], 16) / 16**8
    opposed = recipe.kind == "direct" and {recipe.relation, recipe.counterpart} in OPPOSED
    if not opposed or share >= 2 * config.frame_conflict:
        return "agree"
    return "conflict" if share < config.frame_conflict else "said"


def _draw_scenes(rng: Rng, config: DatagenConfig, recipe: Recipe, frames: str) -> tuple[Scene, Scene] | str:
    """Return two scenes, or why there are none."""
    family, nouns, look = recipe.family, chosen_nouns(config), LOOKS[config.looks]
    named = _draw_nouns(rng, pairs_of(recipe, config), recipe, frames)
    if named is None:
        return "proposal"
    if family.brings:
        brought = [noun for noun in family.brings if noun in nouns and noun not in named]
        if not brought:
            return "proposal"
        named = (*named, brought[int(rng.integers(len(brought)))])
    others = [noun for noun in rng.permutation(nouns).tolist() if _is_another(noun, named)]
    colours = paints(rng, named)
    if colours is None:
        return "clash"
    specs = [stand(rng, noun, colour, family.lean) for noun, colour in zip(named, colours[0], strict=True)]
    placed = _placed(rng, recipe, specs, frames)
    if placed is None:
        return "proposal"
    if clash(family, placed):
        return "clash"
    empty = viewed(look.stage(rng, config), family, placed, look.camera_moves)
    if empty is None:
        return "framing"
    bystanders = distractors(rng, config, empty, placed, others, colours[1])
    first, second = (replace(empty, objects=(*placement, *bystanders)) for placement in placed)
    return look.dress(rng, (first, second))


def _placed(rng: Rng, recipe: Recipe, specs: list[ObjectSpec], frames: str) -> Placements | None:
    family = recipe.family
    alike = specs[1:2] if family.brings else specs[1:]
    if not all(suits(family.needs, specs[0], other) for other in alike):
        return None
    if turns_round(recipe, frames):
        specs = [specs[0], *(turned(spec, spec.yaw + 180) if spec.has_front else spec for spec in specs[1:])]
    return family.place(rng, *specs)


def _draw_nouns(rng: Rng, pairs: tuple[tuple[str, str], ...], recipe: Recipe, frames: str) -> tuple[str, ...] | None:
    """Draw the two or three nouns that are named; ``None`` if there is no third like the second."""
    if frames == "agree" and mixes_directions(recipe):
        pairs = _frontless(pairs)
    elif frames == "agree" and turns_round(recipe, frames) and rng.random() < 0.5:
        # Half of what has a front is then seen from the back; half as many is enough.
        pairs = _frontless(pairs) or pairs
    elif frames in ("conflict", "said"):
        pairs = _faces(pairs)
    if not pairs:
        return None
    named = pairs[int(rng.integers(len(pairs)))]
    if not recipe.three:
        return named
    alike = [b for a, b in pairs if a == named[0] and b != named[1]]
    return (*named, alike[int(rng.integers(len(alike)))]) if alike else None


@remembered
def _frontless(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the pairs whose second noun has no front."""
    return tuple(pair for pair in pairs if not asset(pair[1]).has_front)


@remembered
def _faces(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the pairs whose second noun has a front that is seen."""
    return tuple(pair for pair in pairs if suits(("b face",), *(specify(noun, "", 1.0) for noun in pair)))


def _is_another(noun: str, named: tuple[str, ...]) -> bool:
    """Tell whether a noun can stand by, in whatever colour: it is not named, and has no part of a name that is."""
    parts = {name.split("/")[1] for name in named if "/" in name}
    return noun not in named and noun not in TRUE_COLOURS and not parts & set(ASSETS[noun].parts)


def _views(scenes: tuple[Scene, Scene], config: DatagenConfig, recipe: Recipe) -> tuple[View, View] | None:
    """Render both scenes if everything is clearly seen, first asked of outlines, which are cheap."""
    if not all(clearly_seen(scene, outlines(scene), recipe.family.shown) for scene in scenes):
        return None
    views = []
    for scene in scenes:
        rendered = render(scene, config.supersample)
        if not clearly_seen(scene, rendered.ids, recipe.family.shown):
            return None
        views.append(View(scene, rendered, observe_rendered(scene, rendered)))
    return views[0], views[1]
