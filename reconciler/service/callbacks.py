"""Who is told that a job has ended, and in which words. Nothing is sent here.

Source: reference/jobs-queues-templates.md §13.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from lxml import etree

from reconciler.api import xml
from reconciler.api.messages import Callback, CallBackMqConfig, JobRequest
from reconciler.api.node import Node
from reconciler.api.queues import ON, TASK_FINISH, NotifyConfig
from reconciler.api.shape import children
from reconciler.api.user_data import user_text

Format = Literal["XML", "JSON"]
Means = Literal["url", "tdmq", "kafka"]

CONTENT_TYPES: Final[dict[Format, str]] = {"XML": "application/xml", "JSON": "application/json"}

_NO_CALLBACK: Final = "no"
_MEANS: Final[dict[str, Means]] = {"url": "url", "tdmq": "tdmq", "kafka": "kafka"}
_EVENTS: Final = frozenset({TASK_FINISH, "TransCodingFinish"})
"""The event and the name that it had once."""

_USER_DATA: Final = re.compile("<UserData>([^<]*)</UserData>")


class UndeliveredError(Exception):
    """A callback that was not taken. When ``final``, no later attempt will do better."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


@dataclass(frozen=True, slots=True)
class Target:
    """Where one callback goes.

    For ``url``, ``name`` is the address. For ``tdmq`` it is the queue's or topic's name, for ``kafka`` the topic's;
    ``place`` is then what the name is looked up in: the region, and with ``kafka`` the instance after it.
    """

    means: Means
    name: str
    format: Format = "XML"
    place: tuple[str, ...] = ()
    topic: bool = False

    @property
    def server(self) -> str:
        """What makes all of its callbacks slow when it is slow: the host with its port, or the message queue."""
        if self.means != "url":
            return self.means
        return self.name.split("/")[2].rpartition("@")[2].lower()

    def stored(self) -> str:
        """Return the target as text to keep."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, text: str) -> Target:
        """Return the target that was kept as ``text``."""
        fields = json.loads(text)
        return cls(**{**fields, "place": tuple(fields["place"])})


def target(request: JobRequest, notify: NotifyConfig | None) -> Target | None:
    """Return who hears of the end of a job: whom its request names, else whom its queue names, else nobody.

    An address in the request is taken as what it is, an address; the queue's type decides only about jobs that name
    none.
    """
    if request.call_back == _NO_CALLBACK:
        return None
    queue = notify if notify is not None and _is_on(notify) else NotifyConfig()
    means = _means(request.call_back_type or ("Url" if request.call_back else queue.type))
    form: Format = "JSON" if (request.call_back_format or queue.result_format) == "JSON" else "XML"
    named = _at(_own(request), means, form)
    return named or (_at(queue, means, form) if _means(queue.type) == means else None)


def _is_on(notify: NotifyConfig) -> bool:
    return notify.state == ON and not _EVENTS.isdisjoint(name.strip() for name in (notify.event or "").split(","))


def _means(name: str | None) -> Means:
    """Return what a type means; pages and SDKs spell it URL and Url."""
    return _MEANS.get((name or "").strip().lower(), "url")


def _own(request: JobRequest) -> NotifyConfig:
    """Return what a request says of its callback in the words of a queue."""
    message_queue = request.call_back_mq_config or CallBackMqConfig()
    return NotifyConfig(
        url=request.call_back,
        mq_mode=message_queue.mq_mode,
        mq_region=message_queue.mq_region,
        mq_name=message_queue.mq_name,
        kafka_config=request.call_back_kafka_config,
    )


def _at(config: NotifyConfig, means: Means, form: Format) -> Target | None:
    """Return the target of one means, when it is named."""
    if means == "url":
        return Target("url", config.url, form) if config.url else None
    if means == "tdmq":
        place = (config.mq_region or "",)
        return Target("tdmq", config.mq_name, form, place, config.mq_mode == "Topic") if config.mq_name else None
    kafka = config.kafka_config
    if kafka is None or not kafka.topic:
        return None
    return Target("kafka", kafka.topic, form, (kafka.region or "", kafka.instance_id or ""))


def body(jobs_detail: str, form: Format) -> bytes:
    """Return what is sent about a job, given the element ``JobsDetail`` that a query answers for it.

    Its UserData is the person's own text: the token behind it is for whoever asks for jobs.
    """
    told = _USER_DATA.sub(_own_user_data, jobs_detail)
    document = f"<Response><EventName>{TASK_FINISH}</EventName>{told}</Response>".encode()
    if form == "XML":
        return document
    return json.dumps(_told(xml.parse(document, "Response"), Callback), ensure_ascii=False).encode()


def _own_user_data(found: re.Match[str]) -> str:
    """Return the node without our token, and nothing of one that held nothing else."""
    text = user_text(found[1])  # escaped, which a token never needs to be
    return f"<UserData>{text}</UserData>" if text or not found[1] else ""


def _told(element: etree._Element, model: type[Node]) -> dict[str, Any]:
    """Tell an element in JSON, where every value is a string.

    A node that may be repeated is always a list; a text that may be – a key – is one only when there are several, as
    in the documents' samples.
    """
    said: dict[str, Any] = {}
    known = {child.tag: child for child in children(model)}
    for part in element:
        child = known[part.tag]
        said.setdefault(child.tag, []).append(_told(part, child.node) if child.node else part.text or "")
    return {tag: values if known[tag].node and known[tag].repeated else _lone(values) for tag, values in said.items()}


def _lone(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
