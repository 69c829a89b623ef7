"""YAML documents as plain values with their lines.

The reader is stricter than YAML where YAML surprises. It refuses a name that is given twice, a name that is no text
(``on:``, ``1:``), and merge keys. Times stay texts. The number of values in a document is bounded, aliases included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from bridge.triggers.errors import FieldPath, quote_value
from flowbridge_sdk.avro.misfit import MisfitError

SIZE_LIMIT = 1_048_576
"""Characters in a file."""

NODE_LIMIT = 20_000
"""Values in one document. A value behind an alias counts as often as it is used."""

DEPTH_LIMIT = 32
"""Lists and mappings inside each other."""

_TEXT_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_SCALAR_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))


@dataclass(slots=True)
class Document:
    """One document of a file.

    Attributes:
        value: Its content: mappings, lists, str, int, float, bool, None.
        line: Line on which it starts, from 1.
        lines: Line of each value by its path.
        blocks: Line of the first line of each text that is written as a block (``|``), by its path.

    """

    value: Any
    line: int
    lines: dict[FieldPath, int] = field(default_factory=dict)
    blocks: dict[FieldPath, int] = field(default_factory=dict)

    def line_of(self, path: FieldPath) -> int:
        """Return the line of the value at ``path``, or of the nearest value around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)

    def part(self, path: FieldPath) -> Document:
        """Return the value at ``path`` as a document of its own."""
        value = self.value
        for step in path:
            value = value[step]
        return Document(value, self.line_of(path), _below(path, self.lines), _below(path, self.blocks))


class DocumentError(MisfitError):
    """A text that is no YAML, or YAML that is refused.

    Attributes:
        line: Line, from 1.
        path: Place in the document.

    """

    def __init__(self, found: str, expected: str, line: int, path: FieldPath = ()) -> None:
        super().__init__(found, expected)
        self.line = line
        self.path = path


def read_documents(text: str, first_line: int = 1) -> Iterator[Document]:
    """Yield the documents of ``text``, whose first line is ``first_line``. Empty documents are left out.

    libyaml reads most texts, three times as fast as PyYAML. What it refuses PyYAML reads again, because its errors say
    more.

    Raises:
        DocumentError: The text is no YAML from some line on, or a document is refused.

    """
    if len(text) > SIZE_LIMIT:
        raise DocumentError(f"{len(text)} characters", f"a file has at most {SIZE_LIMIT}", first_line)
    if QuickLoader is not None and not _READ_DIFFERENTLY.search(text):
        with suppress(DocumentError):
            yield from list(read_with(QuickLoader, text, first_line))
            return
    yield from read_with(BoundedLoader, text, first_line)


def read_with(loader: type[Any], text: str, first_line: int = 1) -> Iterator[Document]:
    """Yield the documents of ``text`` as a loader of PyYAML composes them; as ``read_documents``."""
    try:
        for node in yaml.compose_all(text, Loader=loader):
            document = Document(None, node.start_mark.line + first_line)
            document.value = _Reader(document, first_line).value(node, ())
            if document.value is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        # PyYAML's errors are about its grammar. Common mistakes in triggers get plainer texts, and the line where the
        # value begins.
        message = f"{error.context or ''}; {error.problem or ''}"
        is_scanned = error.context is not None and error.context.startswith("while scanning")
        mark = (error.context_mark if is_scanned else None) or error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        written = next(iter(text.splitlines()[line : line + 1]), "").strip()
        known = [fault for part, fault in _FAULTS.items() if part in message]
        if known:
            found, expected = known[0]
        elif _QUOTED_IN_PART.search(written):
            found = f"a value of which only a part is in quotes: {quote_value(written)}"
            expected = "put the whole value in quotes of the other kind, or write it as a block behind '|'"
        else:
            found = f"no YAML: {error.problem or error.context}"
            expected = "check indentation, quotes and colons near here"
        raise DocumentError(found, expected, line + first_line) from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise DocumentError(f"no YAML: {reason}", "write plain YAML in UTF-8", first_line) from error


_FAULTS = {
    "alias": ("a value that begins with *, which is an alias in YAML", "put quotes around it, as cron: '* * * * *'"),
    "unknown escape character": (
        "a backslash in double quotes, where YAML gives it a meaning",
        r"""put the text in single quotes: 'matches("\\d+")'""",
    ),
    "quoted scalar; found unexpected end of stream": ("a quote that is never closed", "close it"),
    "scanning a block scalar": (
        "a value that begins with | or >, which begins a block of text in YAML",
        "put quotes around it, or write the text on the next line",
    ),
    "scanning a tag": ("a value that begins with !, which is a tag in YAML", "put quotes around it"),
    "'\\t'": ("a tab", "indent with spaces"),
    "cannot start any token": ("a value that begins with a sign of YAML", "put quotes around it"),
    "mapping values are not allowed": (
        "a second ':' in one line",
        "put quotes around the value, or check the indentation",
    ),
}
"""Parts of PyYAML's messages, each with what was found and what is expected."""

_QUOTED_IN_PART = re.compile(r""":\s+("[^"]*"|'[^']*')\s*[^\s,}\]#]""")


def _below(path: FieldPath, places: dict[FieldPath, int]) -> dict[FieldPath, int]:
    return {place[len(path) :]: line for place, line in places.items() if place[: len(path)] == path}


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's loader with a bound on the depth of brackets, because its time grows with the square of this depth."""

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        """Refuse a bracket that is too deep."""
        if self.flow_level > DEPTH_LIMIT:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEPTH_LIMIT}", problem_mark=self.get_mark())
        super().fetch_flow_collection_start(token_class)


def _quick_loader() -> type[Any] | None:
    """Return a loader over libyaml's parser; None where PyYAML was built without it."""
    if not yaml.__with_libyaml__:
        return None

    class Loader(yaml.composer.Composer, yaml.CSafeLoader):
        """PyYAML's composer: libyaml's own ends the process where values are a hundred thousand inside each other."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            yaml.composer.Composer.__init__(self)

    return Loader


QuickLoader = _quick_loader()

_READ_DIFFERENTLY = re.compile(r"[^\n -~\u00a1-\u1fff]|\?|!(?![=\w(])|[|>][-+0-9]*[#%]|^%", re.MULTILINE)
"""Tabs, other ends of lines, ``?``, odd tags, directives, ``|#``: PyYAML reads some texts with them in another way."""


class _Reader:
    """Build the value of one document."""

    def __init__(self, document: Document, first_line: int) -> None:
        self._document = document
        self._first_line = first_line
        self._nodes = 0

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        line = node.start_mark.line + self._first_line
        self._document.lines.setdefault(path, line)
        self._nodes += 1
        if self._nodes > NODE_LIMIT:
            raise DocumentError(f"more than {NODE_LIMIT} values", "split the file; use fewer aliases", line, path)
        if len(path) > DEPTH_LIMIT:
            raise DocumentError(f"nested deeper than {DEPTH_LIMIT}", "write it flatter", line, path[:3])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(member, (*path, index)) for index, member in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            return None
        if node.tag in _TEXT_TAGS:
            if node.style in {"|", ">"}:
                self._document.blocks[path] = line + 1
            _refuse_surrogates(node.value, line, path)
            return node.value
        if node.tag not in _SCALAR_TAGS:
            expected = "put quotes around an expression that begins with !; YAML takes it for a tag"
            raise DocumentError(f"the tag {quote_value(node.tag)}", expected, line, path)
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, OverflowError) as error:
            found = f"{quote_value(node.value)} is no {node.tag[22:]}"
            raise DocumentError(found, "put quotes around it", line, path) from error

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + self._first_line
            name = name_node.value
            if name_node.tag not in _TEXT_TAGS or not isinstance(name, str):
                if isinstance(name_node, yaml.MappingNode) and node.flow_style:
                    raise DocumentError(
                        "found {{ }}", "write the field without braces, as order.payload.id", line, path
                    )
                found = quote_value(name) if isinstance(name, str) else "a list or mapping"
                raise DocumentError(f"{found} as a name", "names are texts; put quotes around it", line, path)
            _refuse_surrogates(name, line, path)
            if name in members:
                is_next = not path and name in {"apiVersion", "kind"}
                expected = (
                    "give it once; if another trigger begins here, write --- before it" if is_next else "give it once"
                )
                raise DocumentError(f"{quote_value(name)} is given twice", expected, line, (*path, name))
            inner = _shared((*path, name))
            self._document.lines[inner] = line
            members[name] = self.value(value_node, inner)
        return members


@lru_cache(maxsize=4_096)
def _shared(path: FieldPath) -> FieldPath:
    """Return one path for all that are equal: the lines of thousands of triggers have the same few."""
    return path


def _refuse_surrogates(text: str, line: int, path: FieldPath) -> None:
    """Refuse halves of characters (lone surrogates), which no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DocumentError("half of a character", "write whole characters", line, path) from error
