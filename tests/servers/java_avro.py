"""Java's own Avro as a reader, a writer and a judge of schemas that owes nothing to ours: one JVM for all questions."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import TypeAlias

from servers.builds import java_avro
from servers.process import ServerError

Question: TypeAlias = tuple[str, ...]
"""What to do and its parts, as ``Ask.java`` lists them."""

_SECONDS = 120


def ask_java(questions: Sequence[Question]) -> list[list[str]]:
    """Return the parts of Java's answer to each question. An answer that begins with ``error`` is its error.

    Raises:
        ServerError: The program failed, or cannot be built.

    """
    command = ["java", "-Xmx512m", "-cp", f"{java_avro()}/*", "Ask"]
    text = "".join("\t".join(question) + "\n" for question in questions)
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False, timeout=_SECONDS)
    answers = done.stdout.decode().split("\n")[:-1]
    if done.returncode or len(answers) != len(questions):
        raise ServerError(f"Java's Avro ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return [answer.split("\t") for answer in answers]
