"""Counterfactual groups of scenes, ready to be painted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from datagen.config import DatagenConfig
from datagen.engines.base import Order
from datagen.engines.orders import seed_of
from datagen.engines.photo_orders import UNKNOWN_BOX
from datagen.engines.prompts import scene_prompts, style_of
from datagen.groups import Group, draw_group
from datagen.image_rows import image_row
from datagen.nouns import chosen_nouns
from datagen.paint.specs import Attempt, Spec, Turn, is_readable, painted_group_id
from datagen.passes import Passes, render_passes
from datagen.recipe import Recipe
from datagen.run import shard_groups
from datagen.schedule import recipes_of, turns
from datagen.statements import check_balance, group_records
from datagen.verify.base import Claim, Intent
from spatial.records import ImageObject, ImageRow, Record


@dataclass(frozen=True)
class SceneSource:
    """Draws the groups of a run.

    Attributes:
        config: of the run.
        turns: engines in the order in which they take the seeds of a group.
    """

    config: DatagenConfig
    turns: tuple[Turn, ...]

    @property
    def nouns(self) -> list[str]:
        """All nouns that scenes can show."""
        return list(chosen_nouns(self.config))

    def attempts(self, shard: int) -> list[Attempt]:
        """Return what is to be painted of a shard, group by group."""
        recipes = recipes_of(self.config)  # they hold functions, which cannot be sent to another process
        order = turns(recipes, self.config)
        return [
            attempt
            for index in shard_groups(self.config, shard)
            for attempt in self._of_group(recipes[order[index]], index)
        ]

    def _of_group(self, recipe: Recipe, index: int) -> list[Attempt]:
        """Return the attempts at a group.

        Its captions name no colours, because no check looks whether a thing was painted in the one asked for.
        """
        group = replace(draw_group(self.config, recipe, index), coloured=False)
        rows = (image_row(group, group.views[0]), image_row(group, group.views[1]))
        records = list(group_records(group, (rows[0].image_id, rows[1].image_id), self.config.split))
        check_balance(records)
        passes = [render_passes(view.scene, self.config.supersample) for view in group.views]
        specs = [self._spec(group, view, rows[view], passes[view], records) for view in range(len(rows))]
        return [
            self._attempt(group, specs, passes, number, self.turns[number % len(self.turns)])
            for number in range(self.config.paint.seeds_per_spec)
        ]

    def _attempt(
        self, group: Group, specs: Sequence[Spec], passes: Sequence[Passes], number: int, turn: Turn
    ) -> Attempt:
        style = style_of(group.views[0].scene.backdrop, self.config.seed, group.group_id, number)
        seed = seed_of(self.config.seed, group.group_id, number)
        orders = [
            Order(spec.name, seed, scene_prompts(view.scene, style, _true_caption(spec.records)), known)
            for spec, view, known in zip(specs, group.views, passes, strict=True)
        ]
        return Attempt(
            painted_group_id(group.group_id, turn.engine, number),
            number,
            turn.engine,
            turn.control,
            tuple(specs if turn.control else map(without_geometry, specs)),
            tuple(orders),
        )

    def _spec(self, group: Group, index: int, row: ImageRow, passes: Passes, records: Sequence[Record]) -> Spec:
        """Return what is asked of the view at ``index`` of a group."""
        original, view = index == 0, group.views[index]
        claims = tuple(Claim(it.relation, it.a, it.b, it.truth == original) for it in group.statements)
        intent = Intent(row.objects, claims, view.scene.width, view.scene.height, passes.depth)
        return Spec(
            name=row.scene_id,
            role="original" if original else group.recipe.family.change,
            relation=group.recipe.relation if original else group.recipe.counterpart,
            intent=intent,
            row=replace(row, image=b""),
            records=tuple(record for record in records if record.image_id == row.image_id),
            readable=is_readable(intent, bool(self.config.verify.depth)),
        )


def _true_caption(records: Sequence[Record]) -> str:
    """Return the first sentence that is true of a picture."""
    return next(record.caption for record in records if (record.task, record.answer) == ("statement", "true"))


def without_geometry(spec: Spec) -> Spec:
    """Return a spec of which only nouns and relations are asked for: nobody knows where its things will be."""
    objects = tuple(ImageObject(item.name, UNKNOWN_BOX) for item in spec.intent.objects)
    intent = replace(spec.intent, objects=objects, depth=None)
    records = tuple(replace(record, subject=-1, object=-1, record_id="") for record in spec.records)
    return replace(spec, intent=intent, row=replace(spec.row, objects=()), records=records)
