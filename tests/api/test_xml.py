"""The codec between messages and XML: order, absence, foreign elements, hostile bytes."""

from __future__ import annotations

import string
import types
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api import xml
from reconciler.api.messages import Job, JobRequest, JobsReply
from reconciler.api.node import Node
from reconciler.api.shape import UNSENDABLE

SMALLEST = (
    b"<Request><Operation><VideoSynthesis><SpliceInfo><Url>a</Url></SpliceInfo></VideoSynthesis>"
    b"<Output><Object>b</Object></Output></Operation></Request>"
)


def read_request(body: str) -> JobRequest:
    return xml.read(JobRequest, body.encode(), "Request")


def request_with(inner: str, *, synthesis: str = "") -> str:
    return (
        f"<Request><Operation><VideoSynthesis><SpliceInfo><Url>a</Url></SpliceInfo>{synthesis}</VideoSynthesis>"
        f"<Output><Object>b</Object></Output>{inner}</Operation></Request>"
    )


# Any message.

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda c: not UNSENDABLE.search(c)), min_size=1, max_size=20
).filter(lambda text: bool(text.strip()))
NUMBERS = st.decimals(-1_000_000, 1_000_000, places=3) | st.integers(0, 10**9).map(Decimal)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(-(10**9), 10**9),
    bool: st.booleans(),
    Decimal: NUMBERS,
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for what a field holds, absence excluded."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return values(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return st.one_of([values(option) for option in get_args(annotation) if option is not type(None)])
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        return st.lists(values(get_args(annotation)[0]), min_size=1, max_size=3).map(tuple)
    return SCALARS[annotation] if annotation in SCALARS else nodes(annotation)


@cache
def nodes(model: type[Node]) -> st.SearchStrategy[Any]:
    """Return a strategy for messages of a class, none of whose nodes is empty: the API reads those as absent."""

    def build() -> st.SearchStrategy[Any]:
        fields = model.model_fields.items()
        needed = {name: values(field.annotation) for name, field in fields if field.is_required()}
        optional = {name: values(field.annotation) for name, field in fields if not field.is_required()}
        built = st.fixed_dictionaries(needed, optional=optional)
        return built.filter(bool).map(lambda found: model(**found))

    return st.deferred(build)


@settings(max_examples=30, deadline=None)
@given(nodes(JobRequest))
def test_any_request_survives_xml(request: JobRequest) -> None:
    assert xml.read(JobRequest, xml.write(request, "Request"), "Request") == request


@settings(max_examples=20, deadline=None)
@given(nodes(JobRequest))
def test_any_request_survives_manifest_keys(request: JobRequest) -> None:
    assert JobRequest.model_validate(request.plain(), extra="forbid") == request


@settings(max_examples=15, deadline=None)
@given(nodes(JobsReply))
def test_any_reply_survives_xml(reply: JobsReply) -> None:
    assert xml.read(JobsReply, xml.write(reply, "Response"), "Response") == reply


# Reading.


def test_interleaved_sources_keep_their_order() -> None:
    names = [f"{number}.mp4" for number in range(12)]
    between = "".join(
        f"<SpliceInfo><Url>{name}</Url></SpliceInfo><KeepAudioTrack>true</KeepAudioTrack>" for name in names
    )
    request = read_request(request_with("", synthesis=between))
    assert [info.url for info in request.operation[0].video_synthesis.splice_info] == ["a", *names]


def test_children_may_come_in_any_order() -> None:
    body = (
        "<Request><Operation><Output><Object>b</Object></Output><VideoSynthesis><SpliceInfo><X>1</X><Url>a</Url>"
        "</SpliceInfo></VideoSynthesis></Operation><Tag>VideoSynthesis</Tag></Request>"
    )
    assert read_request(body).operation[0].video_synthesis.splice_info[0].x == 1


@pytest.mark.parametrize("tag", ["Url", "URL"])
def test_url_is_read_in_both_spellings_and_written_in_one(tag: str) -> None:
    request = read_request(SMALLEST.decode().replace("Url", tag))
    assert request.operation[0].video_synthesis.splice_info[0].url == "a"
    assert b"<Url>a</Url>" in xml.write(request, "Request")


@pytest.mark.parametrize(
    "inner",
    [
        "<Transcode/>",
        "<Transcode></Transcode>",
        "<Transcode> \n </Transcode>",
        "<Transcode><Video/></Transcode>",
        "<Transcode><Video><Crf></Crf><Height> </Height></Video></Transcode>",
        "<Transcode><Video><!-- nothing --></Video></Transcode>",
        "<Watermark/>",
        "<UserData/>",
        "<UserData>\n</UserData>",
        "<JobLevel></JobLevel>",
        "<CustomId>7</CustomId>",
        "<New><In><V9>1</V9></In></New>",
        "<?php echo ?>",
    ],
)
def test_empty_and_unknown_elements_are_absent(inner: str) -> None:
    assert read_request(request_with(inner)) == read_request(request_with(""))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ("<![CDATA[a & b]]>", "a & b"),
        ("a<!-- not this -->b", "ab"),
        (" keeps its spaces ", " keeps its spaces "),
        ("&#x6f14;示", "演示"),
    ],
)
def test_text(text: str, value: str) -> None:
    assert read_request(request_with(f"<UserData>{text}</UserData>")).operation[0].user_data == value


def test_other_encodings_are_read() -> None:
    text = '<?xml version="1.0" encoding="GB18030"?>' + request_with("<UserData>演示</UserData>")
    request = xml.read(JobRequest, text.encode("gb18030"), "Request")
    assert request.operation[0].user_data == "演示"


# What is wrong is said with its place.


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        ("<Request/>", "Request.Operation: is missing", 1),
        (
            "<Request>\n<Operation>\n<Output><Object>b</Object></Output></Operation></Request>",
            "Request.Operation[0].VideoSynthesis: is missing",
            2,
        ),
        (
            request_with("\n<Transcode>\n<Video>\n<Width>wide</Width></Video></Transcode>"),
            "Request.Operation[0].Transcode.Video.Width: wide is not a whole number",
            4,
        ),
        (
            request_with("\n<Transcode><Video><Fps>1/2</Fps></Video></Transcode>"),
            "Request.Operation[0].Transcode.Video.Fps: 1/2 is not a number",
            2,
        ),
        (
            request_with("", synthesis="\n<SpliceInfo>\n<Url>c</Url>\n<X>1.5</X></SpliceInfo>"),
            "Request.Operation[0].VideoSynthesis.SpliceInfo[1].X: 1.5 is not a whole number",
            4,
        ),
        (
            request_with("", synthesis="<KeepAudioTrack>yes</KeepAudioTrack>"),
            "Request.Operation[0].VideoSynthesis.KeepAudioTrack: yes: write true or false",
            1,
        ),
        (
            request_with(f"<JobLevel>{'9' * 5000}</JobLevel>"),
            f"Request.Operation[0].JobLevel: {'9' * 40}… is too large",
            1,
        ),
    ],
)
def test_a_value_that_does_not_fit(body: str, message: str, line: int) -> None:
    with pytest.raises(xml.XmlError) as caught:
        read_request(body)
    assert (str(caught.value), caught.value.line) == (message, line)


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        (b"", "not well-formed XML", 0),
        (b"   ", "not well-formed XML", 1),
        (b"{}", "not well-formed XML", 1),
        (b"<Request>", "not well-formed XML", 1),
        (b"<Request>\n<Tag>\n</Request>", "not well-formed XML", 3),
        (b"<Request>&nosuch;</Request>", "not well-formed XML", 1),
        (b"<Request>\x00</Request>", "not well-formed XML", 1),
        (b"<Request>\xff\xfe</Request>", "not well-formed XML", 1),
        (b'<?xml version="1.0" encoding="klingon"?><Request/>', "not well-formed XML", 1),
        (b"<x:Request/>", "not well-formed XML: Namespace prefix x on Request is not defined, line 1, column 11", 1),
        (b"<Response/>", "the root element is `Response`, expected `Request`", 1),
        (b"\n\n<request/>", "the root element is `request`, expected `Request`", 3),
        (b"<Request xmlns='urn:x'/>", "the root element is `{urn:x}Request`, expected `Request`", 1),
        (b"<!DOCTYPE Request><Request/>", "a document type is not allowed", 1),
        (
            b'<!DOCTYPE Request [<!ENTITY f SYSTEM "file:///etc/passwd">]><Request><Tag>&f;</Tag></Request>',
            "a document type is not allowed",
            1,
        ),
        (b'<!DOCTYPE Request SYSTEM "http://127.0.0.1:9/x.dtd"><Request/>', "a document type is not allowed", 1),
    ],
)
def test_hostile_documents(body: bytes, message: str, line: int) -> None:
    with pytest.raises(xml.XmlError) as caught:
        xml.read(JobRequest, body, "Request")
    assert str(caught.value).startswith(message)
    if line:
        assert caught.value.line == line


def test_a_billion_laughs_are_refused() -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    body = f'<!DOCTYPE Request [<!ENTITY l0 "ha">{entities}]><Request a="&l9;"><Tag>&l9;</Tag></Request>'
    with pytest.raises(xml.XmlError):
        read_request(body)


@pytest.mark.parametrize("tag", ["Operation", "x"])
def test_a_tower_of_elements_is_refused(tag: str) -> None:
    with pytest.raises(xml.XmlError, match=r"not well-formed XML: .*depth"):
        read_request(f"<Request>{f'<{tag}>' * 5000}{f'</{tag}>' * 5000}</Request>")


PIECES = st.lists(
    st.sampled_from(
        [
            *("<Request>", "</Request>", "<Operation>", "</Operation>", "<VideoSynthesis>", "</VideoSynthesis>"),
            *(
                "<SpliceInfo>",
                "</SpliceInfo>",
                "<Url>",
                "</Url>",
                "<X>",
                "</X>",
                "<Transcode/>",
                "<Output>",
                "</Output>",
            ),
            *(
                "<Object>b</Object>",
                "<![CDATA[",
                "]]>",
                "<!--",
                "-->",
                "&amp;",
                "&x;",
                "<?xml?>",
                "true",
                "12",
                " ",
                "é",
            ),
            *string.punctuation,
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | PIECES.map(str.encode) | PIECES.map(lambda text: f"<Request>{text}</Request>".encode()))
def test_garbage_raises_nothing_but_xml_error(body: bytes) -> None:
    try:
        request = xml.read(JobRequest, body, "Request")
    except xml.XmlError:
        return
    assert request.operation


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SMALLEST) - 1), st.binary(min_size=1, max_size=3))
def test_a_damaged_request_raises_nothing_but_xml_error(position: int, damage: bytes) -> None:
    try:
        request = xml.read(JobRequest, SMALLEST[:position] + damage + SMALLEST[position + 1 :], "Request")
    except xml.XmlError:
        return
    assert request.operation


# Writing.


def test_write_is_compact_and_pretty_is_indented() -> None:
    request = xml.read(JobRequest, SMALLEST, "Request")
    assert xml.write(request, "Request") == SMALLEST.replace(b"<Request>", b"<Request><Tag>VideoSynthesis</Tag>")
    lines = xml.pretty(request, "Request").splitlines()
    assert lines[:3] == ["<Request>", "  <Tag>VideoSynthesis</Tag>", "  <Operation>"]


def test_a_character_that_xml_cannot_carry_is_replaced() -> None:
    job = Job(job_id="j1", state="Failed", message="\x1b[31mInvalid\x00 data \ud800")
    written = xml.write(job, "JobsDetail")
    assert xml.read(Job, written, "JobsDetail").message == "\ufffd[31mInvalid\ufffd data \ufffd"


def test_an_empty_text_is_an_empty_element() -> None:
    assert xml.write(JobsReply(next_token=""), "Response") == b"<Response><NextToken></NextToken></Response>"
