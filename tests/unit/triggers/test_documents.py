"""The promises of reading YAML: both readers say the same, so a faster one changes no definition."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from bridge.triggers.documents import SIZE_LIMIT, BoundedLoader, DocumentError, read_documents, read_with

_FOLDER = Path(__file__).parents[3] / "docs" / "examples"
TEXTS = [path.read_text() for path in sorted(_FOLDER.glob("*.yaml"))]
SIGNS = " \t\n:-?,[]{}#&*!|>'\"%@`\\~=<.019abx\r\x85\u2028\ufeff\u00e9\u4e2d"
PIECES = [
    "'",
    '"',
    ": ",
    "- ",
    "? ",
    "!",
    "! ",
    "|#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "!!str ",
    '"\\x41"',
    "|-\n",
    ">+\n",
    "<<: ",
]


def edited(text: str, random: Random) -> str:
    """Return a part of ``text`` with a few edits, as a person makes them by mistake."""
    begin = text.rfind("\n", 0, random.randrange(len(text))) + 1 if random.random() < 0.5 else 0
    signs = list(text[begin : begin + 800])
    for _ in range(random.choice([1, 1, 2, 5])):
        at = random.randrange(len(signs))
        if random.random() < 0.3:
            del signs[at]
        else:
            signs.insert(at, random.choice([random.choice(SIGNS), random.choice(PIECES)]))
    return "".join(signs)


def read(text: str, loader: Any) -> Any:
    """Return all that is read of ``text``, or how it is refused."""
    try:
        documents = read_documents(text) if loader is None else read_with(loader, text)
        return [(document.value, document.line, document.lines, document.blocks) for document in documents]
    except DocumentError as error:
        return str(error), error.line, error.path


@pytest.mark.parametrize("seed", range(8))
def test_what_libyaml_takes_is_the_same_to_pyyaml_and_what_it_refuses_has_the_errors_of_pyyaml(seed: int) -> None:
    random = Random(seed)
    texts = [*TEXTS, *[edited(random.choice(TEXTS), random) for _ in range(250)]]
    results = {text: read(text, None) for text in texts}
    assert {text: result for text, result in results.items() if result != read(text, BoundedLoader)} == {}
    taken = sum(type(result) is list for result in results.values())
    assert len(TEXTS) < taken < len(results)


def test_libyaml_reads_what_most_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml.__with_libyaml__
    text = "kind: Trigger\nspec: {where: 'payload.rows > 0', name: größe}\n"
    expected = read(text, BoundedLoader)
    monkeypatch.setattr("bridge.triggers.documents.BoundedLoader", None)
    assert read(text, None) == expected


@pytest.mark.parametrize(
    "text",
    [
        "- " * 400_000,
        "? " * 400_000,
        "a: " + "[" * 400_000,
        'a: "' + "]" * 400_000 + '"\nb: ' + "[" * 400_000,  # brackets in quotes close nothing
        "[']', " * 150_000,
        "\n".join(" " * depth + "a:" for depth in range(1_400)),
    ],
    ids=["lists", "names", "brackets", "brackets behind quotes", "brackets with quotes", "mappings"],
)
def test_values_far_inside_each_other_are_refused_and_end_no_process(text: str) -> None:
    assert len(text) < SIZE_LIMIT
    with pytest.raises(DocumentError, match=r"deep|expected ',' or '\]'"):
        list(read_documents(text))


def test_documents_before_a_fault_are_read() -> None:
    documents = read_documents("a: 1\n---\nb: 'x\n", 5)
    assert next(documents).value == {"a": 1}
    with pytest.raises(DocumentError, match="a quote that is never closed") as raised:
        next(documents)
    assert raised.value.line == 7
