"""Fifty bodies and a dozen requests that mean harm, sent to a running service: no status of 500, none undocumented."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from automl_wf.deployment import Package

KEY = "a key for hostile requests"
GOOD = {"rows": [{"x": 1.5, "place": "north"}]}
USUAL = "application/json"


def row(x: str = "1.5", place: str = '"north"', more: str = "") -> bytes:
    """One row with cells as they are written here."""
    return f'{{"rows": [{{"x": {x}, "place": {place}{more}}}]}}'.encode("utf-8", "surrogatepass")


def rows(n: int) -> bytes:
    """Many good rows."""
    return json.dumps({"rows": GOOD["rows"] * n}).encode()


#: name → body, its Content-Type, and the statuses that are a sound answer.
BODIES: dict[str, tuple[bytes, str, set[int]]] = {
    # numbers that JSON does not have, or no computer holds
    "NaN": (row("NaN"), USUAL, {200}),
    "Infinity": (row("Infinity"), USUAL, {200}),
    "minus Infinity": (row("-Infinity"), USUAL, {200}),
    "1e999": (row("1e999"), USUAL, {200}),
    "minus 1e999": (row("-1e999"), USUAL, {200}),
    "smallest denormal": (row("5e-324"), USUAL, {200}),
    "largest double": (row("1.7976931348623157e308"), USUAL, {200}),
    "minus zero": (row("-0.0"), USUAL, {200}),
    "400 digits": (row("9" * 400), USUAL, {422}),
    "5000 digits": (row("9" * 5000), USUAL, {400}),
    "5000 decimals": (row("0." + "3" * 5000), USUAL, {200}),
    "leading zero": (row("01"), USUAL, {400}),
    "hexadecimal": (row("0x1F"), USUAL, {400}),
    "plus sign": (row("+1"), USUAL, {400}),
    "boolean for a number": (row("true"), USUAL, {200}),
    "number as text": (row('"1e0"'), USUAL, {200}),
    "digits of other scripts": (row('"١٢٣"'), USUAL, {200, 422}),
    # nesting
    "array 100,000 deep": (b"[" * 100_000, USUAL, {400}),
    "object 20,000 deep": (b'{"a":' * 20_000, USUAL, {400}),
    "closed array 50,000 deep": (b'{"rows":' + b"[" * 50_000 + b"]" * 50_000 + b"}", USUAL, {400, 422}),
    "deep cell": (row("[" * 500 + "]" * 500), USUAL, {422}),
    "cell is an object": (row('{"$ne": null}'), USUAL, {422}),
    "row is a row of rows": (b'{"rows": [[{"x": 1, "place": "a"}]]}', USUAL, {422}),
    # names
    "duplicate columns": (b'{"rows": [{"x": "bad", "x": 2, "place": "north"}]}', USUAL, {200}),
    "duplicate rows": (b'{"rows": 1, "rows": [{"x": 2, "place": "north"}]}', USUAL, {200}),
    "both forms": (b'{"rows": [{"x": 1, "place": "a"}], "columns": {"x": [1], "place": ["a"]}}', USUAL, {422}),
    "dunder names": (row(more=', "__class__": 1, "__proto__": {"a": 1}, "constructor": 1'), USUAL, {200}),
    "empty name": (row(more=', "": 1'), USUAL, {200}),
    "name of a megabyte": (row(more=f', "{"n" * 900_000}": 1'), USUAL, {200}),
    "ten thousand unknown columns": (row(more="".join(f', "c{i}": 0' for i in range(10_000))), USUAL, {200}),
    "lone surrogate in a name": (row(more=', "\\ud800": 1'), USUAL, {200, 422}),
    # text
    "lone surrogate": (row(place='"\\ud800"'), USUAL, {422}),
    "lone surrogate in raw bytes": (row(place='"\ud800"'), USUAL, {400, 422}),
    "surrogate pair": (row(place='"\\ud83d\\ude00"'), USUAL, {200}),
    "null character": (row(place='"a\\u0000b"'), USUAL, {200}),
    "raw control character": (row(place='"a\nb"'), USUAL, {400}),
    "right-to-left override": (row(place='"\\u202e\\u2066north"'), USUAL, {200}),
    "grows under NFKC": (row(place='"' + "\ufdfa" * 1000 + '"'), USUAL, {200}),
    "a thousand combining marks": (row(place='"a' + "\u0301" * 1000 + '"'), USUAL, {200}),
    "one character too many": (row(place='"' + "x" * 1025 + '"'), USUAL, {422}),
    "line ends for the log": (row(place='"\\r\\n{\\"level\\": \\"ERROR\\"}"'), USUAL, {200}),
    "a template": (row(place='"{{ 7 * 7 }}${jndi:ldap://x}%s%n"'), USUAL, {200}),
    # encodings
    "UTF-8 with a mark": (b"\xef\xbb\xbf" + row(), USUAL, {200, 400}),
    "UTF-16": (row().decode().encode("utf-16"), USUAL, {200, 400}),
    "UTF-32": (row().decode().encode("utf-32"), USUAL, {200, 400}),
    "Latin-1": (row(place='"Zürich"').decode().encode("latin-1"), USUAL, {400}),
    "overlong UTF-8": (b'{"rows": [{"x": 1, "place": "\xc0\xaf"}]}', USUAL, {400}),
    "compressed": (gzip.compress(row()), USUAL, {400}),
    # sizes and kinds
    "a row too many": (rows(1001), USUAL, {413}),
    "a body of two megabytes": (b" " * 2**21, USUAL, {413}),
    "blanks before nothing": (b" " * 1000, USUAL, {400}),
    "form": (b"rows=1", "application/x-www-form-urlencoded", {415}),
    "multipart": (b'--b\r\n\r\n{"rows": []}\r\n--b--', "multipart/form-data; boundary=b", {415}),
    "XML": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "application/xml", {415}),
    "pickle": (b"\x80\x04cposix\nsystem\n.", "application/octet-stream", {415}),
    "no media type": (row(), "", {415}),
    "media type of nonsense": (row(), ";;;,/json", {415}),
    "another character set": (row(), "application/json; charset=utf-7", {200, 400, 415}),
}


@dataclass(frozen=True)
class Service:
    """A running service."""

    port: int
    log: Path

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
        """Status, media type and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"X-API-Key": KEY, "Content-Type": USUAL, **named})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.headers.get_content_type(), content

    def send(self, request: bytes) -> bytes:
        """What comes back for bytes that may be no HTTP at all; nothing, if the connection is simply closed."""
        parts = []
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
            wire.sendall(request)
            with suppress(OSError):
                wire.shutdown(socket.SHUT_WR)
            while part := wire.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.fixture(scope="module")
def service(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MODEL_", "PYTHON"))}
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    settings = {**kept, "MODEL_PORT": str(port), "MODEL_API_KEY_HASHES": hashed, "PYTHONDONTWRITEBYTECODE": "1"}
    running = Service(port, tmp_path_factory.mktemp("log") / "log.jsonl")
    with running.log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "api"], cwd=package.path, env=settings, stdout=stream)
    try:
        wait_until_alive(running, process)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_alive(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            service.call("GET", "/healthz")
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the service did not start:\n{service.log.read_text()}")


@pytest.fixture(scope="module")
def documented(service: Service) -> dict[tuple[str, str], set[int]]:
    """Statuses by method and path, as /openapi.json has them."""
    paths: dict[str, dict[str, Any]] = json.loads(service.call("GET", "/openapi.json")[2])["paths"]
    return {
        (method.upper(), path): set(map(int, operation["responses"]))
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


def test_there_are_at_least_fifty_of_them() -> None:
    assert len(BODIES) >= 50
    assert len({body for body, _, _ in BODIES.values()}) >= 50


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body(service: Service, documented: dict[tuple[str, str], set[int]], name: str) -> None:
    body, media_type, expected = BODIES[name]
    status, answered, content = service.call("POST", "/v1/predict", body, Content_Type=media_type)
    assert status in expected, content[:300]
    assert status in documented["POST", "/v1/predict"]
    assert answered == ("application/json" if status == 200 else "application/problem+json")
    told = json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert len(content) < 5000
    assert status == 200 or told["status"] == status


def test_nobody_without_a_key_sees_anything_but_401(
    service: Service, documented: dict[tuple[str, str], set[int]]
) -> None:
    # /metrics asks for a key only where the operator wants it
    closed = [at for at, statuses in documented.items() if 401 in statuses and at[1] != "/metrics"]
    assert ("POST", "/v1/predict") in closed
    for key in ("", "wrong", "\u00e9" * 1000, KEY + " x", "null"):
        for method, path in closed:
            for body, media_type, _ in [*list(BODIES.values())[:30], BODIES["XML"]]:
                if method != "GET" and key in ("", "wrong"):
                    status, _, content = service.call(method, path, body, X_API_Key=key, Content_Type=media_type)
                    assert (status, b"north" in content) == (401, False)
            assert service.call(method, path, X_API_Key=key)[0] == 401


@pytest.mark.parametrize(
    "request_lines",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\r\n b: injected\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\nSet-Cookie: stolen=1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-ID: \x00\x01\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /../../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /%2e%2e/%2e%2e/etc/passwd%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
    ids=range(14),
)
def test_a_hostile_request(service: Service, request_lines: bytes) -> None:
    answer = service.send(request_lines)
    status = int(answer.split(None, 2)[1]) if answer else 0
    assert status < 500
    assert b"Set-Cookie" not in answer
    assert b"root:" not in answer
    assert service.call("GET", "/readyz")[0] == 200


def test_afterwards_it_predicts_as_before_and_has_nothing_to_regret(service: Service, package: Package) -> None:
    config = json.loads((package.path / "model/config.json").read_text())
    body = json.dumps({"rows": [config["self_test"]["row"]]}).encode()
    status, _, content = service.call("POST", "/v1/predict", body)
    assert status == 200
    assert json.loads(content)["predictions"] == [config["self_test"]["expected"]]
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    regrets = [line for line in lines if line["level"] in ("ERROR", "CRITICAL")]
    assert not regrets, regrets
    assert {line["status"] for line in lines if "status" in line} <= {200, 400, 401, 404, 405, 413, 415, 422}
