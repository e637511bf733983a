"""Whatever carries a credential is told to nobody: no file, no object, no message of any command holds one."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.program import SETTINGS, drop_films, environment, make_project, run, serving
from tests.service.media import Films

SECRET_ID, SECRET_KEY, TOKEN = "AKIDplanted0id", "planted0key/+==", "planted0token/+=="
OTHER_KEY, PROXY, BROKER, ADDRESS = "planted0other0key", "planted0proxy", "planted0broker", "planted0address"
PLANTED = (SECRET_ID, SECRET_KEY, TOKEN, OTHER_KEY, PROXY, BROKER, ADDRESS)


def forms(secret: str) -> set[bytes]:
    """Return how a text may be written: as it is, in hexadecimal, Base64 and percent encoding."""
    raw = secret.encode()
    written = {
        secret,
        raw.hex(),
        raw.hex().upper(),
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
    }
    return {
        *(form.encode() for form in written),
        # Whatever stands before it, one of three alignments of Base64 holds it but for its ends.
        *(base64.b64encode(before + raw)[4:-4] for before in (b"", b"x", b"xx")),
        *(base64.urlsafe_b64encode(before + raw)[4:-4] for before in (b"", b"x", b"xx")),
    }


@dataclass
class Watch:
    """Everything that was said, and the folders that something may have been written to."""

    root: Path
    said: list[str] = field(default_factory=list)

    def run(self, project: Path, *words: str, expected: int = 0, env: dict[str, str]) -> str:
        status, out, err = run(project, *words, env=env)
        # Whose credentials are used is no secret, and doctor says it; anywhere else it has no business.
        self.said += (out.replace(SECRET_ID, "") if words[0] == "doctor" else out, err)
        assert status == expected, f"{words}: {out}{err}"
        return out + err

    def found(self) -> dict[str, list[str]]:
        """Return the secrets that can be found, each with where."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        places = {str(path.relative_to(self.root)): path.read_bytes() for path in files}
        places["names of files"] = "\n".join(places).encode()
        places["what was said"] = "\n".join(self.said).encode()
        return {
            secret: where
            for secret in PLANTED
            if (where := [place for place, text in places.items() if any(form in text for form in forms(secret))])
        }


CREDENTIALS = {
    "TENCENTCLOUD_SECRET_ID": SECRET_ID,
    "TENCENTCLOUD_SECRET_KEY": SECRET_KEY,
    "TENCENTCLOUD_SECURITY_TOKEN": TOKEN,
    "RECONCILER_MQ": f"amqp://someone:{BROKER}@127.0.0.1:1/",
    "HTTPS_PROXY": f"http://someone:{PROXY}@127.0.0.1:1",
}


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def test_the_forms_are_found() -> None:
    """What looks for secrets finds them: a search that never finds anything would always be content."""
    for form in forms(SECRET_KEY):
        assert form
    wrapped = base64.b64encode(f"key={SECRET_KEY};".encode())
    assert any(form in wrapped for form in forms(SECRET_KEY))
    assert any(form in quote(f"a {SECRET_KEY}", safe="").encode() for form in forms(SECRET_KEY))


@contextmanager
def signed(watch: Watch, films: Films) -> Iterator[Path]:
    """Run a service that checks signatures; give a project of it whose lockfile is in the bucket."""
    server = make_project(watch.root / "server")
    drop_films(server, films)
    with serving(server, "--verbose", env=environment(**CREDENTIALS), said=watch.said) as address:
        settings = f"{SETTINGS.replace('embedded', address)}lockfile: bucket:state/reconciler.lock\n"
        yield make_project(watch.root / "client", settings=settings)


def test_an_apply_on_a_signed_service(watch: Watch, films: Films) -> None:
    with signed(watch, films) as project:
        watch.run(project, "apply", "--yes", "--verbose", "--target", 'video["a"]', env=environment(**CREDENTIALS))
        other = environment(**{**CREDENTIALS, "TENCENTCLOUD_SECRET_KEY": OTHER_KEY})
        assert "SignatureDoesNotMatch" in watch.run(project, "plan", "--verbose", expected=1, env=other)
    assert watch.found() == {}


@pytest.mark.slow
def test_every_command_on_a_signed_service(watch: Watch, films: Films) -> None:
    env = environment(**CREDENTIALS)
    with signed(watch, films) as project:
        saved = str(project / "saved.plan")
        on_disk = (project / "reconciler.yaml").read_text().replace("lockfile: bucket:state/reconciler.lock\n", "")
        local = make_project(watch.root / "local", settings=on_disk)
        for words in (
            ("validate",),
            ("plan", "--out", saved),
            ("show", saved),
            ("apply", saved, "--verbose"),
            ("apply", "--yes", "--replace", "last", "--json", "--callback-listen", "127.0.0.1:0"),
            ("plan", "--json", "--verbose"),
            ("status", "--json"),
            ("show", "last", "--json"),
            ("state", "list"),
            ("state", "verify"),
            ("doctor", "--write"),
            ("doctor", "--json"),
        ):
            watch.run(project, *words, env=env)
        watch.run(local, "recover", "--yes", "--verbose", env=env)
        watch.run(local, "apply", "--yes", "--verbose", env=env)
        other = {**env, "TENCENTCLOUD_SECRET_KEY": OTHER_KEY}
        for words in (
            ("plan", "--verbose"),
            ("apply", "--yes", "--json"),
            ("status",),
            ("doctor",),
            ("unlock", "--yes"),
            ("recover", "--yes"),
        ):
            assert "SignatureDoesNotMatch" in watch.run(project, *words, expected=1, env=other)
        without_token = {**env, "TENCENTCLOUD_SECURITY_TOKEN": ""}
        watch.run(project, "plan", "--verbose", expected=1, env=without_token)
    assert watch.found() == {}


@pytest.mark.parametrize("words", [("plan", "--verbose"), ("doctor",)])
@pytest.mark.parametrize("proxy", ["http://someone:{}@127.0.0.1:1", "socks5://someone:{}@127.0.0.1:1", "someone:{}@h"])
def test_a_proxy_that_cannot_be_used(watch: Watch, proxy: str, words: tuple[str, ...]) -> None:
    env = environment(**{**CREDENTIALS, "HTTP_PROXY": proxy.format(PROXY), "HTTPS_PROXY": proxy.format(PROXY)})
    env |= {"http_proxy": env["HTTP_PROXY"], "https_proxy": env["HTTPS_PROXY"], "NO_PROXY": "", "no_proxy": ""}
    project = make_project(watch.root, settings=SETTINGS.replace("embedded", "http://media.example:8787"))
    watch.run(project, *words, expected=1, env=env)
    assert watch.found() == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECONCILER_SERVICE", f"http://someone:{ADDRESS}@127.0.0.1:8787"),
        ("RECONCILER_ENDPOINTS_OBJECTS", f"https://someone:{ADDRESS}@objects.example"),
        ("RECONCILER_ENDPOINTS_JOBS", f"https://someone:{ADDRESS}@jobs.example"),
    ],
)
def test_an_address_with_a_password_is_refused_without_it(watch: Watch, name: str, value: str) -> None:
    project = make_project(watch.root)
    said = watch.run(project, "plan", "--verbose", expected=1, env=environment(**{name: value}))
    assert name in said
    assert watch.found() == {}


def test_an_address_with_a_password_in_the_settings_is_refused_without_it(watch: Watch) -> None:
    project = make_project(watch.root, settings=SETTINGS.replace("embedded", f"http://someone:{ADDRESS}@127.0.0.1:1"))
    assert "reconciler.yaml:2" in watch.run(project, "plan", "--verbose", expected=1, env=environment())
    (project / "reconciler.yaml").unlink()  # which the person wrote
    assert watch.found() == {}


@pytest.mark.parametrize("broker", ["amqp://someone:{}@h:notaport/", "http://someone:{}@h/", "amqp://someone:{}@/"])
def test_a_broker_that_cannot_be_used(watch: Watch, broker: str) -> None:
    project = make_project(watch.root)
    env = environment(RECONCILER_MQ=broker.format(BROKER))
    watch.run(project, "serve", "--port", "0", "--verbose", expected=1, env=env)
    assert watch.found() == {}


@contextmanager
def parrot(status: int) -> Iterator[str]:
    """Run a server that answers with what it was sent, the headers with their credentials included."""

    class Handler(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            body = f"{self.requestline}\n{self.headers}".encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-cos-request-id", "parrot")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_server_that_repeats_what_it_was_sent(watch: Watch, status: int) -> None:
    with parrot(status) as address:
        project = make_project(watch.root, settings=SETTINGS.replace("embedded", address))
        for words in (("plan", "--verbose"), ("apply", "--yes", "--json"), ("doctor",)):
            watch.run(project, *words, expected=1, env=environment(**CREDENTIALS))
    assert watch.found() == {}
