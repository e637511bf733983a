from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.api import listings, xml
from reconciler.api.listings import Listed

OBJECT = (
    '<Contents><Key>{key}</Key><LastModified>2026-05-01T02:00:00.000Z</LastModified><ETag>"{etag}"</ETag>'
    "<Size>{size}</Size><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)
HEAD = "<ListBucketResult><Name>b-1</Name><Prefix>in%2F</Prefix><Marker/><IsTruncated>false</IsTruncated>"
END = "</ListBucketResult>"


def entry(key: str = "a", etag: str = "e", size: str = "1") -> str:
    return OBJECT.format(key=key, etag=etag, size=size)


def outcome(read: object, body: bytes) -> object:
    assert callable(read)
    try:
        return read(body)
    except ValueError as error:
        return str(error)


def columns(found: object) -> object:
    """What was read, whatever kind of sequence holds it."""
    if not isinstance(found, Listed):
        return found
    return list(found.keys), list(found.etags), list(found.sizes), found.next_marker


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
encoded = st.one_of(
    names.map(lambda key: quote(key, safe="-_.~")),
    names.map(quote),
    st.text("ab%2F0E4B8+~é", min_size=1, max_size=9),  # escapes that are none, or of no UTF-8
    names.map(xml.escaped),
)
entries = st.builds(
    OBJECT.format,
    key=encoded,
    etag=st.text("0af-é &;", max_size=5).map(xml.escaped),
    size=st.one_of(st.integers(0, 2**63).map(str), st.sampled_from(["", " 7", "07", "x", "٣", "1_0"])),
)
others = st.sampled_from(
    [
        "",
        " ",
        "\n",
        "text",
        "<Contents><Key>z</Key></Contents>",
        "<Contents/>",
        "<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>",
        "<Odd>",
        "</Odd>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?x",
        "?>",
        "<IsTruncated>true</IsTruncated>",
        "<NextMarker>a%2Fb</NextMarker>",
        "<Prefix>]]></Prefix>",
        "\x01",
        "&amp;",
        "&odd;",
    ]
)


@given(
    head=st.sampled_from([HEAD, "<ListBucketResult>", "<?xml version='1.0'?>\n" + HEAD, "<Other>", ""]),
    pieces=st.lists(st.one_of(entries, others), max_size=5),
    end=st.sampled_from([END, END + "\n", "<IsTruncated>true</IsTruncated><NextMarker>x</NextMarker>" + END, ""]),
)
@example(HEAD, ["<Odd>", entry(), "</Odd>"], END)
@example(HEAD, ["<!--", entry(), "-->"], END)
@example(HEAD, [entry(), "<Contents><Key>z</Key></Contents>"], END)
@example(HEAD, [entry(), "<Contents><Key>z</Key></Contents>", entry("b")], END)
@example(HEAD, [entry(), "<Odd>", entry("b")], END)
@example(HEAD, [entry(), "<Odd>"], END)
@example(HEAD, ["<Contents/>", entry()], END)
@example(HEAD, [entry("a%00b"), entry("%2500"), entry("%E4"), entry("%B8%AD")], END)
def test_a_page_reads_the_same_whichever_way(head: str, pieces: list[str], end: str) -> None:
    body = (head + "".join(pieces) + end).encode()
    assert columns(outcome(listings.read, body)) == columns(outcome(listings._parsed, body))


@given(st.lists(st.tuples(names, st.text("0123456789abcdef", min_size=1), st.integers(0, 2**50)), min_size=1))
def test_a_page_of_the_usual_shape_is_not_parsed_object_by_object(rows: list[tuple[str, str, int]]) -> None:
    objects = "".join(entry(quote(key, safe="-_.~"), etag, str(size)) for key, etag, size in rows)
    found = listings._cut(f"{HEAD}{objects}{END}".encode())
    assert columns(found) == (*map(list, zip(*rows, strict=True)), None)


def test_the_quotes_of_an_etag_may_be_escaped() -> None:
    page = f"{HEAD}{entry().replace(chr(34), '&quot;')}{END}".encode()
    assert columns(listings._cut(page)) == columns(listings._parsed(page)) == (["a"], ["e"], [1], None)


def test_a_page_of_more_than_the_api_gives_is_parsed_whole() -> None:
    page = f"{HEAD}{entry() * 1001}{END}".encode()
    assert listings._cut(page) is None
    assert len(listings.read(page).keys) == 1001


@pytest.mark.parametrize(
    ("end", "marker"),
    [
        ("<IsTruncated>true</IsTruncated><NextMarker>a%2Fb</NextMarker>", "a/b"),
        ("<IsTruncated>true</IsTruncated>", ""),
        ("<IsTruncated>false</IsTruncated><NextMarker>a</NextMarker>", None),
        ("", None),
    ],
)
def test_where_the_next_page_starts(end: str, marker: str | None) -> None:
    for objects in ("", entry()):
        page = f"<ListBucketResult>{objects}{end}{END}".encode()
        assert listings.read(page).next_marker == marker


@pytest.mark.parametrize("body", [b"", b"not xml", b"<Other/>", b"<!DOCTYPE a><ListBucketResult/>"])
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML|root|document type"):
        listings.read(body)
