"""Wrong submissions: their values (docs/conformance.md G13-G20; ITI TF-3 4.2.3, 4.3.1)."""

from __future__ import annotations

import uuid
from dataclasses import replace

from tests.samples import code, link
from tests.wrong import (
    AUTHOR,
    CLASS_CODE,
    DOC,
    DOC_LINK,
    FOLDER,
    LIMITED_ENTRY,
    LIMITED_SET,
    LIST,
    ME,
    NO_SCHEME,
    RPLC,
    SET,
    TYPE_CODE,
    UNIQUE_ID,
    Wrong,
    add,
    also,
    classification,
    coded,
    doc,
    drop,
    edit,
    fold,
    identifier,
    node,
    put,
    registered_entry,
    remove,
    say,
    slot,
    slot_of,
    sset,
    twice,
    twice_with_ids,
)
from xds.metadata.attributes import OF, Optionality
from xds.metadata.model import Author, DocumentEntry, Folder, Identifier, LocalizedString, SubmissionSet
from xds.metadata.vocabulary import EMPTY_SHA1

REQUIRED = tuple(
    Wrong(
        f"G13 {kind.__name__}.{row.name} missing",
        make(**{row.field: () if row.many else None}),
        ME,
        (row.name, "missing"),
        at,
    )
    for kind, make, at in ((DocumentEntry, doc, "doc"), (SubmissionSet, sset, "set"), (Folder, fold, "folder"))
    for row in OF[kind]
    if row.stable is Optionality.REQUIRED and row.name != "patientId"
) + tuple(
    Wrong(f"G13 {name}.patientId missing", make(patient_id=None), ME, ("patientId", "missing"), at)
    for name, make, at in (("DocumentEntry", doc, "doc"), ("SubmissionSet", sset, "set"), ("Folder", fold, "folder"))
)

VALUES = (
    Wrong("G13 two classCodes", edit(coded(CLASS_CODE), twice_with_ids), ME, ("classCode", "more than once"), "doc"),
    Wrong("G13 two uniqueIds", edit(UNIQUE_ID, twice_with_ids), ME, ("uniqueId", "more than once"), "doc"),
    Wrong("G13 an empty hash slot", edit(f"{slot('hash')}//rim:Value", remove), ME, ("hash", "missing"), "doc"),
    Wrong(
        "G14 an empty creationTime",
        edit(f"{slot('creationTime')}//rim:Value", say(" ")),
        ME,
        ("creationTime", "empty"),
        "doc",
    ),
    Wrong("G15 two values of hash", edit(f"{slot('hash')}//rim:Value", twice), ME, ("hash", "2 values"), "doc"),
    Wrong("G15 two slots of one name", edit(slot("size"), twice), ME, ("slot size", "more than once"), "doc"),
    Wrong("G15 a hash of 39 digits", doc(hash=EMPTY_SHA1[1:]), ME, ("hash", "39"), "doc"),
    Wrong("G15 a hash of SHA-256", doc(hash="a" * 64), ME, ("hash", "64"), "doc"),
    Wrong("G15 a size in words", doc(size="large"), ME, ("size", "'large'"), "doc"),
    Wrong("G15 a negative size", doc(size="-1"), ME, ("size", "'-1'"), "doc"),
    Wrong("G15 a size in other digits", doc(size="\u0663"), ME, ("size",), "doc"),
    Wrong("G15 a size beyond everything", doc(size="9" * 40), ME, ("size", "999"), "doc"),
    Wrong("G15 a size of 2^63", doc(size=str(1 << 63)), ME, ("size", "9223372036854775808"), "doc"),
    Wrong(
        "G15 a time with a zone",
        doc(creation_time="20251117093045+0100"),
        ME,
        ("creationTime", "20251117093045+0100"),
        "doc",
    ),
    Wrong("G15 a time of 13 digits", doc(creation_time="2025111709304"), ME, ("creationTime", "13 digits"), "doc"),
    Wrong(
        "G15 the thirtieth of February", doc(service_start_time="20250230"), ME, ("serviceStartTime", "20250230"), "doc"
    ),
    Wrong("G15 hour 24", sset(submission_time="2025111724"), ME, ("submissionTime", "2025111724"), "set"),
    Wrong(
        "G15 an OID with a leading zero",
        doc(repository_unique_id="1.02.3"),
        ME,
        ("repositoryUniqueId", "1.02.3"),
        "doc",
    ),
    Wrong(
        "G15 an OID with its prefix",
        sset(source_id=Identifier("urn:oid:1.2.3")),
        ME,
        ("sourceId", "urn:oid:1.2.3"),
        "set",
    ),
    Wrong("G15 an OID of 65 characters", sset(unique_id=Identifier("1." + "2" * 63)), ME, ("uniqueId", "65"), "set"),
    Wrong(
        "G15 a Folder's uniqueId that is no OID",
        fold(unique_id=Identifier("urn:uuid:" + str(uuid.uuid4()))),
        ME,
        ("uniqueId",),
        "folder",
    ),
    Wrong("G15 a uniqueId with a space", doc(unique_id=Identifier("1.2.3 4")), ME, ("uniqueId", "1.2.3 4"), "doc"),
    Wrong("G15 an empty uniqueId", doc(unique_id=Identifier("")), ME, ("uniqueId", "empty"), "doc"),
    Wrong(
        "G15 a patientId without authority",
        doc(patient_id=Identifier("p1")),
        ME,
        ("patientId", "'p1'"),
        "doc",
        only=False,
    ),
    Wrong(
        "G15 a patientId with a namespace",
        doc(patient_id=Identifier("p1^^^HOSP&2.999.1.4&ISO")),
        ME,
        ("patientId", "HOSP"),
        "doc",
        only=False,
    ),
    Wrong(
        "G15 a patientId with a name",
        doc(patient_id=Identifier("p1^x^^&2.999.1.4&ISO")),
        ME,
        ("patientId", "p1^x"),
        "doc",
        only=False,
    ),
    Wrong(
        "G15 a sourcePatientId of type DNS",
        doc(source_patient_id="loc9^^^&example.org&DNS"),
        ME,
        ("sourcePatientId", "DNS"),
        "doc",
    ),
    Wrong("G15 a language in words", doc(language_code="Deutsch (CH)"), ME, ("languageCode", "Deutsch"), "doc"),
    Wrong("G15 a mimeType without subtype", doc(mime_type="text"), ME, ("mimeType", "'text'"), "doc"),
    Wrong("G15 a URI with a space", doc(uri="my file.xml"), ME, ("URI", "my file.xml"), "doc"),
    Wrong("G15 a title of 129 characters", doc(title=LocalizedString("x" * 129)), ME, ("title", "129", "128"), "doc"),
    Wrong(
        "G15 two titles", edit(f"{DOC}/rim:Name/rim:LocalizedString", twice), ME, ("title", "2 LocalizedStrings"), "doc"
    ),
    Wrong("G15 an empty Folder title", fold(title=LocalizedString("")), ME, ("title", "empty"), "folder"),
    Wrong("G15 homeCommunityId without prefix", doc(home="1.2.3"), ME, ("homeCommunityId", "1.2.3"), "doc"),
    Wrong(
        "G15 homeCommunityId of an association",
        also(replace(link("folder", "doc", id="in"), home="urn:oid:01.2"), link("set", "in")),
        ME,
        ("homeCommunityId", "urn:oid:01.2"),
        "in",
    ),
    Wrong(
        "G15 a legalAuthenticator without name",
        doc(legal_authenticator="^^Hans"),
        ME,
        ("legalAuthenticator", "^^Hans"),
        "doc",
    ),
    Wrong(
        "G15 a reference without type",
        doc(reference_id_list=("1^^^&1.2&ISO",)),
        ME,
        ("referenceIdList", "1^^^&1.2&ISO"),
        "doc",
    ),
    Wrong(
        "G15 an intendedRecipient of nobody", sset(intended_recipient=("||",)), ME, ("intendedRecipient", "'||'"), "set"
    ),
    Wrong(
        "G15 an unknown documentAvailability",
        doc(document_availability="Online"),
        ME,
        ("documentAvailability", "'Online'"),
        "doc",
    ),
    Wrong(
        "G15 a code without coding scheme",
        edit(f"{coded(CLASS_CODE)}/rim:Slot", remove),
        ME,
        ("classCode", "codingScheme"),
        "doc",
    ),
    Wrong(
        "G15 a code with two coding schemes",
        edit(f"{coded(CLASS_CODE)}/rim:Slot//rim:Value", twice),
        ME,
        ("classCode", "codingScheme", "2"),
        "doc",
    ),
    Wrong(
        "G15 a code with another slot",
        edit(coded(CLASS_CODE), add(slot_of("version", "1"))),
        ME,
        ("classCode", "'version'"),
        "doc",
    ),
    Wrong(
        "G15 a code without nodeRepresentation",
        edit(coded(TYPE_CODE), drop("nodeRepresentation")),
        ME,
        ("typeCode", "nodeRepresentation"),
        "doc",
    ),
    Wrong("G15 a code without Name", edit(f"{coded(TYPE_CODE)}/rim:Name", remove), ME, ("typeCode", "Name"), "doc"),
    Wrong(
        "G15 a code with an empty Name",
        edit(f"{coded(TYPE_CODE)}/rim:Name/*", put("value", "")),
        ME,
        ("typeCode", "Name"),
        "doc",
    ),
    Wrong(
        "G15 a Classification of another object",
        edit(coded(TYPE_CODE), put("classifiedObject", "set")),
        ME,
        ("classifiedObject", "'set'"),
        "doc",
    ),
    Wrong(
        "G15 an ExternalIdentifier of another object",
        edit(f"{DOC}/rim:ExternalIdentifier[1]", put("registryObject", "set")),
        ME,
        ("registryObject", "'set'"),
        "doc",
    ),
    Wrong(
        "G15 an ExternalIdentifier with another Name",
        edit(f"{DOC}/rim:ExternalIdentifier[1]//rim:LocalizedString", put("value", "patientId")),
        ME,
        ("'patientId'", "XDSDocumentEntry.patientId"),
        "doc",
    ),
    Wrong(
        "G15 an ExternalIdentifier of the SubmissionSet",
        edit(
            f"{DOC}/rim:ExternalIdentifier[1]",
            put("identificationScheme", "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"),
        ),
        ME,
        ("554ac39e",),
        "doc",
    ),
    Wrong(
        "G15 an unknown Classification scheme",
        edit(DOC, add(classification(NO_SCHEME, "doc"), 14)),
        ME,
        (NO_SCHEME,),
        "doc",
    ),
    Wrong(
        "G15 an association's ExternalIdentifier",
        edit(DOC_LINK, add(identifier("k", "a", "urn:x"), 1)),
        ME,
        ("ExternalIdentifier", "urn:x"),
    ),
    Wrong(
        "G16 an author who is nobody",
        doc(author=(Author(roles=("Attending",)),)),
        ME,
        ("author", "at least one"),
        "doc",
    ),
    Wrong(
        "G16 an authorPerson without name",
        doc(author=(Author(person="^^Hans"),)),
        ME,
        ("authorPerson", "^^Hans"),
        "doc",
    ),
    Wrong(
        "G16 an authorInstitution with an id and no authority",
        doc(author=(Author(institutions=("Nord^^^^^^^^^45",)),)),
        ME,
        ("authorInstitution", "45"),
        "doc",
    ),
    Wrong(
        "G16 an authorTelecommunication in words",
        doc(author=(Author(telecommunications=("a@example.org",)),)),
        ME,
        ("authorTelecommunication", "a@example.org"),
        "doc",
    ),
    Wrong(
        "G16 two authorPersons in one author",
        edit(f"{DOC}//rim:Slot[@name='authorPerson']//rim:Value", twice),
        ME,
        ("authorPerson", "2 values"),
        "doc",
    ),
    Wrong(
        "G16 an author's slot nobody knows",
        edit(coded(AUTHOR), add(slot_of("authorShoeSize", "44"))),
        ME,
        ("authorShoeSize",),
        "doc",
    ),
    Wrong(
        "G16 an author without nodeRepresentation",
        edit(coded(AUTHOR), drop("nodeRepresentation")),
        ME,
        ("author", "nodeRepresentation"),
        "doc",
    ),
    Wrong(
        "G16 sourcePatientInfo without PID",
        doc(source_patient_info=("PV1-3|x",)),
        ME,
        ("sourcePatientInfo", "PV1-3"),
        "doc",
    ),
    Wrong(
        "G16 two birth dates",
        doc(source_patient_info=("PID-7|1956", "PID-7|1957")),
        ME,
        ("sourcePatientInfo", "PID-7"),
        "doc",
    ),
    Wrong("G16 an unknown sex", doc(source_patient_info=("PID-8|X",)), ME, ("sourcePatientInfo", "PID-8|X"), "doc"),
    Wrong(
        "G16 start after stop",
        doc(service_start_time="20251118", service_stop_time="20251117235959"),
        ME,
        ("20251118", "20251117235959"),
        "doc",
    ),
    Wrong(
        "G17 limitedMetadata of a document",
        edit(DOC, add(node(LIMITED_ENTRY, "doc"), 14)),
        ME,
        ("limitedMetadata",),
        "doc",
    ),
    Wrong(
        "G17 limitedMetadata of the SubmissionSet, beside it",
        edit(LIST, add(node(LIMITED_SET, "set"))),
        ME,
        ("limitedMetadata",),
        "set",
    ),
    Wrong(
        "G17 limitedMetadata of a document, beside it",
        edit(LIST, add(node(LIMITED_ENTRY, "doc"))),
        ME,
        ("limitedMetadata",),
        "doc",
    ),
    *(
        Wrong(
            f"G18 {row.name} that is no code",
            doc(**{row.field: (code("x", "x", "1.2"),) if row.many else code("x", "x", "1.2")}),
            ME,
            (row.name, "'x'", "'1.2'"),
            "doc",
        )
        for row in OF[DocumentEntry]
        if row.codes and row.codes != "eventCodeList"
    ),
    Wrong(
        "G18 contentTypeCode that is no code",
        sset(content_type_code=code("x", "x", "1.2")),
        ME,
        ("contentTypeCode", "'x'"),
        "set",
    ),
    Wrong("G18 codeList that is no code", fold(code_list=(code("x", "x", "1.2"),)), ME, ("codeList", "'x'"), "folder"),
    Wrong(
        "G18 a code in other letters",
        doc(confidentiality_code=(code("n", "normal", "2.16.840.1.113883.5.25"),)),
        ME,
        ("confidentialityCode", "'n'"),
        "doc",
    ),
    Wrong(
        "G18 a code of another scheme",
        doc(class_code=code("18842-5", "Discharge summary", "2.16.840.1.113883.6.96")),
        ME,
        ("classCode", "18842-5", "2.16.840.1.113883.6.96"),
        "doc",
    ),
    Wrong(
        "G18 one of two codes",
        doc(confidentiality_code=(code("N", "normal", "2.16.840.1.113883.5.25"), code("x", "x", "1.2"))),
        ME,
        ("confidentialityCode", "'x'"),
        "doc",
    ),
    Wrong(
        "G18 a mimeType that is not listed",
        doc(mime_type="application/x-msdownload"),
        ME,
        ("application/x-msdownload",),
        "doc",
    ),
    Wrong(
        "G18 association documentation that is no code",
        lambda bench: also(link("doc", registered_entry(bench), RPLC, id="bad", documentation=code("x", "x", "1.2")))(
            bench
        ),
        ME,
        ("documentation", "'x'"),
        "bad",
    ),
    Wrong("G19 an unknown slot", edit(DOC, add(slot_of("colour", "red"))), ME, ("colour",), "doc"),
    Wrong(
        "G19 a slot of urn:ihe nobody defined",
        edit(SET, add(slot_of("urn:ihe:iti:2099:colour", "red"))),
        ME,
        ("urn:ihe:iti:2099:colour",),
        "set",
    ),
    Wrong(
        "G19 a document's slot on a Folder",
        edit(FOLDER, add(slot_of("creationTime", "2025"))),
        ME,
        ("creationTime",),
        "folder",
    ),
    Wrong(
        "G19 the SubmissionSet's slot on a document",
        edit(DOC, add(slot_of("submissionTime", "2025"))),
        ME,
        ("submissionTime",),
        "doc",
    ),
    Wrong(
        "G19 a slot of Metadata Update", edit(DOC_LINK, add(slot_of("PreviousVersion", "1"))), ME, ("PreviousVersion",)
    ),
    Wrong("G19 an unknown slot of an association", edit(DOC_LINK, add(slot_of("colour", "red"))), ME, ("colour",)),
    Wrong(
        "G20 another logicalID",
        doc(lid="urn:uuid:0c6dc2a0-0f6c-4f0a-8b9a-6f0a3d3b0002"),
        ME,
        ("lid", "0c6dc2a0"),
        "doc",
    ),
    Wrong("G20 another symbolic logicalID", fold(lid="elsewhere"), ME, ("lid", "elsewhere"), "folder"),
)
