"""Discharge summaries of many patients: the product's German and Chinese samples with ids and persons of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from population import AUTHORITY, Population, patient_id

import xds

SAMPLES = Path(xds.__file__).parent / "data" / "samples"
SIZE = 12_000
"""Octets of a document at most: so many sections of the sample are kept."""
PATIENTS = 1_000_000
"""Number of the first patient; those below are the seed's."""


@dataclass(frozen=True)
class Template:
    """A sample document, and what stands in it for whom.

    Attributes:
        name: of the file.
        number: extension of ClinicalDocument/id.
        patient: root and extension of the id that becomes that of the affinity domain.
        names: family and given name, or both in one.
        born: birthTime.
    """

    name: str
    number: str
    patient: str
    names: tuple[str, ...]
    born: str

    def text(self) -> str:
        """The document, with as many sections as `SIZE` allows."""
        tree = etree.parse(SAMPLES / self.name)
        (body,) = tree.findall("{*}component/{*}structuredBody")
        while len(octets := etree.tostring(tree, encoding="UTF-8", xml_declaration=True)) > SIZE and len(body):
            body.remove(body[-1])
        return octets.decode()


TEMPLATES = (
    Template(
        "entlassbrief-de.xml",
        "EB-2025-004711",
        'root="2.999.276.1.3" extension="0004711"',
        ("Mühlen-Groß", "Jürgen"),
        "19480229",
    ),
    Template(
        "cda-zh.xml",
        "YL20251013000053",
        'root="2.16.156.10011.1.19" extension="YL0000000000000053"',
        ("欧阳示例",),
        "19560518",
    ),
)
NAMES = (
    (("Müller", "Öztürk", "Großmann", "Kowalska", "Weiß"), ("Änne", "Jürgen", "Zoë", "Mehmet", "Søren")),
    (("王伟", "李芳", "欧阳敏", "张秀英", "诸葛明"),),
)  # fmt: skip
"""For each template, what takes the place of each of its `names`."""


def write_files(directory: Path, first: int, count: int) -> list[Path]:
    """Write documents with ids of their own, each of another patient.

    Args:
        directory: is made.
        first: number of the first document, and of its patient from `PATIENTS` on.
        count: how many.
    """
    directory.mkdir()
    draw = Population(first + 1).random
    texts = [template.text() for template in TEMPLATES]
    paths = []
    for number in range(first, first + count):
        kind = number % len(TEMPLATES)
        template, own = TEMPLATES[kind], texts[kind]
        person = patient_id(PATIENTS + number).partition("^")[0]
        own = own.replace(template.number, f"{template.number[:2]}{number:014d}")
        own = own.replace(template.patient, f'root="{AUTHORITY}" extension="{person}"')
        for name, choice in zip(template.names, NAMES[kind], strict=True):
            own = own.replace(name, draw.choice(choice))
        own = own.replace(template.born, f"{draw.randrange(1925, 2025)}{draw.randrange(101, 129):04d}")
        paths.append(directory / f"{number:06d}.xml")
        paths[-1].write_text(own, encoding="utf-8")
    return paths
