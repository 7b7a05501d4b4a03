"""xds.content: from the header of a CDA document, or a plain file, to metadata for submission (PCC TF-2 4.1)."""

from __future__ import annotations

import os
import tracemalloc
from datetime import UTC, timedelta, timezone
from io import BytesIO
from pathlib import Path
from uuid import UUID
from xml.sax.saxutils import escape as xml_escape
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from xds.content import formats, v3
from xds.content.cda import CDAHeader, Related, read_header
from xds.content.draft import OF_ONE_DOCUMENT, Defaults, Draft, Missing, how_to_give
from xds.content.entry import plain_entry, to_entry
from xds.content.files import describe_file, unique_id_of
from xds.content.header import CHUNK, MAX_HEADER, ContentError, is_cda, parse_header
from xds.content.submission import Relationship, submission_for
from xds.metadata import affinity
from xds.metadata.attributes import AUTHOR_SLOTS, OF, Optionality
from xds.metadata.datatypes import DATATYPES
from xds.metadata.model import Author, Code, DocumentEntry, Identifier, LocalizedString
from xds.metadata.source_patient import SourcePatientField
from xds.metadata.vocabulary import AssociationType

SHARED = Path(os.environ.get("XDS_SHARED") or Path(__file__).parents[2].parent / "shared")
SAMPLES = Path(affinity.__file__).parents[1] / "data" / "samples"
LOINC, SNOMED = "2.16.840.1.113883.6.1", "2.16.840.1.113883.6.96"
PATIENT = "p1^^^&2.999.1.4&ISO"

DOMAIN = affinity.parse(
    b"""<Codes>
    <CodeType name="classCode">
      <Code code="SUMMARIES" display="Summaries" codingScheme="1.3.6.1.4.1.19376.1.2.6.1"/>
      <Code code="11488-4" display="Consult note" codingScheme="2.16.840.1.113883.6.1"/>
      <Code code="local" display="Local class" codingScheme="2.999.5"/>
    </CodeType>
    <CodeType name="typeCode">
      <Code code="18842-5" display="Discharge summary" codingScheme="2.16.840.1.113883.6.1"/>
      <Code code="11488-4" display="Consult note" codingScheme="2.16.840.1.113883.6.1"/>
    </CodeType>
    <CodeType name="formatCode">
      <Code code="urn:ihe:iti:xds:2017:mimeTypeSufficient" display="mimeType sufficient"
            codingScheme="1.3.6.1.4.1.19376.1.2.3"/>
      <Code code="urn:ihe:pcc:xds-ms:2007" display="XDS-MS" codingScheme="1.3.6.1.4.1.19376.1.2.3"/>
      <Code code="urn:hl7-org:sdwg:ccda-structuredBody:2.1" display="C-CDA 2.1"
            codingScheme="2.16.840.1.113883.4.642.1.1407"/>
    </CodeType>
    <CodeType name="practiceSettingCode">
      <Code code="394579002" display="Cardiology" codingScheme="2.16.840.1.113883.6.96"/>
    </CodeType>
    <CodeType name="healthcareFacilityTypeCode">
      <Code code="22232009" display="Hospital" codingScheme="2.16.840.1.113883.6.96"/>
    </CodeType>
    <CodeType name="confidentialityCode">
      <Code code="N" display="normal" codingScheme="2.16.840.1.113883.5.25"/>
      <Code code="R" display="restricted" codingScheme="2.16.840.1.113883.5.25"/>
    </CodeType>
    <CodeType name="eventCodeList"><Code code="1.2.3" display="Policy" codingScheme="2.999.6"/></CodeType>
    <CodeType name="contentTypeCode"><Code code="DIS" display="Discharge" codingScheme="2.999.7"/></CodeType>
    <CodeType name="folderCodeList" open="true"/>
    <CodeType name="associationDocumentation" open="true"/>
    <CodeType name="mimeType"><Code code="text/xml"/><Code code="application/pdf"/><Code code="text/plain"/></CodeType>
    <AssigningAuthority id="&amp;2.999.1.4&amp;ISO"/>
</Codes>""",
)
HOSPITAL = Code("22232009", SNOMED, LocalizedString("Hospital"))
CARDIOLOGY = Code("394579002", SNOMED, LocalizedString("Cardiology"))
DISCHARGE_SUMMARY = Code("18842-5", LOINC, LocalizedString("Discharge summary"))
SUMMARIES = Code("SUMMARIES", "1.3.6.1.4.1.19376.1.2.6.1", LocalizedString("Summaries"))
NORMAL = Code("N", "2.16.840.1.113883.5.25", LocalizedString("normal"))
SUFFICIENT = Code(formats.MIME_TYPE_SUFFICIENT.code, formats.IHE_FORMAT, LocalizedString("mimeType sufficient"))
CONTENT_TYPE = Code("DIS", "2.999.7", LocalizedString("Discharge"))
DEFAULTS = Defaults(
    format_code=SUFFICIENT,
    healthcare_facility_type_code=HOSPITAL,
    practice_setting_code=CARDIOLOGY,
    content_type_code=CONTENT_TYPE,
    source_id="2.999.1.2",
)
OPTIONS = Defaults(patient_id=PATIENT)

PARTS = {
    "templateId": "",
    "id": '<id root="2.999.1" extension="d1"/>',
    "code": f'<code code="18842-5" codeSystem="{LOINC}" displayName="Entlassbrief"/>',
    "title": "<title>Title</title>",
    "effectiveTime": '<effectiveTime value="20250917161530+0200"/>',
    "confidentialityCode": '<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>',
    "languageCode": '<languageCode code="de-DE"/>',
    "recordTarget": '<recordTarget><patientRole><id root="2.999.3" extension="7"/></patientRole></recordTarget>',
    "author": "",
    "more": "",
    "body": "<component><structuredBody/></component>",
}


def document(**changes: str) -> bytes:
    parts = "".join((PARTS | changes).values())
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3">{parts}</ClinicalDocument>'.encode()


def header(**changes: str) -> CDAHeader:
    return read_header(BytesIO(document(**changes)))


def draft(defaults: Defaults = DEFAULTS, options: Defaults = OPTIONS, **changes: str) -> Draft:
    return to_entry(header(**changes), defaults, DOMAIN, options=options)


def author(inner: str, function: str = "") -> str:
    return f"<author>{function}<assignedAuthor>{inner}</assignedAuthor></author>"


def person(name: str, more: str = "") -> str:
    return author(f"{more}<assignedPerson>{name}</assignedPerson>")


def patient(inner: str = "", ids: str = '<id root="2.999.3" extension="7"/>', more: str = "") -> str:
    return f"<recordTarget><patientRole>{ids}{more}<patient>{inner}</patient></patientRole></recordTarget>"


def named(missing: tuple[Missing, ...]) -> list[str]:
    return [each.attribute for each in missing]


# --- the samples ------------------------------------------------------------------------------------------------------

GERMAN = DocumentEntry(
    id="Document01",
    patient_id=Identifier(PATIENT),
    unique_id=Identifier("2.999.276.1.1^EB-2025-004711"),
    title=LocalizedString("Entlassbrief der Klinik für Innere Medizin und Kardiologie"),
    mime_type="text/xml",
    author=(
        Author(
            person="A-0815^Schäfer^Birgit^^^Dr. med.^^^&2.999.276.1.4&ISO",
            institutions=(
                (
                    "Klinikum Musterstädt gGmbH, Klinik für Innere Medizin und Kardiologie"
                    "^^^^^&1.2.276.0.76.4.5&ISO^^^^999999999"
                ),
            ),
            roles=("ADMPHYS^^^&2.16.840.1.113883.5.88&ISO",),
            specialties=("11^^^&2.999.276.1.9&ISO",),
            telecommunications=(
                "^WPN^PH^^^^+49.555.0000100",
                "^WPN^FX^^^^+49.555.0000199",
                "^NET^Internet^kardiologie@klinikum-musterstaedt.example",
            ),
        ),
    ),
    class_code=SUMMARIES,
    confidentiality_code=(NORMAL,),
    creation_time="20250917141530",
    format_code=SUFFICIENT,
    healthcare_facility_type_code=HOSPITAL,
    language_code="de-DE",
    legal_authenticator="A-0001^Yıldız^Ömer^^^Prof. Dr. med.^^^&2.999.276.1.4&ISO",  # noqa: RUF001 - Turkish
    practice_setting_code=CARDIOLOGY,
    service_start_time="20250909081500",
    service_stop_time="20250917090000",
    source_patient_id="0004711^^^&2.999.276.1.3&ISO",
    source_patient_info=(
        "PID-3|0004711^^^&2.999.276.1.3&ISO",
        "PID-3|X000000000^^^&1.2.276.0.76.4.8&ISO",
        "PID-5|von der Mühlen-Groß^Jürgen^Karl-Heinz^^Dr.",
        "PID-7|19480229",
        "PID-8|M",
        "PID-11|Gänsemarkt 12a^^Musterstädt^^00000^DEU",
    ),
    type_code=DISCHARGE_SUMMARY,
)
CHINESE = DocumentEntry(
    id="Document01",
    patient_id=Identifier(PATIENT),
    unique_id=Identifier("2.16.156.10011.1.1^YL20251013000053"),
    title=LocalizedString("出院小结"),
    mime_type="text/xml",
    author=(
        Author(
            person="YS000153^李样本^^^^^^^&2.16.156.10011.1.7&ISO",
            institutions=("样例市第一示范医院^^^^^&2.16.156.10011.1.5&ISO^^^^000000000",),
            specialties=("住院医师",),
        ),
    ),
    class_code=SUMMARIES,
    confidentiality_code=(NORMAL,),
    creation_time="20251013013000",
    format_code=SUFFICIENT,
    healthcare_facility_type_code=HOSPITAL,
    language_code="zh-CN",
    legal_authenticator="YS000007^王模范^^^^^^^&2.16.156.10011.1.4&ISO",
    practice_setting_code=CARDIOLOGY,
    service_start_time="20251004121500",
    service_stop_time="20251013020000",
    source_patient_id="YL0000000000000053^^^&2.16.156.10011.1.19&ISO",
    source_patient_info=(
        "PID-3|YL0000000000000053^^^&2.16.156.10011.1.19&ISO",
        "PID-3|ZY2025000053^^^&2.16.156.10011.1.12&ISO",
        "PID-5|欧阳示例",
        "PID-7|19560518",
        "PID-8|F",
        "PID-11|样例路 18号3栋502室^^样例市^示范省^000000^^^^示范区",
    ),
    type_code=DISCHARGE_SUMMARY,
)
US = DocumentEntry(
    id="Document01",
    patient_id=Identifier(PATIENT),
    unique_id=Identifier("2.999.840.1.1.20250822.1207"),
    title=LocalizedString("Example Community Hospital: Discharge Summary"),
    mime_type="text/xml",
    author=(
        Author(
            person="9999999998^Placeholder^Henrietta^Q.^MD^Dr.^^^&2.16.840.1.113883.4.6&ISO",
            institutions=("Example Community Hospital^^^^^&2.16.840.1.113883.4.6&ISO^^^^9999999999",),
            roles=("ATTPHYS^^^&2.16.840.1.113883.5.88&ISO",),
            specialties=("208M00000X^^^&2.16.840.1.113883.6.101&ISO",),
            telecommunications=("^WPN^PH^^^^+1(555)555-0101",),
        ),
        Author(
            person="2.999.840.1.3^Example Document Builder",
            institutions=("Example Community Hospital^^^^^&2.16.840.1.113883.4.6&ISO^^^^9999999999",),
        ),
    ),
    class_code=SUMMARIES,
    confidentiality_code=(NORMAL,),
    creation_time="20250822224510",
    format_code=Code(
        "urn:hl7-org:sdwg:ccda-structuredBody:2.1", "2.16.840.1.113883.4.642.1.1407", LocalizedString("C-CDA 2.1")
    ),
    healthcare_facility_type_code=HOSPITAL,
    language_code="en-US",
    legal_authenticator="9999999998^Placeholder^Henrietta^Q.^MD^Dr.^^^&2.16.840.1.113883.4.6&ISO",
    practice_setting_code=CARDIOLOGY,
    service_start_time="20250819023000",
    service_stop_time="20250822210000",
    source_patient_id="MRN-000998877^^^&2.999.840.1.2&ISO",
    source_patient_info=(
        "PID-3|MRN-000998877^^^&2.999.840.1.2&ISO",
        "PID-5|O'Testcase-Núñez^Ruth^Ann^Jr.",
        "PID-7|19620719",
        "PID-8|F",
        "PID-11|1357 Sample Street^Apt. #4^Exampleton^ZZ^00000^US",
    ),
    type_code=DISCHARGE_SUMMARY,
)
GOLDEN = {"entlassbrief-de.xml": GERMAN, "cda-zh.xml": CHINESE, "discharge-us.xml": US}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_sample_gives_complete_metadata(name: str) -> None:
    """PCC TF-2 4.1: the whole DocumentEntry, with two defaults and the patient given."""
    defaults = Defaults(
        format_code=SUFFICIENT,
        healthcare_facility_type_code=HOSPITAL,
        practice_setting_code=CARDIOLOGY,
        zone=timezone(timedelta(hours=8)),
    )
    made = to_entry(read_header(SAMPLES / name), defaults, DOMAIN, options=OPTIONS)
    assert made.missing == ()
    assert made.entry == GOLDEN[name]


def test_sample_names_its_recipient() -> None:
    """ITI TF-3 4.2.3.3.7: organisation, person and address, with HL7 escapes."""
    assert read_header(SAMPLES / "entlassbrief-de.xml").recipients == (
        (
            r"Hausarztpraxis Petersen \T\ Kollegen^^^^^&2.999.276.2.5&ISO^^^^999999900|"
            "H-0042^Petersen^Søren^^^Dr. med.^^^&2.999.276.2.4&ISO|"
            "^NET^Internet^praxis@hausarzt-beispiel.example"
        ),
    )
    assert read_header(SAMPLES / "discharge-us.xml").recipients == ("Exampleton Family Clinic|^Sampleton^Idris^^MD",)


def test_samples_go_into_the_domain_that_comes_with_the_project() -> None:
    """All three are of one class there, so that a query by class finds a discharge summary of any country."""
    for name in GOLDEN:
        made = to_entry(
            read_header(SAMPLES / name),
            Defaults(
                format_code=formats.MIME_TYPE_SUFFICIENT,
                healthcare_facility_type_code=HOSPITAL,
                practice_setting_code=CARDIOLOGY,
            ),
            affinity.default(),
            options=OPTIONS,
        )
        assert made.missing == (), name
        assert made.entry.class_code == SUMMARIES


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_sample_is_valid_by_the_cda_schema(name: str) -> None:
    schema = SHARED / "schemas" / "cda" / "infrastructure" / "cda" / "CDA.xsd"
    if not schema.exists():
        pytest.skip("the published CDA schema is not at hand")
    etree.XMLSchema(etree.parse(schema)).assertValid(etree.parse(SAMPLES / name))


# --- traps of the header ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("<name>张伟</name>", "^张伟"),
        ("<name>\n  张\t伟\n</name>", "^张 伟"),
        ("<name><given>Ann</given><family>Lee</family></name>", "^Lee^Ann"),
        (
            "<name><family>Lee</family><given>Ann</given><given>Bo</given><given>Cy</given></name>",
            "^Lee^Ann^Bo Cy",
        ),
        ('<name><prefix qualifier="VV">von</prefix><family>Au</family></name>', "^von Au"),
        ('<name><family>Au</family><prefix qualifier="NB VV">Freiherr zu</prefix></name>', "^Freiherr zu Au"),
        (
            '<name><prefix qualifier="AC">Dr.</prefix><family>Au</family><suffix qualifier="AC">PhD</suffix></name>',
            "^Au^^^PhD^Dr.",
        ),
        ('<name><family qualifier="BR">Alt</family><family>Neu</family></name>', "^Neu"),
        ('<name><family qualifier="BR">Alt</family></name>', "^Alt"),
        ('<name><given qualifier="CL">Bob</given><given>Robert</given><family>X</family></name>', "^X^Robert"),
        ("<name><family>García</family><family>López</family></name>", "^García López"),
        ("<name>Doe, <given>Jo</given></name>", "^Doe^Jo"),
        ("<name><given>Plato</given></name>", "^Plato"),
        ('<name use="P">Nick</name><name use="L">Legal</name>', "^Legal"),
        ('<name use="ABC">Zhang Wei</name><name use="IDE">张伟</name>', "^张伟"),
        ('<name use="ABC">Zhang Wei</name><name use="SYL">ㄓㄤ</name>', "^Zhang Wei"),
        ('<name nullFlavor="UNK"/><name use="OR">First</name><name>Plain</name>', "^Plain"),
        ('<name><family nullFlavor="UNK"/><given>Jo</given></name>', "^Jo"),
        ("<name><family>A^B&amp;C|D~E\\F</family></name>", r"^A\S\B\T\C\F\D\R\E\E\F"),
        ("<name><family>A&#133;B&#127;&#1234;</family></name>", "^A BӒ"),
        ("<name/>", None),
        ("<name> <given/> </name>", None),
        ('<name nullFlavor="MSK">Secret</name>', None),
    ],
)
def test_person_is_written_as_xcn(name: str, expected: str | None) -> None:
    """ITI TF-3 Table 4.2.3.1.7-2; HL7 V3 DT R1 2.21 EN."""
    authors = header(author=person(name)).authors
    assert [each.person for each in authors] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ('<id root="2.999.4" extension="a&amp;1"/>', r"a\T\1^Lee^^^^^^^&2.999.4&ISO"),
        ('<id root="2.999.4.17"/>', "2.999.4.17^Lee"),
        ('<id root="0B54CA2C-6A4A-4B4D-8D6C-2B4CC1E2A111"/>', "0B54CA2C-6A4A-4B4D-8D6C-2B4CC1E2A111^Lee"),
        ('<id root="0B54CA2C-6A4A-4B4D-8D6C-2B4CC1E2A111" extension="7"/>', "^Lee"),
        ('<id root="LOCAL" extension="7"/><id root="2.999.5" extension="8"/>', "8^Lee^^^^^^^&2.999.5&ISO"),
        ('<id nullFlavor="NI"/>', "^Lee"),
        ('<id root="2.999.4" extension="1" nullFlavor="MSK"/>', "^Lee"),
        ('<id extension="1"/>', "^Lee"),
    ],
)
def test_person_has_the_first_id_that_hl7_v2_can_write(ids: str, expected: str) -> None:
    assert header(author=person("<name>Lee</name>", ids)).authors[0].person == expected


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<assignedAuthoringDevice><softwareName>Builder</softwareName></assignedAuthoringDevice>", "^Builder"),
        (
            (
                '<id root="2.999.8"/><assignedAuthoringDevice><manufacturerModelName>Box 9</manufacturerModelName>'
                '<softwareName nullFlavor="NI"/></assignedAuthoringDevice>'
            ),
            "2.999.8^Box 9",
        ),
        ('<id root="2.999.8"/><assignedAuthoringDevice/>', "2.999.8"),
        ("<assignedAuthoringDevice/>", None),
    ],
)
def test_device_is_an_author(inner: str, expected: str | None) -> None:
    assert [each.person for each in header(author=author(inner)).authors] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("organization", "expected"),
    [
        ("<name>Ward</name>", "Ward"),
        ('<id root="2.999.5" extension="9"/><name>Ward &amp; Co</name>', r"Ward \T\ Co^^^^^&2.999.5&ISO^^^^9"),
        ('<id root="2.999.5.9"/><name>Ward</name>', "Ward^^^^^^^^^2.999.5.9"),
        ('<id root="0B54CA2C-6A4A-4B4D-8D6C-2B4CC1E2A111"/><name>Ward</name>', "Ward"),
        ('<id root="2.999.5" extension="9"/>', None),
        (
            (
                '<id root="2.999.5" extension="9"/><asOrganizationPartOf><wholeOrganization>'
                '<id root="2.999.5" extension="1"/><name>Clinic</name></wholeOrganization></asOrganizationPartOf>'
            ),
            "Clinic^^^^^&2.999.5&ISO^^^^1",
        ),
    ],
)
def test_organization_is_written_as_xon(organization: str, expected: str | None) -> None:
    inner = f"<representedOrganization>{organization}</representedOrganization>"
    made = header(author=author(inner)).authors
    assert [each.institutions for each in made] == ([(expected,)] if expected else [])


@pytest.mark.parametrize(
    ("telecom", "expected"),
    [
        ('use="WP" value="tel:+49.30.1"', "^WPN^PH^^^^+49.30.1"),
        ('use="MC" value="tel:0170-1"', "^^CP^^^^0170-1"),
        ('use="WP" value="fax:+49"', "^WPN^FX^^^^+49"),
        ('value="000-5551"', "^^PH^^^^000-5551"),
        ('use="HP" value="mailto:a@b.example"', "^NET^Internet^a@b.example"),
        ('value="MAILTO:a@b.example"', "^NET^Internet^a@b.example"),
        ('value="https://b.example"', None),
        ('value="tel:"', None),
        ('value="unknown"', None),
        ('nullFlavor="UNK" value="tel:+49"', None),
        ("", None),
    ],
)
def test_telecom_is_written_as_xtn(telecom: str, expected: str | None) -> None:
    made = header(author=person("<name>Lee</name>", f"<telecom {telecom}/>")).authors[0]
    assert made.telecommunications == ((expected,) if expected else ())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('<functionCode code="PCP" codeSystem="2.16.840.1.113883.5.88"/>', ("PCP^^^&2.16.840.1.113883.5.88&ISO",)),
        ('<functionCode displayName="主任医师"/>', ("主任医师",)),
        ("<functionCode><originalText>Chief ^ all</originalText></functionCode>", ("Chief   all",)),
        ('<functionCode code="7"/>', ("7",)),
        ('<functionCode nullFlavor="OTH" displayName="x"/>', ()),
        ("<functionCode/>", ()),
    ],
)
def test_role_is_a_coded_string_or_text(code: str, expected: tuple[str, ...]) -> None:
    made = header(author=author("<assignedPerson><name>Lee</name></assignedPerson>", code)).authors[0]
    assert made.roles == expected


def test_every_author_is_kept_and_an_empty_one_is_not() -> None:
    both = person("<name>A</name>") + person("<name>B</name>") + author("") + "<author/>" + '<author nullFlavor="NI"/>'
    assert [each.person for each in header(author=both).authors] == ["^A", "^B"]


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        ('<id root="1.2.3" extension="x y"/>', "1.2.3^x y"),
        ('<id root="1.2.3.4"/>', "1.2.3.4"),
        ('<id root=" 1.2.3.4 " extension=""/>', "1.2.3.4"),
        ('<id root="0b54ca2c-6a4a-4b4d-8d6c-2b4cc1e2a111"/>', "0b54ca2c-6a4a-4b4d-8d6c-2b4cc1e2a111"),
        ('<id root="0B54CA2C-6A4A-4B4D-8D6C-2B4CC1E2A111"/>', "0B54CA2C-6A4A-4B4D-8D6C-2B4CC1E2A111"),
        ('<id root="urn:uuid:0b54ca2c-6a4a-4b4d-8d6c-2b4cc1e2a111"/>', "urn:uuid:0b54ca2c-6a4a-4b4d-8d6c-2b4cc1e2a111"),
    ],
)
def test_unique_id_is_the_document_id_as_written(given_id: str, expected: str) -> None:
    """ITI TF-3 4.2.3.2.26: compared as an exact string, so that a reader of the document finds it in the registry."""
    made = draft(id=given_id)
    assert made.entry.unique_id == Identifier(expected)
    assert made.missing == ()


@pytest.mark.parametrize(
    "given_id",
    [
        "",
        '<id nullFlavor="NI"/>',
        '<id extension="7"/>',
        '<id root="0b54ca2c-6a4a-4b4d-8d6c-2b4cc1e2a111" extension="7"/>',
        f'<id root="1.2.3" extension="{"x" * 256}"/>',
    ],
)
def test_unusable_document_id_is_missing(given_id: str) -> None:
    made = draft(id=given_id)
    assert named(made.missing) == ["uniqueId"]
    assert "--unique-id" in made.missing[0].how
    assert "[defaults]" not in made.missing[0].how


@pytest.mark.parametrize(
    ("value", "expected", "noted"),
    [
        ("20250917161530+0200", "20250917141530", False),
        ("20250917161530.123-0330", "20250917194530", False),
        ("20250101003000+0100", "20241231233000", False),
        ("20250917161530", "20250917141530", True),
        ("202509171615", "202509171415", True),
        ("20250917", "20250917", False),
        ("2025", "2025", False),
    ],
)
def test_time_becomes_utc_with_its_precision(value: str, expected: str, noted: bool) -> None:
    defaults = Defaults(zone=ZoneInfo("Europe/Berlin"))
    made = draft(defaults, effectiveTime=f'<effectiveTime value="{value}"/>')
    assert made.entry.creation_time == expected
    assert any("names no zone and is taken as Europe/Berlin" in note for note in made.notes) == noted


def test_zone_is_utc_unless_said() -> None:
    made = draft(effectiveTime='<effectiveTime value="20250917161530"/>')
    assert made.entry.creation_time == "20250917161530"
    assert made.notes == ("creationTime: '20250917161530' names no zone and is taken as UTC",)
    assert Defaults().zone is UTC


@pytest.mark.parametrize("value", ["2025-09-17", "20251350", "soon"])
def test_bad_time_is_noted_and_missing(value: str) -> None:
    made = draft(effectiveTime=f'<effectiveTime value="{value}"/>')
    assert named(made.missing) == ["creationTime"]
    assert value in made.notes[0]


EVENT = "<documentationOf><serviceEvent>{}</serviceEvent></documentationOf>"
STAY = "<componentOf><encompassingEncounter>{}</encompassingEncounter></componentOf>"
SPAN = "<effectiveTime>{}</effectiveTime>"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (EVENT.format(SPAN.format('<low value="20250101"/><high value="20250103"/>')), ("20250101", "20250103")),
        (EVENT.format(SPAN.format('<low value="20250101"/><high nullFlavor="UNK"/>')), ("20250101", None)),
        (EVENT.format('<effectiveTime value="20250101"/>'), ("20250101", "20250101")),
        (
            EVENT.format(SPAN.format('<low value="20250105"/>')) + EVENT.format(SPAN.format('<low value="20250102"/>')),
            ("20250102", None),
        ),
        (
            EVENT.format('<effectiveTime nullFlavor="UNK"/>')
            + STAY.format(SPAN.format('<low value="2025010108+0100"/><high value="20250103"/>')),
            ("2025010107", "20250103"),
        ),
        (EVENT.format(SPAN.format('<low value="20250105"/><high value="20250103"/>')), (None, None)),
        (EVENT.format(SPAN.format('<low value="20250105"/><high value="2025"/>')), ("20250105", "2025")),
        (EVENT.format(SPAN.format('<low value="?"/><high value="2025"/>')), (None, "2025")),
        ("", (None, None)),
    ],
)
def test_service_times_are_of_the_event_or_else_of_the_stay(more: str, expected: tuple[str | None, str | None]) -> None:
    entry = draft(more=more).entry
    assert (entry.service_start_time, entry.service_stop_time) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f'<code code="11488-4" codeSystem="{LOINC}"/>', "11488-4"),
        (f'<code code="X" codeSystem="2.999"><translation code="11488-4" codeSystem="{LOINC}"/></code>', "11488-4"),
        (f'<code nullFlavor="OTH"><translation code="11488-4" codeSystem="{LOINC}"/></code>', "11488-4"),
        (f'<code code="34105-7" codeSystem="{LOINC}"/>', "18842-5"),
        ('<code code="C0053" codeSystem="2.16.156.10011.2.4"/>', "18842-5"),
        ('<code code="brief" codeSystem="2.999.9"/>', "18842-5"),
    ],
)
def test_type_code_is_one_of_the_affinity_domain(code: str, expected: str) -> None:
    """The code itself, a translation, a more general one, or what the settings map it to."""
    defaults = Defaults(maps={"typeCode": {"brief^^2.999.9": DISCHARGE_SUMMARY}})
    made = draft(defaults, code=code)
    assert made.entry.type_code is not None
    assert made.entry.type_code.code == expected


def test_unknown_type_is_missing_by_name_or_comes_from_the_defaults() -> None:
    made = draft(code='<code code="X" codeSystem="2.999"/>')
    assert named(made.missing) == ["classCode", "typeCode"]
    assert made.missing[1].why == "code 'X' of '2.999' is not in the affinity domain"
    assert made.missing[1].how == "give --type-code, or type_code in [defaults] of the settings"
    again = draft(Defaults(type_code=DISCHARGE_SUMMARY), code='<code code="X" codeSystem="2.999"/>')
    assert again.entry.type_code == DISCHARGE_SUMMARY
    assert "typeCode: code 'X' of '2.999' is not in the affinity domain; left out" in again.notes


@pytest.mark.parametrize(
    ("code", "maps", "expected"),
    [
        ("18842-5", {}, "SUMMARIES"),
        ("11488-4", {}, "11488-4"),
        ("18842-5", {"classCode": {f"18842-5^^{LOINC}": Code("local", "2.999.5")}}, "local"),
        ("34105-7", {}, "SUMMARIES"),
    ],
)
def test_class_code_follows_from_the_type(code: str, maps: dict[str, dict[str, Code]], expected: str) -> None:
    made = draft(Defaults(maps=maps), code=f'<code code="{code}" codeSystem="{LOINC}"/>')
    assert made.entry.class_code is not None
    assert made.entry.class_code.code == expected


def test_class_code_follows_a_type_given_by_option() -> None:
    consult = Defaults(patient_id=PATIENT, type_code=Code("11488-4", LOINC))
    entry = draft(options=consult).entry
    assert entry.type_code == entry.class_code == Code("11488-4", LOINC, LocalizedString("Consult note"))


CCDA = "2.16.840.1.113883.10.20.22.1"
PCC = "1.3.6.1.4.1.19376.1.5.3.1.1"
TEXT = '<component><nonXMLBody><text mediaType="{}">...</text></nonXMLBody></component>'


@pytest.mark.parametrize(
    ("templates", "body", "expected"),
    [
        ([(f"{PCC}.2", ""), (f"{PCC}.4", "")], None, "urn:ihe:pcc:xds-ms:2007"),
        ([(f"{PCC}.2", ""), (f"{PCC}.5", "")], None, "urn:ihe:pcc:xphr:2007"),
        ([(f"{PCC}.7", ""), (f"{PCC}.7.1", "")], None, "urn:ihe:iti:bppc-sd:2007"),
        ([(f"{PCC}.7", "")], None, "urn:ihe:iti:bppc:2007"),
        ([("1.3.6.1.4.1.19376.1.3.3", "")], None, "urn:ihe:lab:xd-lab:2008"),
        ([("2.16.840.1.113883.10.22.1.1", "")], None, "urn:ihe:pcc:ips:2020"),
        ([("1.3.6.1.4.1.19376.1.2.20", "")], "application/pdf", "urn:ihe:iti:xds-sd:pdf:2008"),
        ([("1.3.6.1.4.1.19376.1.2.20", "")], "text/plain", "urn:ihe:iti:xds-sd:text:2008"),
        ([(f"{CCDA}.1", "")], None, "urn:hl7-org:sdwg:ccda-structuredBody:1.1"),
        ([(f"{CCDA}.1", ""), (f"{CCDA}.1", "2015-08-01")], None, "urn:hl7-org:sdwg:ccda-structuredBody:2.1"),
        ([(f"{CCDA}.1", "2015-08-01"), (f"{CCDA}.10", "")], "application/pdf", "urn:hl7-org:sdwg:ccda-nonXMLBody:2.1"),
        ([("1.2.276.0.76.10.1020", "")], None, None),
        ([], None, None),
    ],
)
def test_format_code_follows_from_templates_and_body(
    templates: list[tuple[str, str]], body: str | None, expected: str | None
) -> None:
    """Table of IHE and HL7 format codes; the more special template wins."""
    ids = "".join(f'<templateId root="{root}" extension="{extension}"/>' for root, extension in templates)
    found = header(templateId=ids, body=TEXT.format(body) if body else PARTS["body"])
    entry = to_entry(found).entry
    assert (entry.format_code.code if entry.format_code else None) == expected


def test_format_the_domain_does_not_know_gives_way_to_the_default() -> None:
    made = draft(templateId='<templateId root="1.3.6.1.4.1.19376.1.3.3"/>')
    assert made.entry.format_code == SUFFICIENT
    assert any("urn:ihe:lab:xd-lab:2008" in note for note in made.notes)


CONSENT = '<authorization><consent><templateId root="{}"/><code code="R" codeSystem="{}"/></consent></authorization>'


@pytest.mark.parametrize(
    ("code", "more", "expected"),
    [
        ('<confidentialityCode code="R" codeSystem="2.16.840.1.113883.5.25"/>', "", ["R"]),
        ('<confidentialityCode code="R"/>', "", ["R"]),
        (
            PARTS["confidentialityCode"],
            CONSENT.format("1.3.6.1.4.1.19376.1.5.3.1.2.5", "2.16.840.1.113883.5.25"),
            ["N", "R"],
        ),
        (PARTS["confidentialityCode"], CONSENT.format("1.2.3", "2.16.840.1.113883.5.25"), ["N"]),
        ('<confidentialityCode code="secret" codeSystem="2.999.9"/>', "", ["R"]),
    ],
)
def test_confidentiality_comes_from_header_and_consent(code: str, more: str, expected: list[str]) -> None:
    defaults = Defaults(maps={"confidentialityCode": {"secret^^2.999.9": Code("R", "2.16.840.1.113883.5.25")}})
    made = draft(defaults, confidentialityCode=code, more=more)
    assert [each.code for each in made.entry.confidentiality_code] == expected


def test_event_codes_the_domain_does_not_know_are_noted() -> None:
    events = EVENT.format('<code code="1.2.3" codeSystem="2.999.6"/>') * 2 + EVENT.format(
        '<code code="9" codeSystem="2.9"/>'
    )
    made = draft(more=events)
    assert [each.code for each in made.entry.event_code_list] == ["1.2.3"]
    assert made.notes == ("eventCodeList: code '9' of '2.9' is not in the affinity domain; left out",)


FACILITY = f'<location><healthCareFacility><code code="{{}}" codeSystem="{SNOMED}"/></healthCareFacility></location>'


def test_facility_code_may_be_a_practice_setting() -> None:
    made = draft(Defaults(), more=STAY.format(FACILITY.format("394579002")))
    assert made.entry.practice_setting_code == CARDIOLOGY
    assert made.entry.healthcare_facility_type_code is None
    assert named(made.missing) == ["formatCode", "healthcareFacilityTypeCode"]


def test_author_roles_are_mapped_and_checked() -> None:
    closed = affinity.AffinityDomain(
        {**DOMAIN.codes, "authorRole": {("DR", "2.999.9"): affinity.Concept("Doctor")}}, open=frozenset()
    )
    role = '<functionCode displayName="Arzt"/>'
    found = header(author=author("<assignedPerson><name>Lee</name></assignedPerson>", role))
    maps = {"authorRole": {"Arzt": Code("DR", "2.999.9")}}
    assert to_entry(found, Defaults(maps=maps), closed).entry.author[0].roles == ("DR^^^&2.999.9&ISO",)
    made = to_entry(found, Defaults(), closed)
    assert made.entry.author[0].roles == ()
    assert "author: authorRole 'Arzt' is not in the affinity domain; left out" in made.notes


@pytest.mark.parametrize(
    ("gender", "expected"),
    [
        ('code="M" codeSystem="2.16.840.1.113883.5.1"', "PID-8|M"),
        ('code="F"', "PID-8|F"),
        ('code="UN" codeSystem="2.16.840.1.113883.5.1"', "PID-8|O"),
        ('code="1" codeSystem="2.16.156.10011.2.3.3.4"', "PID-8|M"),
        ('code="9" codeSystem="2.16.156.10011.2.3.3.4"', "PID-8|U"),
        ('code="1" codeSystem="2.999"', "PID-8|U"),
        ('nullFlavor="UNK"', None),
        ("", None),
    ],
)
def test_sex_is_of_hl7_table_0001(gender: str, expected: str | None) -> None:
    info = draft(recordTarget=patient(f"<administrativeGenderCode {gender}/>")).entry.source_patient_info
    assert [each for each in info if each.startswith("PID-8")] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("<streetAddressLine>1 Way</streetAddressLine><city>X</city>", "PID-11|1 Way^^X"),
        (
            (
                "<streetAddressLine>1 Way</streetAddressLine><streetAddressLine>B</streetAddressLine>"
                "<streetAddressLine>C</streetAddressLine><postalCode>00000</postalCode>"
            ),
            "PID-11|1 Way^B, C^^^00000",
        ),
        ("<streetName>Gasse</streetName> <houseNumber>3</houseNumber><country>AT</country>", "PID-11|Gasse 3^^^^^AT"),
        ("<county>区</county>", "PID-11|^^^^^^^^区"),
        ("样例市样例路18号", "PID-11|样例市样例路18号"),
        ("", None),
    ],
)
def test_address_is_written_as_xad(address: str, expected: str | None) -> None:
    info = draft(recordTarget=patient(more=f"<addr>{address}</addr>")).entry.source_patient_info
    assert [each for each in info if each.startswith("PID-11")] == ([expected] if expected else [])


def test_day_of_birth_is_not_moved_by_a_zone() -> None:
    info = draft(recordTarget=patient('<birthTime value="20250304003000+0900"/>')).entry.source_patient_info
    assert "PID-7|20250304" in info


def test_patient_id_is_the_one_of_the_affinity_domain() -> None:
    ids = '<id root="2.999.1.4" extension="p9"/><id root="2.999.3" extension="7"/>'
    made = draft(options=Defaults(), recordTarget=patient(ids=ids))
    assert made.entry.patient_id == Identifier("p9^^^&2.999.1.4&ISO")
    assert made.entry.source_patient_id == "7^^^&2.999.3&ISO"


def test_patient_id_must_else_be_given() -> None:
    made = draft(options=Defaults())
    assert named(made.missing) == ["patientId"]
    assert "--patient-id" in made.missing[0].how


def test_patient_given_and_patient_of_the_document_must_agree() -> None:
    """A document must not be filed for another patient than it is about."""
    made = draft(recordTarget=patient(ids='<id root="2.999.1.4" extension="p9"/>'))
    assert named(made.missing) == ["patientId"]
    assert "'p9'" in made.missing[0].why
    assert "'p1'" in made.missing[0].why
    assert draft(recordTarget=patient(ids='<id root="2.999.1.4" extension="p1"/>')).missing == ()


@pytest.mark.parametrize(
    "ids", ["", '<id root="2.999.3.7"/>', '<id root="X" extension="7"/>', '<id nullFlavor="UNK"/>']
)
def test_source_patient_id_falls_back_to_the_patient_id(ids: str) -> None:
    assert draft(recordTarget=patient(ids=ids)).entry.source_patient_id == PATIENT


@pytest.mark.parametrize(
    ("patient_id", "why"),
    [("p1^^^&2.999.77&ISO", "not of an assigning authority"), ("p1", "is no CX")],
)
def test_bad_patient_given_is_told_and_not_replaced(patient_id: str, why: str) -> None:
    made = draft(options=Defaults(patient_id=patient_id))
    assert named(made.missing) == ["patientId"]
    assert why in made.missing[0].why
    assert made.entry.patient_id is None


def test_value_too_long_is_left_out_and_not_cut() -> None:
    long = "x" * 129
    made = draft(title=f"<title>{long}</title>", author=person(f"<name>{'y' * 300}</name>", '<telecom value="tel:1"/>'))
    assert made.entry.title is None
    assert made.entry.author == (Author(telecommunications=("^^PH^^^^1",)),)
    assert [note.partition(":")[0] for note in made.notes] == ["title", "author"]
    assert made.missing == ()
    assert draft(author=person(f"<name>{'y' * 300}</name>")).entry.author == ()


def test_options_win_over_the_header_and_defaults_do_not() -> None:
    made = draft(Defaults(title="default", language_code="en"), Defaults(patient_id=PATIENT, title="option"))
    assert made.entry.title == LocalizedString("option")
    assert made.entry.language_code == "de-DE"


@pytest.mark.parametrize(("language", "expected"), [("zh-CN", "zh-CN"), ("de_AT", "de-AT"), ("?", None)])
def test_language_is_a_tag(language: str, expected: str | None) -> None:
    assert draft(languageCode=f'<languageCode code="{language}"/>').entry.language_code == expected


def test_empty_header_names_all_that_a_source_must_give() -> None:
    """ITI TF-3 Table 4.3.1-3, column Document Source: every R, in words."""
    bare = BytesIO(b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>')
    made = to_entry(read_header(bare), affinity=DOMAIN)
    required = [row.name for row in OF[DocumentEntry] if row.source is Optionality.REQUIRED]
    assert named(made.missing) == [name for name in required if name != "mimeType"]
    assert all(each.why.startswith("the header has no ") for each in made.missing)
    assert str(made.missing[0]) == "creationTime: the header has no effectiveTime; give --creation-time"


def test_how_to_give_names_settings_that_make_sense_for_all_documents() -> None:
    assert {row.field for row in OF[DocumentEntry] if "[defaults]" not in how_to_give(row)} == OF_ONE_DOCUMENT


def test_related_documents_are_named() -> None:
    form = '<relatedDocument typeCode="{}"><parentDocument><id {}/></parentDocument></relatedDocument>'
    related = (
        form.format("RPLC", 'root="2.999.1" extension="d0"')
        + form.format("APND", 'root="2.999.1.7"')
        + form.format("RPLC", 'nullFlavor="NI"')
        + form.format("ODD", 'root="2.999.1.8"')
    )
    assert header(more=related).related == (
        Related(AssociationType.RPLC, "2.999.1^d0"),
        Related(AssociationType.APND, "2.999.1.7"),
    )


def test_recipient_with_nothing_in_it_is_none() -> None:
    assert header(more="<informationRecipient><intendedRecipient/></informationRecipient>").recipients == ()


def test_without_an_affinity_domain_codes_are_taken_as_they_are() -> None:
    entry = to_entry(header(more=STAY.format(FACILITY.format("1"))), options=OPTIONS).entry
    assert entry.type_code == Code("18842-5", LOINC, LocalizedString("Entlassbrief"))
    assert entry.healthcare_facility_type_code == Code("1", SNOMED, LocalizedString("1"))
    assert entry.class_code is None


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_header_is_read_in_its_encoding(encoding: str) -> None:
    text = document(title="<title>出院小结</title>").decode()
    data = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)
    assert is_cda(data)
    assert read_header(BytesIO(data)).title == "出院小结"


def test_any_prefix_and_comments_are_read() -> None:
    data = (
        b'<c:ClinicalDocument xmlns:c="urn:hl7-org:v3"><!-- x --><c:title>A<!-- y -->B</c:title></c:ClinicalDocument>'
    )
    assert read_header(BytesIO(data)).title == "AB"


BOMB = "<!DOCTYPE a [" + '<!ENTITY a "aaaaaaaaaa">' + '<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">' * 9 + "]>"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no well-formed XML"),
        (b"%PDF-1.4", "no well-formed XML"),
        (document()[:200], "no well-formed XML: Premature end|no well-formed XML"),
        (BOMB.encode() + document(title="<title>&b;</title>"), "DOCTYPE"),
        (b'<!DOCTYPE x SYSTEM "http://example.org/x.dtd">' + document(), "DOCTYPE"),
        (b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>' + document(), "DOCTYPE"),
        (document(title="<title>&unknown;</title>"), "no well-formed XML"),
        (b"<ClinicalDocument/>", "its root element is ClinicalDocument; expected {urn:hl7-org:v3}ClinicalDocument"),
        (b"<html></html>", "its root element is html"),
        (document(title='<title xmlns="urn:\\x">A</title>'), "no well-formed XML: Invalid namespace URI"),
        (document(title="<title>" + "<b>" * 400), "no well-formed XML"),
        (document(title=f"<title>{'x' * MAX_HEADER}</title>"), "its header does not end within"),
    ],
)
def test_hostile_xml_is_refused_in_words(data: bytes, message: str) -> None:
    with pytest.raises(ContentError, match=message):
        read_header(BytesIO(data))


ENDED = "<component><structuredBody>{}</structuredBody></component>"


@pytest.mark.parametrize("body", ["<a></b>", "&unknown;", "<a b='' b=''/>", "\x00", "<c xmlns='urn:\\x'/>"])
def test_a_broken_body_is_no_fault_of_the_header(body: str) -> None:
    data = document(title="<title>A</title>", body=ENDED.format(body))
    assert read_header(BytesIO(data)).title == "A"


def test_nothing_is_read_from_the_body_on() -> None:
    doc = parse_header(BytesIO(document(body=ENDED.format("x<title>B</title>") + "<languageCode code='xx'/>")))
    (body,) = doc.iter("{*}structuredBody")
    assert (len(body), body.text, body.tail) == (0, None, None)
    assert doc[-1] is body.getparent()


def test_a_root_may_come_late() -> None:
    prolog = b"<!--" + b"x" * (2 * CHUNK) + b"-->"
    assert read_header(BytesIO(prolog + document(title="<title>A</title>"))).title == "A"
    with pytest.raises(ContentError, match="DOCTYPE"):
        read_header(BytesIO(prolog + b"<!DOCTYPE a>" + document()))


@pytest.mark.parametrize("data", [b"<a/>", b"<a>"])
def test_the_shortest_documents_are_none_either(data: bytes) -> None:
    with pytest.raises(ContentError, match="its root element is a; expected"):
        read_header(BytesIO(data))


def test_a_namespace_that_is_no_uri_may_be_declared() -> None:
    data = document(title='<title xmlns:a="urn:\\x">A</title>')
    assert read_header(BytesIO(data)).title == "A"


class Endless:
    """A document whose body is a PDF of 200 MB in base64, made while it is read."""

    def __init__(self, size: int) -> None:
        body = '<component><nonXMLBody><text mediaType="application/pdf" representation="B64">'
        self.head = BytesIO(document(body=body).removesuffix(b"</ClinicalDocument>"))
        self.size, self.given = size, 0

    def read(self, size: int) -> bytes:
        chunk = self.head.read(size) or b"QUJD" * (size // 4)
        self.given += len(chunk)
        return chunk if self.given < self.size else b""


def test_body_is_not_read() -> None:
    source = Endless(200 * 2**20)
    tracemalloc.start()
    found = read_header(source)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.embedded == "application/pdf"
    assert source.given <= 2 * CHUNK
    assert peak < 2**20


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (document()[:60], True),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x --><?y z?>' + document()[:60], True),
        (b"<!DOCTYPE ClinicalDocument [<!ENTITY a '1'>]>" + document(), True),
        (b"<!DOCTYPE html><html/>", False),
        (b"<ClinicalDocument>", False),
        (b"<a><ClinicalDocument xmlns='urn:hl7-org:v3'>", False),
        (b"", False),
        (b"\x00\x01\x02", False),
    ],
)
def test_cda_is_told_by_its_root(head: bytes, expected: bool) -> None:
    assert is_cda(head) is expected


# --- files that say nothing of themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a", b"%PDF-1.7 ...", "application/pdf"),
        ("a.txt", b"\n%PDF-1.7 ...", "application/pdf"),
        ("a.pdf", b"hello", None),
        ("a.jpg", b"\xff\xd8\xff\xe0...", "image/jpeg"),
        ("a.png", b"\x89PNG\r\n\x1a\n...", "image/png"),
        ("a.gif", b"GIF89a...", "image/gif"),
        ("a.tif", b"II*\0...", "image/tiff"),
        ("a.dcm", bytes(128) + b"DICM...", "application/dicom"),
        ("a.rtf", b"{\\rtf1 ...", "text/rtf"),
        ("a.hl7", b"MSH|^~\\&|", "application/x-hl7"),
        ("a.xml", document(), "text/xml"),
        ("a.xml", b"<note/>", "text/xml"),
        ("a.xml", b'<Bundle xmlns="http://hl7.org/fhir">', "application/fhir+xml"),
        ("a.json", b'{"resourceType": "Bundle"}', "application/fhir+json"),
        ("a.json", b"{}", None),
        ("a.txt", "Ärztin".encode(), "text/plain"),
        ("a.TXT", "出院".encode("utf-16"), "text/plain"),
        ("a.txt", b"a\0b", None),
        ("a.txt", b"\xff\xff", None),
        ("a.txt", b"", "text/plain"),
        ("a.bin", b"hello", None),
    ],
)
def test_media_type_is_told_by_content_then_suffix(
    tmp_path: Path, name: str, content: bytes, expected: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    assert describe_file(tmp_path / name) == expected


def test_sample_files_have_their_types() -> None:
    assert describe_file(SAMPLES / "discharge-note.pdf") == "application/pdf"
    assert describe_file(SAMPLES / "notiz.txt") == "text/plain"
    assert {describe_file(SAMPLES / name) for name in GOLDEN} == {"text/xml"}


def test_same_content_gives_the_same_oid() -> None:
    """ITU-T X.667: the UUID of version 8 under 2.25; at most 64 characters."""
    one, other = unique_id_of(BytesIO(b"a")), unique_id_of(BytesIO(b"b"))
    assert one == unique_id_of(BytesIO(b"a")) != other
    assert DATATYPES["OID"].check(one) is None
    uuid = UUID(int=int(one.removeprefix("2.25.")))
    assert (uuid.version, uuid.variant) == (8, "specified in RFC 4122")


def test_plain_file_takes_everything_from_options_and_defaults() -> None:
    options = Defaults(
        patient_id=PATIENT,
        type_code=Code("18842-5", LOINC),
        creation_time="20250917",
        title="Discharge note",
        author=(Author(person="^Lee"),),
    )
    defaults = Defaults(
        confidentiality_code=(NORMAL,),
        healthcare_facility_type_code=HOSPITAL,
        practice_setting_code=CARDIOLOGY,
        language_code="en",
    )
    made = plain_entry("2.25.1", "application/pdf", defaults, DOMAIN, options=options, entry_id="Document02")
    assert made.missing == ()
    assert made.notes == ()
    assert made.entry == DocumentEntry(
        id="Document02",
        author=(Author(person="^Lee"),),
        class_code=SUMMARIES,
        confidentiality_code=(NORMAL,),
        creation_time="20250917",
        format_code=SUFFICIENT,
        healthcare_facility_type_code=HOSPITAL,
        language_code="en",
        mime_type="application/pdf",
        patient_id=Identifier(PATIENT),
        practice_setting_code=CARDIOLOGY,
        source_patient_id=PATIENT,
        title=LocalizedString("Discharge note"),
        type_code=DISCHARGE_SUMMARY,
        unique_id=Identifier("2.25.1"),
    )


def test_plain_file_names_what_is_missing() -> None:
    made = plain_entry("2.25.1", None, affinity=DOMAIN)
    assert {"mimeType", "typeCode", "patientId", "creationTime"} <= set(named(made.missing))
    assert "formatCode" not in named(made.missing)
    assert made.missing[0].why == "the file does not say it"
    image = plain_entry("2.25.1", "image/png", affinity=DOMAIN).missing
    assert (
        next(each.why for each in image if each.attribute == "mimeType") == "'image/png' is not in the affinity domain"
    )


def test_display_too_long_for_ebrim_is_told() -> None:
    made = draft(Defaults(), Defaults(patient_id=PATIENT, type_code=Code("1", LOINC, LocalizedString("x" * 257))))
    assert "257 characters" in next(each.why for each in made.missing if each.attribute == "typeCode")


# --- submission -------------------------------------------------------------------------------------------------------


def test_submission_holds_the_entries_and_their_set() -> None:
    """ITI TF-3 4.2.2.1: one HasMember for each entry, by value."""
    first = draft(author=person("<name>Lee</name>")).entry
    second = plain_entry("2.25.1", "text/plain", DEFAULTS, DOMAIN, options=OPTIONS, entry_id="Document02").entry
    made = submission_for(
        (first, second),
        DEFAULTS,
        DOMAIN,
        recipients=("Clinic", "Clinic", "^^"),
        relationships=(
            Relationship(AssociationType.RPLC, "Document01", "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"),
        ),
    )
    sset = made.submission.submission_set
    assert made.missing == ()
    assert sset.patient_id == Identifier(PATIENT)
    assert sset.source_id == Identifier("2.999.1.2")
    assert sset.content_type_code == CONTENT_TYPE
    assert sset.author == (Author(person="^Lee"),)
    assert sset.intended_recipient == ("Clinic",)
    assert len(made.notes) == 1
    assert sset.unique_id is not None
    assert DATATYPES["OID"].check(sset.unique_id.value) is None
    assert [
        (each.type, each.source, each.target, each.submission_set_status) for each in made.submission.associations
    ] == [
        (AssociationType.HAS_MEMBER, sset.id, "Document01", "Original"),
        (AssociationType.HAS_MEMBER, sset.id, "Document02", "Original"),
        (AssociationType.RPLC, "Document01", "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3", None),
    ]
    ids = [each.id for each in made.submission.objects]
    assert len(ids) == len(set(ids))
    assert not any(each.startswith("urn:uuid:") for each in ids)


def test_every_submission_has_a_new_unique_id() -> None:
    entry = draft().entry
    one, other = (submission_for((entry,), DEFAULTS).submission.submission_set for _ in range(2))
    assert one.unique_id != other.unique_id


def test_submission_names_what_is_missing() -> None:
    missing = submission_for((draft().entry,), affinity=DOMAIN).missing
    assert named(missing) == ["contentTypeCode", "sourceId"]
    bad = Defaults(content_type_code=Code("?", "2.999"), source_id="x")
    assert "not in the affinity domain" in submission_for((draft().entry,), bad, DOMAIN).missing[0].why


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ((), "no document"),
        ((DocumentEntry(id="a"), DocumentEntry(id="a")), "same id"),
        (
            (
                DocumentEntry(id="a", patient_id=Identifier(PATIENT)),
                DocumentEntry(id="b", patient_id=Identifier("p2^^^&2.999.1.4&ISO")),
            ),
            "2 patients",
        ),
    ],
)
def test_documents_that_do_not_belong_together_are_refused(entries: tuple[DocumentEntry, ...], message: str) -> None:
    with pytest.raises(ContentError, match=message):
        submission_for(entries)


# --- properties -------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=40).map(
    lambda text: "".join(char for char in text if char in "\t\n\r" or char >= " ")
)
ROOTS = st.sampled_from(["1.2.3", "2.999.4.5", "LOCAL", "0b54ca2c-6a4a-4b4d-8d6c-2b4cc1e2a111", ""])
NAMES = st.lists(
    st.tuples(
        st.sampled_from(["family", "given", "prefix", "suffix"]), st.sampled_from(["", "VV", "AC", "BR", "CL"]), TEXTS
    ),
    max_size=6,
)


def _quoted(text: str) -> str:
    return xml_escape(text, {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _name(parts: list[tuple[str, str, str]]) -> str:
    return "".join(f'<{kind} qualifier="{qualifier}">{_quoted(text)}</{kind}>' for kind, qualifier, text in parts)


@given(NAMES, ROOTS, st.lists(TEXTS, min_size=4, max_size=4))
def test_any_header_gives_values_that_pass(parts: list[tuple[str, str, str]], root: str, texts: list[str]) -> None:
    """Whatever the names and ids, what comes out is of the data types and no longer than they allow."""
    free, extension, organization, line = texts
    name = f"<name>{_quoted(free)}{_name(parts)}</name>"
    id_ = f'<id root="{root}" extension="{_quoted(extension)}"/>'
    unit = f"<representedOrganization>{id_}<name>{_quoted(organization)}</name></representedOrganization>"
    role = f'<functionCode code="{_quoted(line)}" codeSystem="{root}" displayName="{_quoted(free)}"/>'
    who = f'{id_}<telecom value="{_quoted(line)}"/><telecom value="mailto:{_quoted(line)}"/>'
    address = f"<addr>{_quoted(line)}<city>{_quoted(free)}</city></addr>"
    recipient = (
        f"<informationRecipient><intendedRecipient>{id_}<informationRecipient>{name}</informationRecipient>"
        f"<receivedOrganization><name>{_quoted(line)}</name></receivedOrganization></intendedRecipient></informationRecipient>"
    )
    found = header(
        id=id_,
        title=f"<title>{_quoted(free)}</title>",
        author=author(f"{who}<assignedPerson>{name}</assignedPerson>{unit}", role),
        recordTarget=patient(name, id_, address),
        more=recipient,
    )
    entry = to_entry(found, DEFAULTS, DOMAIN, options=OPTIONS).entry
    for made in entry.author:
        for field, datatype, many in AUTHOR_SLOTS.values():
            value = getattr(made, field)
            assert not any(map(DATATYPES[datatype].check, value if many else filter(None, (value,))))
    for each in entry.source_patient_info:
        assert DATATYPES["SourcePatientInfo"].check(each) is None
        assert SourcePatientField.parse(each).format() == each
    assert not any(map(DATATYPES["IntendedRecipient"].check, found.recipients))
    assert entry.unique_id is None or DATATYPES["Identifier"].check(entry.unique_id.value) is None


@given(TEXTS)
def test_clean_text_has_no_control_characters_and_no_white_space_at_its_ends(text: str) -> None:
    assert v3.clean(v3.clean(text)) == v3.clean(text)
    assert v3.clean(text) == v3.clean(text).strip()
