"""All drawings: each page's example, its scene, and what its picture says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bridge.core.trigger import Trigger
from bridge.triggers.resources import read_text
from drawings.picture import picture
from drawings.scene import Scene
from drawings.scenes import SCENES
from drawings.telling import told

FOLDER = Path(__file__).parents[2] / "docs" / "triggers"
"""Where the pages and their drawings are."""

_EXAMPLE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]+)\]\(([^)]+)\.svg\)")


def drawings() -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG text of each drawing."""
    for scene in SCENES:
        text = (FOLDER / f"{scene.page}.md").read_text()
        yield scene.page, picture(told(scene, trigger_of(scene, text), _title(scene, text)))


def example(text: str) -> str:
    """Return the YAML of the trigger that a page shows."""
    return str(_EXAMPLE.findall(text)[0])


def trigger_of(scene: Scene, text: str) -> Trigger:
    """Return the trigger that the page shows."""
    triggers, errors = read_text(example(text), scene.page, scene.page, "default")
    if errors:
        raise ValueError(f"{scene.page}: {errors[0]}")
    return triggers[0].trigger


def _title(scene: Scene, text: str) -> str:
    """Return what the page says about its picture."""
    titles = {str(name): str(title) for title, name in _IMAGE.findall(text)}
    return titles[scene.page]
