"""The timelines in ``docs/triggers``: small scenes, told by the real rules, drawn as SVG."""
