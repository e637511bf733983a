"""Which outputs are up to date, told by a glance at each record: most are, and it has to cost little. Pure.

A part of ``plan``. Whatever this cannot tell is left to ``decisions``, which look closer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reconciler.fingerprint import fingerprint_of
from reconciler.state import Glanced, ObservedState, Output


class Settled:
    """Tells of one output after the other whether it is up to date; ``forced`` are made anew whatever their state."""

    def __init__(self, observed: ObservedState, forced: Collection[str]) -> None:
        self._glances = observed.glances
        self._objects = observed.objects
        self._pending = observed.pending
        self._refreshed = observed.refreshed
        self._forced = forced

    def __call__(self, output: Output) -> bool:
        """Tell whether an output is up to date; False when it takes a closer look."""
        address = output.address
        glance = self._glances.get(address)
        if (
            glance is None
            or glance.object != output.object
            or glance.protect is not output.protect
            or output.ignore_changes
            or address in self._pending
            or address in self._forced
        ):
            return False
        inputs = self._inputs(output, glance) if self._refreshed else glance.inputs
        return inputs is not None and fingerprint_of(output.digest, output.sources, inputs) == glance.fingerprint

    def _inputs(self, output: Output, glance: Glanced) -> Mapping[str, str] | None:
        """Return the ETag of every source; None when one is missing, or the object is not as it was made."""
        objects = self._objects
        there = objects.get(glance.object)
        if there is None or there.etag != glance.etag or there.size != glance.size:
            return None
        try:
            return {key: objects[key].etag for key in output.sources}
        except KeyError:
            return None
