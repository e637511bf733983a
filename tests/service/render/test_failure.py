from __future__ import annotations

import pickle

from reconciler.service.render import failure
from reconciler.service.render.failure import RenderFailed


def test_a_failure_has_a_code_and_says_why() -> None:
    failed = RenderFailed(failure.INVALID_SOURCE, "a.mp4 is no film")
    assert (failed.code, failed.message, str(failed)) == ("InvalidSource", "a.mp4 is no film", "a.mp4 is no film")


def test_a_failure_travels_between_processes_with_its_code() -> None:
    came = pickle.loads(pickle.dumps(RenderFailed(failure.TIMEOUT, "too long")))
    assert type(came) is RenderFailed
    assert (came.code, str(came)) == ("Timeout", "too long")
