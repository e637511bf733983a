"""``UserData`` as two parties write it: a person's own text, and behind it the token that finds the job again.

Whoever hears of a job has to tell the two apart: plans and observation, the service's callbacks, other people's
receivers.
"""

from __future__ import annotations

import re
from typing import Final

from reconciler.api.rules import USER_DATA_LENGTH

USER_DATA_MARK: Final = "reconciler:"
"""How the token that travels in a job's UserData begins; the fingerprint and a nonce follow."""

OWN_USER_DATA: Final = USER_DATA_LENGTH - len(" " + USER_DATA_MARK + "1:" + 40 * "f" + ":" + 16 * "0")
"""How long a person's own user data may be: the API's limit, less the token that is sent behind it."""

_TOKEN: Final = re.compile(rf"(?:^| )({USER_DATA_MARK}[0-9]+:[0-9a-f]{{40}}:[0-9a-f]{{16}})$")


def split_user_data(text: str) -> tuple[str, str]:
    """Split the ``UserData`` of a job into a person's own text and our token; either may be empty.

    What is sent is both, in this order, with a space between them.
    """
    found = _TOKEN.search(text)
    return (text[: found.start()], found[1]) if found else (text, "")


def user_text(user_data: str) -> str:
    """Return the person's own text in the ``UserData`` of a job, as their manifest has it."""
    return split_user_data(user_data)[0]


def fingerprint_in(token: str) -> str:
    """Return the fingerprint that a token carries."""
    return token.removeprefix(USER_DATA_MARK).rpartition(":")[0]
