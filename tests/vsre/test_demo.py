"""``vsre demo``: the page answers what the command answers, refuses in words, and serves this machine alone."""

import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.ask.asker import AskConfig, Asker
from eval.ask.wording import open_picture
from spatial.errors import ConfigError
from vsre import demo
from vsre.assets import resolve_model
from vsre.cli import main
from vsre.config import DemoConfig

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="Gradio is not installed (the extra 'demo')")

QUESTION = "Is the cup left of the laptop?"


@pytest.fixture(scope="module")
def asker() -> Asker:
    return Asker(
        AskConfig(model=resolve_model("tiny-expert"), decoders=["adaptvis(a1=0.5,a2=1.2,beta=0.4)"], device="cpu")
    )


@pytest.fixture(scope="module")
def served(asker: Asker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of the page, which it has as ``page``."""
    folder = tmp_path_factory.mktemp("demo")
    gradio = demo.open_gradio(str(folder))
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    page = demo.make_page(gradio, asker, [[str(folder / "red.png"), QUESTION, ""]], folder / "looked.png")
    url = demo.launch(gradio, page, DemoConfig(max_mib=1))
    from gradio_client import Client

    client = Client(url, verbose=False, download_files=str(folder / "client"))
    client.page = page
    yield client
    page.close()


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"vsre: {demo.MISSING}"


def test_a_page_without_room_for_pictures_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_mib is 0; use 1 or more"):
        demo.serve(DemoConfig(max_mib=0))


def test_examples_are_pictures_with_a_question_about_each(tmp_path: Path, asker: Asker) -> None:
    examples = demo.draw_examples(tmp_path / "examples")
    assert len(examples) >= 4 and len({path for path, _, _ in examples}) == len(examples)
    path, question, options = examples[0]
    assert options == "" and asker.ask(open_picture(path), question).options == ("yes", "no")


@needs_gradio
@pytest.mark.slow
def test_the_page_answers_as_the_command_does(served: Any, asker: Asker, tmp_path: Path) -> None:
    from gradio_client import handle_file

    Image.new("RGB", (128, 128), "green").save(tmp_path / "green.png")
    said, remarks, table, looked = served.predict(
        handle_file(str(tmp_path / "green.png")), QUESTION, "", api_name="/ask"
    )
    expected = asker.ask(open_picture(str(tmp_path / "green.png")), QUESTION)
    assert said.startswith(f"{expected.said[0].text} ") and "nothing of photos" in remarks
    assert table["headers"] == ["says", "probability", "decoder", "log p(yes)", "log p(no)"]
    assert [row[0] for row in table["data"]] == [row.text for row in expected.said]
    assert Image.open(looked).height > 500


@needs_gradio
@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "question", "message"),
    [
        (b"hello", QUESTION, "image picture.png cannot be decoded"),
        (b"\x89PNG" * 400_000, QUESTION, "exceeds the maximum file size"),
        (None, QUESTION, "choose a picture first"),
        ("green", "Is the zebra left of the cup?", "has never seen 'zebra'"),
    ],
)
def test_the_page_says_what_is_wrong(
    content: bytes | str | None, question: str, message: str, served: Any, tmp_path: Path
) -> None:
    from gradio_client import handle_file

    path = tmp_path / "picture.png"
    if isinstance(content, str):
        Image.new("RGB", (64, 64), content).save(path)
    elif content:
        path.write_bytes(content)
    with pytest.raises(Exception, match=message):
        served.predict(handle_file(str(path)) if content else None, question, "", api_name="/ask")


@needs_gradio
@pytest.mark.slow
def test_only_this_machine_is_served_and_nothing_is_shared(served: Any) -> None:
    page = served.page
    assert page.share is False and page.analytics_enabled is False
    assert page.local_url == served.src and served.src.startswith("http://127.0.0.1:")
    port = int(served.src.rstrip("/").rpartition(":")[2])
    own = next((entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)), "")
    if own and not own.startswith("127."):
        with socket.socket() as outside:
            assert outside.connect_ex((own, port)) != 0
