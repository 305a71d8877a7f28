"""``vsre demo``: a page on this machine on which a model is asked about a picture, as ``vsre ask`` does.

Gradio serves it, to this machine alone unless another host is named. Nothing is sent anywhere else: no share link, no
analytics, no fonts from elsewhere, no record of runs. What is uploaded lies in a folder that is removed at the end.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from datagen.config import DatagenConfig
from datagen.run import generate
from eval.ask.asker import Asker
from eval.ask.config import AskConfig
from eval.ask.overlay import draw_stacked, views_of
from eval.ask.run import headline, heads_of, notes, rows_of
from eval.ask.wording import open_picture
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, UserError
from spatial.records import decode_image
from spatial.templates import TEMPLATES, render
from vsre.config import DemoConfig

MISSING = "'vsre demo' needs Gradio: .venv/bin/pip install -e '.[demo]'"
HERE = ("127.0.0.1", "localhost", "::1")
EXAMPLES = ("left of", "right of", "in front of", "behind", "on", "off")
"""Relations of the pictures that are drawn at the start, one for each that the groups happen to be about."""

Example = list[str]
"""A picture's path, a question, and its options."""


def serve(config: DemoConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        ConfigError: Gradio is not installed, a setting cannot be used, or the address is taken.
        CheckpointError: the model cannot be used.
    """
    if config.max_mib < 1:
        raise ConfigError(f"max_mib is {config.max_mib}; use 1 or more")
    with tempfile.TemporaryDirectory(prefix="vsre-demo-") as kept:
        gradio = open_gradio(kept)
        asked = AskConfig(model=config.model, decoders=config.decoders, canvas=config.canvas, device=config.device)
        asker = Asker(asked)
        page = make_page(gradio, asker, draw_examples(Path(kept) / "examples"), Path(kept) / "looked.png")
        url = launch(gradio, page, config)
        others = "" if config.host in HERE else "; whoever reaches this machine can ask"
        print(f"{asker.name} answers at {url}{others}; Ctrl-C ends it", flush=True)
        page.block_thread()


def open_gradio(kept: str) -> Any:
    """Import Gradio, with analytics off, and ``kept`` as the folder of what is uploaded.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("gradio") is None:
        raise ConfigError(MISSING)
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": kept}
    import gradio

    return gradio


def launch(gradio: Any, page: Any, config: DemoConfig) -> str:
    """Start the server and return its address; the caller goes on.

    Raises:
        ConfigError: the host or the port cannot be had.
    """
    plain = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, url, _ = page.launch(
            server_name=config.host,
            server_port=config.port or None,
            max_file_size=config.max_mib * 2**20,
            share=False,
            mcp_server=False,
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            theme=plain,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise ConfigError(
            f"{config.host}:{config.port or 7860} cannot be served at ({error}); pass another --port"
        ) from error
    return str(url)


def make_page(gradio: Any, asker: Asker, examples: Sequence[Example], drawn: Path) -> Any:
    """Return the page; where the model looked is drawn in the file ``drawn`` on its way to the browser."""
    with gradio.Blocks(title=f"vsre: ask {asker.name}", analytics_enabled=False) as page:
        gradio.Markdown(f"# Ask {asker.name} where things are")
        with gradio.Row():
            with gradio.Column():
                picture = gradio.Image(
                    label="Picture", type="filepath", image_mode=None, sources=["upload", "clipboard"], height=320
                )
                picture.preprocess = _path  # Gradio's own opens the file, and does not say what is wrong with it
                question = gradio.Textbox(label="Question", placeholder="Is the cup left of the laptop?")
                options = gradio.Textbox(label="Options", info="left,right,above; none: yes or no, or in words")
                button = gradio.Button("Ask", variant="primary")
            with gradio.Column():
                said = gradio.Textbox(label="Answer", interactive=False)
                remarks = gradio.Textbox(label="Before you believe it", interactive=False, lines=2)
                table = gradio.Dataframe(label="What each decoder says", interactive=False, wrap=True)
                gradio.Markdown("Where it looked, before and after AdaptVis")
                looked = gradio.Image(
                    show_label=False, interactive=False, format="png", buttons=["download", "fullscreen"]
                )
        inputs = [picture, question, options]
        gradio.Examples([list(example) for example in examples], inputs, cache_examples=False)
        wanted = {"fn": _answerer(gradio, asker, drawn), "inputs": inputs, "outputs": [said, remarks, table, looked]}
        button.click(**wanted, api_name="ask")
        question.submit(**wanted, api_name=False)
    return page


def _path(sent: Any) -> str | None:
    """Return where Gradio has put what was uploaded."""
    return sent.path if sent else None


def _answerer(gradio: Any, asker: Asker, drawn: Path) -> Callable[[str | None, str, str], tuple[Any, ...]]:
    def answer(path: str | None, question: str, options: str) -> tuple[Any, ...]:
        try:
            if not path:
                raise ConfigError("choose a picture first")
            picture = open_picture(path)
            found = asker.ask(picture, question, options)
            views = views_of(found, asker.config.layer)
            if asker.sight and views:
                draw_stacked(picture, views, asker.sight, asker.config.layer, drawn)
        except UserError as error:
            told = str(error).replace(str(path), Path(str(path)).name)
            raise gradio.Error(told, print_exception=False, duration=None) from error
        rows = {"headers": heads_of(found), "data": rows_of(found)}
        looked = Image.open(drawn).copy() if views else None
        return headline(found), "\n".join(notes(asker, found)), rows, looked

    return answer


def draw_examples(folder: Path) -> list[Example]:
    """Draw a few pictures and return them with a question about each."""
    drawn = DatagenConfig(str(folder), groups=len(EXAMPLES), relations=list(EXAMPLES), workers=1)
    generate(replace(drawn, contrasts=["direct"], frames="viewer", nouns=["core"], exclude_nouns=[]))
    data = DatasetFolder(folder)
    found: dict[str, Example] = {}
    for record in data.records:
        if record.task == "statement" and record.topic == "relation" and record.relation not in found:
            path = folder / f"{len(found) + 1}.png"
            decode_image(data.images[record.image_id].image, record.image_id).save(path)
            found[record.relation] = [str(path), render(record, TEMPLATES["ask"], 0).text, ""]
    return list(found.values())
