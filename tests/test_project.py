from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import project
from reconciler.errors import ManifestError, ProjectError
from reconciler.project import Policy, Project, QueueLimits
from tests.resolving import shown

SETTINGS = """\
version: 1
service: embedded                 # embedded | cloud | http://127.0.0.1:8787
bucket: demo-1250000000           # NAME-APPID
region: ap-chongqing
parallelism: 3
policy:
  prune: false
  max_changes: 40%
vars: {fps: 25, title: no}
environments:
  production: {service: cloud, bucket: prod-1250000000, policy: {prune: true}, vars: {fps: 30}}
  test: {service: "http://127.0.0.1:8787/"}
"""


def load(
    folder: Path,
    text: str = SETTINGS,
    *,
    environment: str | None = None,
    variables: tuple[str, ...] = (),
    **environ: str,
) -> Project:
    (folder / "reconciler.yaml").write_text(text, encoding="utf-8")
    return project.load(folder, environment=environment, variables=variables, environ=environ)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(folder, text)
    return [shown(problem) for problem in caught.value.diagnostics]


def test_the_file(tmp_path: Path) -> None:
    assert load(tmp_path) == Project(
        root=tmp_path,
        bucket="demo-1250000000",
        region="ap-chongqing",
        service="embedded",
        parallelism=3,
        policy=Policy(prune=False, max_changes="40%"),
        vars={"fps": 25, "title": "no"},
    )


def test_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, "version: 1\nbucket: demo-1250000000\nregion: ap-chongqing\n")
    assert (found.service, found.parallelism, found.policy, found.vars) == ("embedded", 4, Policy(), {})
    assert found.policy == Policy(prune=False, max_changes="50%", max_attempts=3, retries=2)
    assert (found.lockfile_key, found.guard_lease, found.visibility) == (None, 60, None)
    assert (found.requests_per_second, found.queues) == (None, {})


LIMITED = """\
version: 1
bucket: demo-1250000000
region: ap-chongqing
lockfile: bucket:state/reconciler.lock
guard_lease: 90
visibility: 2.5
requests_per_second: 10
queues:
  p2f0: {parallelism: 20, requests_per_second: 0.5}
  default: {parallelism: 2}
  idle:  {}
policy: {max_attempts: 5, retries: 0}
environments:
  production: {lockfile: "bucket:production.lock", queues: {p2f0: {parallelism: 7}}, policy: {retries: 9}}
"""


def test_where_the_lockfile_is_kept_and_what_is_given_to_the_service(tmp_path: Path) -> None:
    found = load(tmp_path, LIMITED)
    assert (found.lockfile_key, found.guard_lease, found.visibility) == ("state/reconciler.lock", 90, 2.5)
    assert found.requests_per_second == 10
    assert found.queues == {"p2f0": QueueLimits(20, 0.5), "default": QueueLimits(2), "idle": QueueLimits()}
    assert found.policy == Policy(max_attempts=5, retries=0)


def test_an_environment_has_its_own_lockfile_and_limits_queue_by_queue(tmp_path: Path) -> None:
    found = load(tmp_path, LIMITED, environment="production")
    assert found.lockfile_key == "production.lock"
    assert found.queues == {"p2f0": QueueLimits(7), "default": QueueLimits(2), "idle": QueueLimits()}
    assert found.policy == Policy(max_attempts=5, retries=9)


def test_limits_may_be_given_by_variables_of_the_environment(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        LIMITED,
        RECONCILER_LOCKFILE="bucket:ci.lock",
        RECONCILER_GUARD_LEASE="30.5",
        RECONCILER_VISIBILITY="0",
        RECONCILER_REQUESTS_PER_SECOND="0.25",
        RECONCILER_QUEUES="{p2f0: {parallelism: 1}, other: {requests_per_second: 3}}",
        RECONCILER_POLICY_MAX_ATTEMPTS="1",
        RECONCILER_POLICY_RETRIES="4",
    )
    assert (found.lockfile_key, found.guard_lease, found.visibility) == ("ci.lock", 30.5, 0)
    assert found.requests_per_second == 0.25
    assert found.queues == {
        "p2f0": QueueLimits(1),
        "default": QueueLimits(2),
        "idle": QueueLimits(),
        "other": QueueLimits(None, 3),
    }
    assert found.policy == Policy(max_attempts=1, retries=4)


def test_an_environment_overlays_the_file_key_by_key(tmp_path: Path) -> None:
    found = load(tmp_path, environment="production")
    assert (found.environment, found.service, found.bucket) == ("production", "cloud", "prod-1250000000")
    assert found.region == "ap-chongqing"
    assert found.policy == Policy(prune=True, max_changes="40%")
    assert found.vars == {"fps": 30, "title": "no"}


def test_variables_of_the_environment_beat_the_file_and_flags_beat_both(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        environment="production",
        variables=("fps=29.97", "new=no", "text=a: b: c", "list=[1, 2]", "empty="),
        RECONCILER_SERVICE="http://localhost:1",
        RECONCILER_BUCKET="ci-1250000001",
        RECONCILER_REGION="ap-beijing",
        RECONCILER_PARALLELISM="9",
        RECONCILER_POLICY_PRUNE="false",
        RECONCILER_POLICY_MAX_CHANGES="7",
        RECONCILER_VARS_FPS="50",
        RECONCILER_VARS_TITLE="12:30:45",
        RECONCILER_FFMPEG="/usr/bin/ffmpeg",
        RECONCILER_EMPTY="",
        OTHER="x",
    )
    assert (found.service, found.bucket, found.region) == ("http://localhost:1", "ci-1250000001", "ap-beijing")
    assert (found.parallelism, found.policy) == (9, Policy(prune=False, max_changes=7))
    assert found.vars == {
        "fps": 29.97,
        "title": "12:30:45",
        "new": "no",
        "text": "a: b: c",
        "list": [1, 2],
        "empty": None,
    }


def test_endpoints_are_merged_half_by_half(tmp_path: Path) -> None:
    text = (
        "version: 1\nbucket: demo-1250000000\nregion: ap-chongqing\n"
        "endpoints: {objects: 'https://media.example.com/', jobs: 'https://{bucket}.ci.{region}.tencentcos.cn'}\n"
        "environments: {inside: {endpoints: {objects: 'https://{bucket}.cos-internal.{region}.tencentcos.cn'}}}\n"
    )
    jobs = "https://{bucket}.ci.{region}.tencentcos.cn"
    assert load(tmp_path, text).endpoints == {"objects": "https://media.example.com", "jobs": jobs}
    inside = load(tmp_path, text, environment="inside").endpoints
    assert inside == {"objects": "https://{bucket}.cos-internal.{region}.tencentcos.cn", "jobs": jobs}
    given = load(tmp_path, text, RECONCILER_ENDPOINTS_JOBS="http://127.0.0.1:1").endpoints
    assert given == {"objects": "https://media.example.com", "jobs": "http://127.0.0.1:1"}


def test_the_environment_may_be_named_by_a_variable(tmp_path: Path) -> None:
    assert load(tmp_path, RECONCILER_ENV="test").service == "http://127.0.0.1:8787"
    assert load(tmp_path, environment="production", RECONCILER_ENV="test").service == "cloud"


def test_where_things_are(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.manifests_dir == tmp_path / "manifests"
    assert found.templates_dir == tmp_path / "templates"
    assert found.state_dir == tmp_path / ".reconciler"
    assert found.lockfile == tmp_path / "reconciler.lock"
    assert load(tmp_path, environment="production").lockfile == tmp_path / "reconciler.production.lock"


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"there is no reconciler\.yaml in") as caught:
        project.load(tmp_path, environ={})
    assert caught.value.advice == "run `reconciler init` to make a project, or name its folder with -C"


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "reconciler.yaml").mkdir()
    with pytest.raises(ProjectError, match="cannot be read: Is a directory"):
        project.load(tmp_path, environ={})


def test_everything_wrong_in_the_file_at_once(tmp_path: Path) -> None:
    text = (
        "version: 1\nservce: a\nservice: cluod\nbucket: Demo\nregion: 3\nparallelism: 0\n"
        "policy: {prune: yes, max_chnges: 3, max_changes: lots}\nvars: {a-b: 1}\n"
        "environments:\n  p: {servce: cloud, vars: 3}\n  'a b': {}\n"
    )
    summaries = [text.partition("\n")[0] for text in problems(tmp_path, text)]
    assert summaries == [
        "error: unknown key `servce`",
        "error: `service` must be embedded, cloud or an address such as http://127.0.0.1:8787",
        "error: `bucket` must be NAME-APPID, such as demo-1250000000",
        "error: `region` must be a text",
        "error: `parallelism` must be a whole number of at least 1",
        "error: `prune` must be true or false",
        "error: unknown key `max_chnges`",
        "error: `max_changes` must be a count, such as 20, or a share, such as 50%",
        "error: `vars` holds `a-b`, which is no name",
        "error: unknown key `servce`",
        "error: `vars` must be a mapping",
        "error: `a b` cannot be the name of an environment",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "error: the file is empty\n  --> reconciler.yaml:1:1\n   = begin with `version: 1`"),
        ("- a\n", "error: settings are a mapping of keys\n  --> reconciler.yaml:1:1"),
        ("bucket: demo-1250000000\n", "error: `version` is missing\n  --> reconciler.yaml:1:1"),
        (
            "version: 2\nwhatever: 1\n",
            "error: these settings are of version 2, and this program knows only version 1\n  --> reconciler.yaml:1:10\n   | version: 2\n   |          ^\n   = install a newer reconciler",
        ),
        ("version: x\n", "error: `version` must be 1\n  --> reconciler.yaml:1:10"),
        (
            "version: 1\nregion: ap-chongqing\n",
            "error: `bucket` is missing\n  --> reconciler.yaml:1:1\n   | version: 1\n   | ^\n   = write `bucket: demo-1250000000`, or set RECONCILER_BUCKET",
        ),
        ("version: 1\nbucket: demo-1250000000\n", "error: `region` is missing"),
        (
            "version: 1\nservice: cluod\n",
            "error: `service` must be embedded, cloud or an address such as http://127.0.0.1:8787\n  --> reconciler.yaml:2:10\n   | service: cluod\n   |          ^\n   = did you mean `cloud`?",
        ),
        ("version: 1\nservice: http://u:p@host\n", "error: `service` must be embedded, cloud or an address"),
        (
            "version: 1\nendpoints: {objects: media.example.com}\n",
            "error: `objects` must be an address\n  --> reconciler.yaml:2:22\n   | endpoints: {objects: media.example.com}\n   |                      ^\n   = write it as https://{bucket}.cos.{region}.myqcloud.com, in which {bucket} and {region} are filled in",
        ),
        ("version: 1\nendpoints: {jobs: 'https://{name}.x'}\n", "error: `jobs` must be an address"),
        ("version: 1\nendpoints: {object: a}\n", "error: unknown key `object`"),
        ("version: 1\npolicy: 3\n", "error: `policy` must be a mapping\n  --> reconciler.yaml:2:9"),
        ("version: 1\npolicy: {max_changes: 101%}\n", "error: `max_changes` must be a count"),
        ("version: 1\npolicy: {max_changes: -1}\n", "error: `max_changes` must be a count"),
        (
            "version: 1\nlockfile: shared.lock\n",
            "error: `lockfile` must be bucket:KEY\n  --> reconciler.yaml:2:11\n   | lockfile: shared.lock\n   |           ^\n   = write bucket:state/reconciler.lock, or leave it out to keep it in the project's folder",
        ),
        ("version: 1\nlockfile: 3\n", "error: `lockfile` must be a text"),
        (
            "version: 1\nqueues: {p1: {parallelism: 0}}\n",
            "error: `parallelism` must be a whole number of at least 1\n  --> reconciler.yaml:2:28",
        ),
        ("version: 1\nqueues: {p1: {paralelism: 3}}\n", "error: unknown key `paralelism`\n  --> reconciler.yaml:2:15"),
        ("version: 1\nqueues: {p1: 3}\n", "error: `p1` must be a mapping\n  --> reconciler.yaml:2:14"),
        ("version: 1\nqueues: {p1: }\n", "error: `p1` must be a mapping"),
        ("version: 1\nqueues: 3\n", "error: `queues` must be a mapping\n  --> reconciler.yaml:2:9"),
        ("version: 1\npolicy: {retries: -1}\n", "error: `retries` must be a whole number of at least 0"),
        (
            "version: 1\nenvironments: {p: {queues: {p1: {requests_per_second: 0}}}}\n",
            "error: `requests_per_second` must be a number above 0",
        ),
        ("version: 1\nenvironments: [a]\n", "error: `environments` must be a mapping\n  --> reconciler.yaml:2:15"),
        ("version: 1\n\tbucket: x\n", "error: not valid YAML: found a tab character that violates indentation"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert problems(tmp_path, text)[0].startswith(message)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "reconciler.yaml").write_bytes(b"version: \xff\n")
    with pytest.raises(ManifestError) as caught:
        project.load(tmp_path, environ={})
    assert caught.value.diagnostics[0].summary == "byte 0xff is not UTF-8"


@pytest.mark.parametrize(
    ("name", "advice"),
    [("productoin", "did you mean `production`?"), ("zzz", "known: `production`, `test`")],
)
def test_an_unknown_environment(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(ProjectError, match=f"there is no environment `{name}` in reconciler.yaml") as caught:
        load(tmp_path, environment=name)
    assert caught.value.advice == advice


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RECONCILER_PARALLELISM", "x", "must be a whole number of at least 1, not `x`"),
        ("RECONCILER_POLICY_MAX_CHANGES", "200%", "must be a count, such as 20, or a share, such as 50%, not `200%`"),
        (
            "RECONCILER_ENDPOINTS_JOBS",
            "x",
            "must be an address; write it as https://{bucket}.cos.{region}.myqcloud.com, in which {bucket} and {region} are filled in, not `x`",
        ),
        ("RECONCILER_POLICY_PRUNE", "yes", "must be true or false, not `yes`"),
        ("RECONCILER_GUARD_LEASE", "9", "must be a number of seconds of at least 10, not `9`"),
        (
            "RECONCILER_LOCKFILE",
            "a.lock",
            "must be bucket:KEY; write bucket:state/reconciler.lock, or leave it out to keep it in the project's folder, not `a.lock`",
        ),
        ("RECONCILER_POLICY_RETRIES", "no", "must be a whole number of at least 0, not `no`"),
        (
            "RECONCILER_SERVICE",
            "ftp://x",
            "must be embedded, cloud or an address such as http://127.0.0.1:8787, not `ftp://x`",
        ),
    ],
)
def test_a_wrong_variable_of_the_environment(tmp_path: Path, name: str, value: str, message: str) -> None:
    load(tmp_path)
    with pytest.raises(ProjectError) as caught:
        project.load(tmp_path, environ={name: value})
    assert str(caught.value) == f"the environment variable {name} {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("7", " must be a mapping, not `7`"),
        ("{p1: 7}", ": `p1` must be a mapping, not `7`"),
        ("{p1: {parallelism: none}}", ": `p1.parallelism` must be a whole number of at least 1, not `none`"),
        ("{p1: {paralelism: 7}}", ": `p1.paralelism` is not known; known are `parallelism`, `requests_per_second`"),
    ],
)
def test_a_wrong_variable_with_queues_says_what_is_wrong_inside(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(ProjectError) as caught:
        load(tmp_path, RECONCILER_QUEUES=value)
    assert str(caught.value) == f"the environment variable RECONCILER_QUEUES{message}"


@pytest.mark.parametrize("text", ["fps", "=3", "a-b=3"])
def test_a_wrong_flag(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProjectError, match=f"--var {text} is not NAME=VALUE") as caught:
        load(tmp_path, variables=(text,))
    assert caught.value.advice == "write --var fps=30"
