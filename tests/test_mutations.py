"""The tests notice when something is taken out on which it depends that nothing is made twice or lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

APPLYING = ("tests/test_apply.py", "tests/test_submitting.py", "tests/test_histories.py")
STORING = ("tests/test_histories.py", "tests/test_stores.py")
GUARDING = ("tests/test_guard.py",)


@dataclass(frozen=True)
class Mutation:
    """A change of one place of the package, and the tests one of which has to fail with it."""

    module: str
    text: str
    instead: str
    tests: tuple[str, ...]


MUTATIONS = {
    "an answer that was lost is not settled": Mutation(
        "submitting",
        "return await self._settle(submission, since=self._now()), slowed",
        "return None, slowed",
        APPLYING,
    ),
    "a submission of a dead process is not settled": Mutation(
        "submitting", "return doubtful, await self._settle(doubtful, since=since)", "return doubtful, None", APPLYING
    ),
    "any job is taken for ours": Mutation(
        "observe",
        "address = doubtful.get(token_of(job))",
        "address = next(iter(doubtful.values()), None)",
        ("tests/test_observe.py", *APPLYING),
    ),
    "the journal is not synced": Mutation(
        "stores", "            os.fsync(self._stream.fileno())\n", "", ("tests/test_histories.py",)
    ),
    "nobody waits until a job can be seen": Mutation(
        "submitting",
        "deadline = since + timedelta(seconds=self.pace.visibility)",
        "deadline = self._now()",
        APPLYING,
    ),
    "files are written in place": Mutation(
        "disk",
        'temporary = path.with_name(f".{path.name}.partial")',
        "temporary = path",
        ("tests/test_histories.py",),
    ),
    "no guard on this disk": Mutation("guard", "            lock.acquire()\n", "", GUARDING),
    "a part of the journal in the bucket is overwritten": Mutation(
        "stores", "put_object(key, content, forbid_overwrite=True)", "put_object(key, content)", STORING
    ),
    "the number of a part that is free again is used": Mutation(
        "stores", "if (await self._numbers())[-1:] != [self._last + 1]:", "if False:", STORING
    ),
    "the guard in the bucket is overwritten": Mutation(
        "guard",
        "put_object(self.key, _body(mine, self._now()), forbid_overwrite=True)",
        "put_object(self.key, _body(mine, self._now()))",
        GUARDING,
    ),
    "nobody looks whether the lease has ended": Mutation(
        "guard", "late = self._ticks() - self._renewed_at >= self._lease", "late = False", GUARDING
    ),
    "what an earlier version made is not recorded": Mutation(
        "apply",
        "await self._keep(action.address, self._record_of(action, begun, ended, key, stored))",
        "await self.lockfile.dropped(action.address)",
        APPLYING,
    ),
    "what is under way for what is gone is forgotten": Mutation(
        "submitting",
        "doubtful, job = await self.settle_earlier(action) or (None, None)",
        "doubtful, job = None, None",
        APPLYING,
    ),
    "nothing is written down before a submission": Mutation(
        "submitting", "            await self.lockfile.intend(draft)\n", "", APPLYING
    ),
}


def run_tests(folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run tests on the copy of the package in ``folder``."""
    for name in ("tests", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-q", "-x", "-m", "not slow"]
    return subprocess.run(
        [*command, *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def copy(folder: Path) -> None:
    shutil.copytree(ROOT / "reconciler", folder / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_what_is_taken_out_is_missed(tmp_path: Path, name: str) -> None:
    mutation = MUTATIONS[name]
    copy(tmp_path)
    module = tmp_path / "reconciler" / f"{mutation.module}.py"
    text = module.read_text(encoding="utf-8")
    assert text.count(mutation.text) == 1, "the mutation no longer fits the module"
    module.write_text(text.replace(mutation.text, mutation.instead), encoding="utf-8")
    ended = run_tests(tmp_path, mutation.tests)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout
    assert " failed" in ended.stdout


@pytest.mark.slow
def test_the_same_tests_hold_for_a_copy_that_is_left_alone(tmp_path: Path) -> None:
    copy(tmp_path)
    tests = tuple(dict.fromkeys(test for mutation in MUTATIONS.values() for test in mutation.tests))
    ended = run_tests(tmp_path, tests)
    assert ended.returncode == pytest.ExitCode.OK, ended.stdout


def test_every_mutation_fits() -> None:
    for name, mutation in MUTATIONS.items():
        text = (ROOT / "reconciler" / f"{mutation.module}.py").read_text(encoding="utf-8")
        assert text.count(mutation.text) == 1, name
