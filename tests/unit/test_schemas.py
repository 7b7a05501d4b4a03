"""Our schemas against the published ones, the words of the validator, and the WSDLs as zeep reads them."""

import os
import random
import re
import threading
import tomllib
from copy import deepcopy
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import zeep
from lxml import etree

from xds.ebxml import schema

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("XDS_SHARED") or ROOT.parent / "shared")
EBXML = "urn:oasis:names:tc:ebxml-regrep:xsd"
RIM, RS, LCM, QUERY = (f"{{{EBXML}:{name}:3.0}}" for name in ("rim", "rs", "lcm", "query"))
XDS = "{urn:ihe:iti:xds-b:2007}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
DECLARED = (
    f'xmlns="{EBXML}:rim:3.0" xmlns:rim="{EBXML}:rim:3.0" xmlns:rs="{EBXML}:rs:3.0" xmlns:lcm="{EBXML}:lcm:3.0" '
    f'xmlns:query="{EBXML}:query:3.0" xmlns:xds="urn:ihe:iti:xds-b:2007" xmlns:rmd="urn:ihe:iti:rmd:2017" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)

OBJECTS = """
<ObjectRef id="urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d" createReplica="false"/>
<ExtrinsicObject id="doc1" lid="doc1" home="urn:oid:1.2.3" mimeType="text/plain" isOpaque="false" status="urn:x:A"
    objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1">
  <Slot name="creationTime"><ValueList><Value>20251117</Value></ValueList></Slot>
  <Slot name="sourcePatientInfo" slotType="urn:x:String"><ValueList><Value>a</Value><Value>b</Value></ValueList></Slot>
  <Slot name="urn:example:empty"><ValueList/></Slot>
  <Name><LocalizedString xml:lang="de-CH" charset="UTF-8" value="Note"/><LocalizedString xml:lang="" value=""/></Name>
  <Description><LocalizedString value="A comment"/></Description>
  <VersionInfo versionName="1" comment="first"/>
  <Classification id="c1" classifiedObject="doc1" classificationScheme="urn:uuid:1" nodeRepresentation="">
    <Slot name="authorPerson"><ValueList><Value>^Welby^Marcus</Value></ValueList></Slot>
  </Classification>
  <Classification id="c2" classifiedObject="doc1" classificationScheme="urn:uuid:2" nodeRepresentation="11488-4">
    <Slot name="codingScheme"><ValueList><Value>2.16.840.1.113883.6.1</Value></ValueList></Slot>
    <Name><LocalizedString value="Consult note"/></Name>
  </Classification>
  <ExternalIdentifier id="x1" registryObject="doc1" identificationScheme="urn:uuid:3" value="p1^^^&amp;1.2.3.4&amp;ISO">
    <Name><LocalizedString value="XDSDocumentEntry.patientId"/></Name>
  </ExternalIdentifier>
  <ContentVersionInfo versionName="1"/>
</ExtrinsicObject>
<RegistryPackage id="ss1">
  <Slot name="submissionTime"><ValueList><Value>20251117120000</Value></ValueList></Slot>
  <Classification id="c3" classifiedObject="ss1" classificationNode="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"/>
  <ExternalIdentifier id="x2" registryObject="ss1" identificationScheme="urn:uuid:4" value="1.2.3.9"/>
  <RegistryObjectList><ObjectRef id="doc1"/></RegistryObjectList>
</RegistryPackage>
<Classification id="c4" classifiedObject="ss1" classificationNode="urn:uuid:5"/>
<Association id="a1" associationType="urn:x:HasMember" sourceObject="ss1" targetObject="doc1">
  <Slot name="SubmissionSetStatus"><ValueList><Value>Original</Value></ValueList></Slot>
</Association>
"""
OTHER_OBJECTS = """
<Identifiable id="i"/><RegistryObject id="r"><Name/></RegistryObject><AdhocQuery id="q"/>
<ExternalIdentifier id="x" registryObject="r" identificationScheme="s" value="v"/>
<Organization id="o" parent="p" primaryContact="u">
  <Address city="Bern" country="CH" postalCode="3000" stateOrProvince="BE" street="Gasse" streetNumber="1"/>
  <TelephoneNumber areaCode="31" countryCode="41" extension="1" number="1234567" phoneType="office"/>
  <EmailAddress address="a@example.org" type="office"/></Organization>
<Person id="p"><PersonName firstName="A" middleName="B" lastName="C"/><TelephoneNumber number="1"/></Person>
<User id="u"><Address/><PersonName/><EmailAddress address="b@example.org"/></User>
<ClassificationScheme id="cs" isInternal="true" nodeType="urn:x:UniqueCode">
  <ClassificationNode id="n" code="a" path="/a" parent="cs"/></ClassificationScheme>
<ClassificationNode id="n2"><ClassificationNode id="n3"/></ClassificationNode>
<ExternalLink id="l" externalURI="http://example.org/"/>
<Service id="s"><ServiceBinding id="b" service="s" accessURI="http://example.org/" targetBinding="t">
  <SpecificationLink id="k" serviceBinding="b" specificationObject="o">
    <UsageDescription/><UsageParameter>x</UsageParameter></SpecificationLink>
</ServiceBinding></Service>
<Registry id="reg" operator="o" specificationVersion="3.0" replicationSyncLatency="P1D" catalogingLatency="PT1H"
    conformanceProfile="registryFull"/><Federation id="f" replicationSyncLatency="P2D"/>
<AuditableEvent id="e" eventType="urn:x:Created" timestamp="2025-11-17T12:00:00Z" user="u" requestId="r">
  <affectedObjects><ObjectRef id="doc1"/></affectedObjects></AuditableEvent>
<Subscription id="sub" selector="q" notificationInterval="P1D" startTime="2025-11-17T12:00:00"
    endTime="2025-11-18T12:00:00">
  <NotifyAction endPoint="http://example.org/" notificationOption="urn:x:ObjectRefs"/></Subscription>
"""
ERRORS = """<rs:RegistryErrorList highestSeverity="urn:x:Error">
  <rs:RegistryError errorCode="XDSRegistryError" codeContext="why" severity="urn:x:Error" location="doc1"/>
  <rs:RegistryError errorCode="XDSRegistryError" codeContext="">text</rs:RegistryError></rs:RegistryErrorList>"""
SLOTS = '<rs:{}SlotList><Slot name="a"><ValueList><Value>b</Value></ValueList></Slot></rs:{}SlotList>'
SUBMIT = (
    f'<lcm:SubmitObjectsRequest id="r1" comment="c">{SLOTS.format("Request", "Request")}'
    "<RegistryObjectList>{}</RegistryObjectList></lcm:SubmitObjectsRequest>"
)
ADDRESS = """<xds:HomeCommunityId>urn:oid:1.2</xds:HomeCommunityId><xds:RepositoryUniqueId>1.3</xds:RepositoryUniqueId>
    <xds:DocumentUniqueId>1.4^a</xds:DocumentUniqueId>"""
REQUESTS = f"<xds:DocumentRequest>{ADDRESS}</xds:DocumentRequest>" * 2

CORPUS = {
    "submit": SUBMIT.format(OBJECTS),
    "submit_other_kinds": SUBMIT.format(OTHER_OBJECTS),
    "provide": f"""<xds:ProvideAndRegisterDocumentSetRequest>{SUBMIT.format(OBJECTS)}
        <xds:Document id="doc1">aGVs bG8=</xds:Document><xds:Document id="doc2"/>
        </xds:ProvideAndRegisterDocumentSetRequest>""",
    "response": f"""<rs:RegistryResponse status="urn:x:Failure" requestId="r1">{SLOTS.format("Response", "Response")}
        {ERRORS}</rs:RegistryResponse>""",
    "query": """<query:AdhocQueryRequest federated="false" federation="urn:x" startIndex="0" maxResults="-1">
        <query:ResponseOption returnType="LeafClass" returnComposedObjects="true"/>
        <AdhocQuery id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d" home="urn:oid:1.2.3">
          <Slot name="$XDSDocumentEntryPatientId"><ValueList><Value>'p1^^^&amp;1.2&amp;ISO'</Value></ValueList></Slot>
          <QueryExpression queryLanguage="urn:x:SQL">select <other xmlns="urn:example"/></QueryExpression>
        </AdhocQuery></query:AdhocQueryRequest>""",
    "leaf_class": f"""<query:AdhocQueryResponse status="urn:x:Success" startIndex="0" totalResultCount="4">
        <RegistryObjectList>{OBJECTS}</RegistryObjectList></query:AdhocQueryResponse>""",
    "object_refs": f"""<query:AdhocQueryResponse status="urn:x:Success">{ERRORS}<RegistryObjectList>
        <ObjectRef id="a"/><ObjectRef id="b" home="urn:oid:1"/></RegistryObjectList></query:AdhocQueryResponse>""",
    "retrieve": f"<xds:RetrieveDocumentSetRequest>{REQUESTS}</xds:RetrieveDocumentSetRequest>",
    "retrieved": f"""<xds:RetrieveDocumentSetResponse><rs:RegistryResponse status="urn:x:Success"/>
        <xds:DocumentResponse>{ADDRESS}
        <xds:NewRepositoryUniqueId>1.5</xds:NewRepositoryUniqueId><xds:NewDocumentUniqueId>1.6</xds:NewDocumentUniqueId>
        <xds:mimeType>text/plain</xds:mimeType><xds:Document>aGVsbG8=</xds:Document></xds:DocumentResponse>
        </xds:RetrieveDocumentSetResponse>""",
    "remove_metadata": """<lcm:RemoveObjectsRequest deletionScope="urn:x:DeleteAll"><AdhocQuery id="q"/>
        <ObjectRefList><ObjectRef id="a"/><ObjectRef id="b"/></ObjectRefList></lcm:RemoveObjectsRequest>""",
    "remove_documents": f"<rmd:RemoveDocumentsRequest>{REQUESTS}</rmd:RemoveDocumentsRequest>",
}


def parse(text: str) -> etree._Element:
    """Parse a message that leaves its prefixes to `DECLARED`."""
    return etree.fromstring(re.sub(r"^<[\w:]+", lambda tag: f"{tag[0]} {DECLARED}", text))


def is_valid(el: etree._Element) -> bool:
    return next(schema.validate(el), None) is None


@pytest.fixture(scope="module")
def published() -> etree.XMLSchema:
    """The published schemas; rmd imports all the others."""
    path = SHARED / "schemas" / "rmd" / "RMD.xsd"
    if not path.exists():
        pytest.skip("published schemas are not at hand")
    return etree.XMLSchema(file=str(path))


# 1. Verdicts


@pytest.mark.parametrize("name", CORPUS)
def test_good_message_is_valid(name):
    assert [str(violation) for violation in schema.validate(parse(CORPUS[name]))] == []


@pytest.mark.shared
@pytest.mark.parametrize("name", CORPUS)
def test_good_message_is_valid_by_the_published_schemas(name, published):
    assert published.validate(parse(CORPUS[name])), published.error_log


# Types that both sides derive alike; the others are deviations.
SAME_TYPES = (
    "IdentifiableType",
    "ObjectRefType",
    "RegistryObjectType",
    "ExtrinsicObjectType",
    "AdhocQueryType",
    "SlotType1",
)
VALUES = (
    "",
    " ",
    "x",
    "y" * 17,
    "y" * 65,
    "y" * 256,
    "y" * 257,
    "y" * 1024,
    "y" * 1025,
    "true",
    "1",
    "maybe",
    "-7",
    "1.5",
)
VALUES += (
    "urn:uuid:1",
    "a b",
    "%%",
    "http://[",
    "2025-11-17T12:00:00Z",
    "P1D",
    "LeafClass",
    "registryLite",
    "de",
    "de_CH",
    "aGVsbG8",
)
ATTRIBUTES = (
    "id",
    "value",
    "name",
    "home",
    "status",
    "classifiedObject",
    "foo",
    "{urn:x}id",
    f"{RIM}id",
    "createReplica",
)
ATTRIBUTES += ("{http://www.w3.org/XML/1998/namespace}lang", "{http://www.w3.org/XML/1998/namespace}space", "mimeType")


def _elements(root):
    return [el for el in root.iter(etree.Element) if el is not root]


def drop(root, rng):
    el = rng.choice(_elements(root))
    el.getparent().remove(el)


def duplicate(root, rng):
    el = rng.choice(_elements(root))
    el.addnext(deepcopy(el))


def reorder(root, rng):
    parent = rng.choice([el for el in root.iter(etree.Element) if len(el)])
    children = list(parent)
    rng.shuffle(children)
    parent[:] = children


def move(root, rng):
    el = deepcopy(rng.choice(_elements(root)))
    parent = rng.choice(list(root.iter(etree.Element)))
    parent.insert(rng.randint(0, len(parent)), el)


def drop_attribute(root, rng):
    el = rng.choice([el for el in root.iter(etree.Element) if el.attrib] or [root])
    if el.attrib:
        del el.attrib[rng.choice(sorted(el.attrib))]


def alter_attribute(root, rng):
    el = rng.choice([el for el in root.iter(etree.Element) if el.attrib] or [root])
    if el.attrib:
        el.set(rng.choice(sorted(el.attrib)), rng.choice(VALUES))


def add_attribute(root, rng):
    rng.choice(list(root.iter(etree.Element))).set(rng.choice(ATTRIBUTES), rng.choice(VALUES))


def alter_text(root, rng):
    rng.choice(list(root.iter(etree.Element))).text = rng.choice(VALUES)


def change_namespace(root, rng):
    el = rng.choice(list(root.iter(etree.Element)))
    el.tag = rng.choice((RIM, RS, LCM, QUERY, XDS, "{urn:x}", "")) + etree.QName(el).localname


def rename(root, rng):
    rng.choice(_elements(root)).tag = rng.choice([el.tag for el in root.iter(etree.Element)])


def add_type(root, rng):
    rng.choice(_elements(root)).set(XSI_TYPE, f"rim:{rng.choice(SAME_TYPES)}")


MUTATIONS = (
    drop,
    duplicate,
    reorder,
    move,
    drop_attribute,
    alter_attribute,
    add_attribute,
    alter_text,
    change_namespace,
    rename,
    add_type,
)


def with_short_comments(root):
    """Undo the one deviation that mutation reaches: comments longer than ebRIM allows."""
    root = deepcopy(root)
    for text in root.iterfind(f".//{RIM}Description/{RIM}LocalizedString[@value]"):
        text.set("value", text.get("value")[:1024])
    return root


@pytest.mark.shared
@pytest.mark.parametrize("name", CORPUS)
def test_mutated_messages_get_the_published_verdict(name, published):
    verdicts = []
    for seed in range(200):
        rng = random.Random(f"{name} {seed}")
        root = parse(CORPUS[name])
        steps = [rng.choice(MUTATIONS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        for step in steps:
            if len(root):
                step(root, rng)
        ours, theirs = list(schema.validate(root)), published.validate(with_short_comments(root))
        assert (not ours) == theirs, (
            seed,
            [step.__name__ for step in steps],
            ours or published.error_log,
            etree.tostring(root),
        )
        verdicts.append(theirs)
    assert 10 < sum(verdicts) < 190  # both verdicts occur, or the comparison says little


LONG = "y" * 1025
FILTER_QUERY = """<query:AdhocQueryRequest><query:ResponseOption/><AdhocQuery id="a"><QueryExpression queryLanguage="x">
    <query:RegistryObjectQuery foo="1"/></QueryExpression></AdhocQuery></query:AdhocQueryRequest>"""
DESCRIBED = '<RegistryObject id="a"><Description {}><LocalizedString {} value="{}"/></Description></RegistryObject>'
DEVIATIONS = {  # message, our verdict, the published one
    "long_comments": (SUBMIT.format(DESCRIBED.format("", "", LONG)), True, False),
    "filter_query": (FILTER_QUERY, True, False),
    "unused_request": ('<lcm:ApproveObjectsRequest id="a"/>', False, True),
    "unused_element": ('<PostalAddress city="Bern"/>', False, True),
    "type_of_description": (
        SUBMIT.format(DESCRIBED.format('xsi:type="rim:InternationalStringType"', "", "a")),
        False,
        True,
    ),
    "type_of_text_in_description": (
        SUBMIT.format(DESCRIBED.format("", 'xsi:type="rim:LocalizedStringType"', "a")),
        False,
        True,
    ),
    "registry_object_as_classification": (
        SUBMIT.format('<RegistryObject xsi:type="rim:ClassificationType" id="a" classifiedObject="b"/>'),
        False,
        True,
    ),
    "identifiable_as_our_own_type": (
        SUBMIT.format('<Identifiable xsi:type="rim:NamedObjectType" id="a"/>'),
        True,
        False,
    ),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviation_is_as_documented(name):
    text, ours, _ = DEVIATIONS[name]
    assert is_valid(parse(text)) is ours


@pytest.mark.shared
@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviation_is_one(name, published):
    text, _, theirs = DEVIATIONS[name]
    assert published.validate(parse(text)) is theirs


def test_titles_keep_the_limit_of_ebrim():
    text = SUBMIT.format(f'<RegistryObject id="a"><Name><LocalizedString value="{LONG}"/></Name></RegistryObject>')
    assert not is_valid(parse(text))


# 2. Words


def change(name, path, **attributes):
    root = parse(CORPUS[name])
    el = root.find(path)
    for attribute, value in attributes.items():
        el.set(attribute, value) if value is not None else el.attrib.pop(attribute)
    return root


def change_text(name, path, text):
    root = parse(CORPUS[name])
    root.find(path).text = text
    return root


EO = f".//{RIM}ExtrinsicObject"
SLOT_VALUE = f"{RIM}Slot/{RIM}ValueList/{RIM}Value"
TOO_LONG = "has a length of '257'; this exceeds the allowed maximum length of '256'."
EMPTY_ADDRESS = "<xds:DocumentRequest><xds:DocumentUniqueId/></xds:DocumentRequest>"
WORDS = {  # message, text, where, line
    "attribute_missing": (
        change("submit", f"{EO}/{RIM}Classification", id=None),
        "rim:Classification: The attribute 'id' is required but missing.",
        "ExtrinsicObject 'doc1', line 11",
    ),
    "attribute_unknown": (
        change("submit", EO, size="1"),
        "rim:ExtrinsicObject/@size: The attribute 'size' is not allowed.",
        "ExtrinsicObject 'doc1', line 4",
    ),
    "value_of_wrong_type": (
        change("submit", EO, isOpaque="maybe"),
        "rim:ExtrinsicObject/@isOpaque: 'maybe' is not a valid value of the atomic type 'xs:boolean'.",
        "ExtrinsicObject 'doc1', line 4",
    ),
    "value_too_long": (
        change_text("submit", f"{EO}/{SLOT_VALUE}", "y" * 257),
        f"rim:Value: The value {TOO_LONG}",
        "Slot 'creationTime' of ExtrinsicObject 'doc1', line 5",
    ),
    "identifier_too_long": (
        change("submit", f"{EO}/{RIM}ExternalIdentifier", value="y" * 257),
        f"rim:ExternalIdentifier/@value: The value '{'y' * 60}...' {TOO_LONG}",
        "ExternalIdentifier 'x1', line 18",
    ),
    "enumeration": (
        change("query", f"{QUERY}ResponseOption", returnType="Leaf"),
        (
            "query:ResponseOption/@returnType: The value 'Leaf' is not an element of the set "
            "{'LeafClass', 'ObjectRef', 'LeafClassWithRepositoryItem', 'RegistryObject'}."
        ),
        "line 2",
    ),
    "child_out_of_place": (
        parse(f"<xds:RetrieveDocumentSetRequest>{EMPTY_ADDRESS}</xds:RetrieveDocumentSetRequest>"),
        (
            "xds:DocumentUniqueId: This element is not expected. "
            "Expected is one of xds:HomeCommunityId, xds:RepositoryUniqueId."
        ),
        "line 1",
    ),
    "slot_of_the_request": (
        change_text("submit", f"{RS}RequestSlotList/{SLOT_VALUE}", "y" * 257),
        f"rim:Value: The value {TOO_LONG}",
        "Slot 'a' of SubmitObjectsRequest 'r1', line 1",
    ),
    "no_such_body": (
        parse("<xds:Nothing/>"),
        "xds:Nothing: No matching global declaration available for the validation root.",
        "line 1",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_violation_names_place_and_value(name):
    el, text, place = WORDS[name]
    assert [str(violation) for violation in schema.validate(el)] == [f"{text} ({place})"]


def test_location_is_the_id_of_the_innermost_object():
    (violation,) = schema.validate(WORDS["value_too_long"][0])
    assert (violation.location, violation.line) == ("doc1", 5)


def test_element_is_validated_inside_its_envelope():
    """xsi:type may use a prefix that only the envelope declares."""
    request = SUBMIT.format('<Identifiable xsi:type="rim:ObjectRefType" id="a"/><Slot/>')
    env = parse(f"<Envelope><Body>{request}</Body></Envelope>")
    before = etree.tostring(env)
    (violation,) = schema.validate(env[0][0])
    assert violation.text.startswith("rim:Slot: This element is not expected.")
    assert etree.tostring(env) == before


def test_prefixes_may_change_their_meaning_within_a_message():
    refs = '<p:ObjectRef id="a"/><!-- b --><p:ObjectRef id="b"/><p:ObjectRef id="c" foo="1"/>'
    el = etree.fromstring(
        f'<p:SubmitObjectsRequest xmlns:p="{EBXML}:lcm:3.0"><p:RegistryObjectList xmlns:p="{EBXML}:rim:3.0">'
        f"{refs}</p:RegistryObjectList></p:SubmitObjectsRequest>"
    )
    assert [violation.where for violation in schema.validate(el)] == ["ObjectRef 'c'"]


def test_hostile_message_gets_a_short_answer():
    refs = f'<ObjectRef id="{"y" * 5000}" {"z" * 5000}="1"/>' * 500
    violations = list(schema.validate(parse(SUBMIT.format(refs))))
    assert len(violations) == schema.MAX_VIOLATIONS
    assert max(len(str(violation)) for violation in violations) < schema.MAX_TEXT + 200


def test_threads_do_not_mix_their_violations():
    wrong, start = [], threading.Barrier(8)

    def work(ident):
        el = parse(SUBMIT.format(f'<ObjectRef id="{ident}" foo="1"/>' * 20))
        start.wait()
        for _ in range(50):
            places = {violation.location for violation in schema.validate(el)}
            wrong.extend(places - {ident})

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# 3. Files


@pytest.mark.parametrize("name", ["../pyproject.toml", "README.md", "__init__.py", "", "none.xsd", "/etc/passwd"])
def test_no_other_file_is_given_away(name):
    with pytest.raises(LookupError, match="no schema"):
        schema.schema_file(name)


def test_schemas_refer_to_each_other_only():
    files = {name: etree.fromstring(schema.schema_file(name)) for name in schema._names()}
    referred = {el.get("schemaLocation") for root in files.values() for el in root.iter() if el.get("schemaLocation")}
    assert referred == files.keys() - {"body.xsd", "DocumentRegistry.wsdl", "DocumentRepository.wsdl"}
    assert not any(root.getroottree().docinfo.doctype for root in files.values())


def test_hints_of_a_message_are_not_followed(tmp_path):
    trap = tmp_path / "trap.xsd"
    trap.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:trap">'
        '<xs:element name="a"/></xs:schema>'
    )
    assert not is_valid(parse(f'<t:a xmlns:t="urn:trap" xsi:schemaLocation="urn:trap {trap.as_uri()}"/>'))


def test_checkout_that_is_not_installed_finds_the_files(monkeypatch):
    def absent(_):
        raise ModuleNotFoundError

    monkeypatch.setattr(schema.resources, "files", absent)
    assert schema._folder.__wrapped__() == ROOT / "schemas"


def test_packages_are_listed_for_the_wheel():
    """Setuptools cannot both find packages and map one from elsewhere, so the list is ours to keep."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent for top in ("xds", "registry", "repository") for file in (ROOT / top).rglob("*.py")}
    assert set(table["packages"]) == {".".join(folder.relative_to(ROOT).parts) for folder in folders} | {"xds.schemas"}


# 4. WSDL

ADDRESSES = {"DocumentRegistry": "https://xds.example/registry", "DocumentRepository": "https://xds.example/repository"}
ACTION = "urn:ihe:iti:"
OPERATIONS = {  # operation: action, request, response
    "DocumentRegistry_RegisterDocumentSet-b": (
        "2007:RegisterDocumentSet-b",
        f"{LCM}SubmitObjectsRequest",
        f"{RS}RegistryResponse",
    ),
    "DocumentRegistry_RegistryStoredQuery": (
        "2007:RegistryStoredQuery",
        f"{QUERY}AdhocQueryRequest",
        f"{QUERY}AdhocQueryResponse",
    ),
    "DocumentRegistry_MultiPatientStoredQuery": (
        "2009:MultiPatientStoredQuery",
        f"{QUERY}AdhocQueryRequest",
        f"{QUERY}AdhocQueryResponse",
    ),
    "DocumentRepository_ProvideAndRegisterDocumentSet-b": (
        "2007:ProvideAndRegisterDocumentSet-b",
        f"{XDS}ProvideAndRegisterDocumentSetRequest",
        f"{RS}RegistryResponse",
    ),
    "DocumentRepository_RetrieveDocumentSet": (
        "2007:RetrieveDocumentSet",
        f"{XDS}RetrieveDocumentSetRequest",
        f"{XDS}RetrieveDocumentSetResponse",
    ),
}


class Published(zeep.Transport):
    """Answers `?wsdl` and `?xsd=` as the actors do, and nothing else."""

    def load(self, url):
        address, query = url.split("?", 1)
        actor = {address: actor for actor, address in ADDRESSES.items()}[address]
        names = parse_qs(query).get("xsd")
        return schema.xsd(names[0], address) if names else schema.wsdl(actor, address)


def client(actor):
    return zeep.Client(f"{ADDRESSES[actor]}?wsdl", transport=Published())


@pytest.mark.parametrize("actor", schema.ACTORS)
@pytest.mark.parametrize("source", ["published", "file"])
def test_zeep_lists_the_operations(actor, source):
    reader = client(actor) if source == "published" else zeep.Client(str(ROOT / "schemas" / f"{actor}.wsdl"))
    (service,) = reader.wsdl.services.values()
    (port,) = service.ports.values()
    assert port.binding_options["address"] == (ADDRESSES[actor] if source == "published" else "{address}")
    found = {
        name: (
            operation.abstract.wsa_action,
            operation.soapaction,
            operation.input.body.qname.text,
            operation.output.body.qname.text,
        )
        for name, operation in port.binding._operations.items()
    }
    assert found == {
        name: (ACTION + action, ACTION + action, request, response)
        for name, (action, request, response) in OPERATIONS.items()
        if name.startswith(actor)
    }


@pytest.mark.parametrize("actor", schema.ACTORS)
def test_operations_state_the_action_of_the_response(actor):
    """WS-Addressing 1.0 Metadata 4.4.1: without it a client would expect an action made of names."""
    wsdl = etree.fromstring(schema.wsdl(actor, ADDRESSES[actor]))
    outputs = {
        operation.get("name"): operation.find("{*}output").get("{http://www.w3.org/2007/05/addressing/metadata}Action")
        for operation in wsdl.iterfind("{*}portType/{*}operation")
    }
    assert outputs == {
        name: f"{ACTION}{action}Response" for name, (action, *_) in OPERATIONS.items() if name.startswith(actor)
    }


def test_zeep_submits_what_its_types_say():
    """From the published schema zeep makes Classifications without id and Slot, and no list of objects."""
    slot = [{"name": "codingScheme", "ValueList": {"Value": ["1.2.3"]}}]
    title = {"LocalizedString": [{"value": "Note", "lang": "en"}]}
    entry = {
        "id": "doc1",
        "mimeType": "text/plain",
        "Slot": slot,
        "Name": title,
        "Description": title,
        "Classification": [{"id": "c1", "classifiedObject": "doc1", "Slot": slot, "Name": title}],
        "ExternalIdentifier": [
            {"id": "x1", "registryObject": "doc1", "identificationScheme": "urn:x", "value": "1", "Name": title}
        ],
    }
    sset = {"id": "ss1", "Classification": [{"id": "c2", "classifiedObject": "ss1", "classificationNode": "urn:x"}]}
    assoc = {"id": "a1", "associationType": "urn:x", "sourceObject": "ss1", "targetObject": "doc1", "Slot": slot}
    objects = [
        {"ExtrinsicObject": entry},
        {"RegistryPackage": sset},
        {"Association": assoc},
        {"ObjectRef": {"id": "o1"}},
    ]
    reader = client("DocumentRepository")
    env = reader.create_message(
        reader.service,
        "DocumentRepository_ProvideAndRegisterDocumentSet-b",
        SubmitObjectsRequest={"RegistryObjectList": {"_value_1": objects}},
        Document=[{"id": "doc1", "_value_1": b"hello"}],
    )
    body = env.find(f".//{XDS}ProvideAndRegisterDocumentSetRequest")
    assert [str(violation) for violation in schema.validate(body)] == []
    assert [(etree.QName(el).localname, el.get("id")) for el in body.find(f".//{RIM}RegistryObjectList")] == [
        ("ExtrinsicObject", "doc1"),
        ("RegistryPackage", "ss1"),
        ("Association", "a1"),
        ("ObjectRef", "o1"),
    ]
    assert body.findtext(f"{XDS}Document") == "aGVsbG8="
    action = env.find(".//{http://www.w3.org/2005/08/addressing}Action")
    assert action.text == f"{ACTION}2007:ProvideAndRegisterDocumentSet-b"


def test_zeep_reads_a_query_response():
    reader = client("DocumentRegistry")
    element = reader.get_element(f"{QUERY}AdhocQueryResponse")
    answer = element.parse(parse(CORPUS["leaf_class"]), reader.wsdl.types)
    (entry,) = [item["ExtrinsicObject"] for item in answer.RegistryObjectList._value_1 if "ExtrinsicObject" in item]
    assert entry.Classification[1].Slot[0].ValueList.Value == ["2.16.840.1.113883.6.1"]
    assert (entry.ExternalIdentifier[0].id, entry.Description.LocalizedString[0].value) == ("x1", "A comment")


@pytest.mark.parametrize("actor", schema.ACTORS)
def test_every_reference_of_a_wsdl_is_served(actor):
    address = "https://xds.example/a&b"
    todo, seen = [schema.wsdl(actor, address)], set()
    while todo:
        for imported in etree.fromstring(todo.pop()).iter("{http://www.w3.org/2001/XMLSchema}import"):
            url = urlsplit(imported.get("schemaLocation"))
            assert url.geturl().startswith(f"{address}?xsd=")
            if url.query not in seen:
                seen.add(url.query)
                todo.append(schema.xsd(url.query.removeprefix("xsd="), address))
    assert "xsd=rim.xsd" in seen
    assert "xsd=rim-other.xsd" not in seen


def test_address_is_escaped():
    wsdl = etree.fromstring(schema.wsdl("DocumentRegistry", 'https://xds.example/"<a>&b'))
    assert (
        wsdl.find(".//{http://schemas.xmlsoap.org/wsdl/soap12/}address").get("location") == 'https://xds.example/"<a>&b'
    )


def test_unknown_names_are_refused():
    with pytest.raises(LookupError, match="no WSDL for 'Gateway'"):
        schema.wsdl("Gateway", "https://xds.example")
    with pytest.raises(LookupError, match="no schema is called"):
        schema.xsd("DocumentRegistry.wsdl", "https://xds.example")
