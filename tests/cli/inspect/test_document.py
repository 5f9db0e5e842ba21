"""The report for programs, and the page that explains it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from tests.cli.inspect.samples import NOW, SECRET, samples
from tests.cli.inspect.test_inspecting import SampleTestCase
from txtransport.cli.inspect.document import as_document

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "inspect.md"


class DocumentTests(SampleTestCase):
    """The object that ``--json`` writes."""

    def documents(self) -> dict[str, dict[str, Any]]:
        """What is written of each sample, as it comes back from JSON."""
        made = {}
        for sample in samples():
            report = self.report(sample, *self.put(sample))
            written = json.dumps(as_document([report], NOW))
            self.assertNotIn(SECRET, written)
            made[sample.name] = json.loads(written)
        return made

    def test_every_key_is_always_there(self) -> None:
        """Whatever a file is, its object has the same keys."""
        (first, *others) = (document["files"][0] for document in self.documents().values())
        for other in others:
            self.assertEqual([*other], [*first])

    def test_the_verdict_is_that_of_the_exit_status(self) -> None:
        """``ok`` says of each file and of all what the exit status says."""
        documents = self.documents()
        for sample in samples():
            document = documents[sample.name]
            self.assertEqual((document["ok"], document["files"][0]["ok"]), (sample.is_good,) * 2)

    def test_every_key_is_explained(self) -> None:
        """docs/inspect.md explains every key of the JSON, and no other."""
        page = PAGE.read_text(encoding="utf-8")
        explained = set(re.findall("^[|] `([a-z_]+)` [|]", page, re.MULTILINE))
        self.assertEqual(explained, set(_keys(list(self.documents().values()))))


def _keys(value: Any) -> set[str]:
    """All keys of objects, however deep, but those that docs/probe.md explains."""
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if isinstance(value, dict):
        inner = (each for key, each in value.items() if key != "certificates")
        return set(value) | set().union(*map(_keys, inner))
    return set()
