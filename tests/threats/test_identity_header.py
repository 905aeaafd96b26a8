"""What the application is told about its caller is what the handshake said, and nothing else."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.certs import Leaf
from tests.e2e.clients import Http, Response, request, secure
from tests.e2e.harness import Sidecar, Site, spiffe
from tests.threats.kit import ask, weak

ID = spiffe("frontend")
FIELD = "x-forwarded-client-cert"
ADMIN = f"URI={spiffe('admin')}"


def told(answer: Response) -> dict[str, list[str]]:
    """The fields that reached the application, under the names by which some servers know them."""
    assert answer.status == 200, answer
    found: dict[str, list[str]] = {}
    for name, value in json.loads(answer.body)["fields"]:
        found.setdefault(name.lower().replace("_", "-").replace(".", "-"), []).append(value)
    return found


def pairs(value: str) -> list[tuple[str, str]]:
    """Envoy's grammar, read by somebody else: `;` and `=` count outside of quotes only."""
    found, key, text, quoted, escaped = [], "", "", False, False
    for char in value + ";":
        if escaped:
            text, escaped = text + char, False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif quoted or char not in ";=,":
            text += char
        elif char == "=" and not key:
            key, text = text, ""
        else:
            assert char == ";", value
            found.append((key, text))
            key, text = "", ""
    assert not quoted
    return found


def check(answer: Response, leaf: Leaf) -> dict[str, str]:
    """There is one field, and it is about the certificate that was shown."""
    (value,) = told(answer)[FIELD]
    found = pairs(value)
    keys = [key for key, _ in found]
    assert keys[:4] == ["By", "Hash", "Subject", "URI"]
    assert set(keys[4:]) <= {"DNS"}
    facts = dict(found)
    assert facts["URI"] == ID
    assert facts["By"] == spiffe("web")
    assert facts["Hash"] == leaf.cert.fingerprint(leaf.cert.signature_hash_algorithm).hex()  # type: ignore[arg-type]  # P-256: it has one
    return facts


@pytest.mark.parametrize(
    "subject",
    [
        "somebody",
        f'x";{ADMIN};By="',
        f"x;{ADMIN}",
        f"x,{ADMIN}",
        "x\r\nx-evil: 1",
        "x\0y",
        "x\\",
        'x\\";URI=admin;"',
        "Zoë %22 %0d%0a",
    ],
)
def test_threat_07_a_subject_that_would_like_to_be_a_header(
    server: Sidecar, site: Site, subject: str
) -> None:
    """CVE-2023-27493: text of a certificate ends neither its value nor the field."""
    names = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    name = x509.Name([x509.NameAttribute(oid, subject[:64]) for oid in names])
    leaf = site.ca.leaf(ID, subject=name, dns=["web.demo.local"])
    answer = ask(server, leaf)
    facts = check(answer, leaf)
    assert facts["DNS"] == "web.demo.local"
    assert "x-evil" not in told(answer)


SPOOFS = {
    "once": f"{FIELD}: {ADMIN}\r\n",
    "twice": f"{FIELD}: {ADMIN}\r\n{FIELD}: {ADMIN}\r\n",
    "capitals": f"X-Forwarded-Client-Cert: {ADMIN}\r\n",
    "underscores": f"X_Forwarded_Client_Cert: {ADMIN}\r\n",
    "some underscores": f"X-Forwarded_Client-Cert: {ADMIN}\r\n",
    "dots": f"X.Forwarded.Client.Cert: {ADMIN}\r\n",
    "named by Connection": f"{FIELD}: {ADMIN}\r\nConnection: {FIELD}\r\n",
    "only named by Connection": f"Connection: keep-alive, {FIELD}\r\n",
    "empty": f"{FIELD}:\r\n",
}


@pytest.mark.parametrize("name", SPOOFS)
def test_threat_08_a_caller_that_says_who_it_is(server: Sidecar, site: Site, name: str) -> None:
    """CVE-2022-31813, CVE-2024-45806: spoofed, doubled, respelled, or removed by `Connection`."""
    leaf = site.leaf("frontend")
    answer = ask(server, leaf, fields=SPOOFS[name])
    check(answer, leaf)
    assert "admin" not in answer.body.decode()


def test_threat_08_in_a_trailer(server: Sidecar, site: Site) -> None:
    leaf = site.leaf("frontend")
    body = f"2\r\nhi\r\n0\r\n{FIELD}: {ADMIN}\r\nX_Forwarded_Client_Cert: {ADMIN}\r\n\r\n"
    with Http(secure(server.port("open"), weak(leaf))) as http:
        answer = http.ask(request("POST", "/", "transfer-encoding: chunked\r\n") + body.encode())
    check(answer, leaf)
    assert "admin" not in answer.body.decode()


def test_threat_08_in_a_second_request_on_the_connection(server: Sidecar, site: Site) -> None:
    leaf = site.leaf("frontend")
    with Http(secure(server.port("open"), weak(leaf))) as http:
        check(http.get("/"), leaf)
        check(http.get("/", SPOOFS["once"]), leaf)
        check(http.get("/"), leaf)


def test_threat_25_fields_that_come_more_than_once_decide_nothing(
    server: Sidecar, site: Site
) -> None:
    """CVE-2020-25017. No rule looks at a field, so none can be misled by its second value."""
    leaf = site.leaf("frontend")
    answer = ask(server, leaf, fields="x-role: guest\r\nx-role: admin\r\nx-role:\r\n")
    assert told(answer)["x-role"] == ["guest", "admin", ""]
    check(answer, leaf)
