"""Webhooks: signed, to public or allowed addresses only, to the address that was checked, and nowhere else."""

import hashlib
import hmac
import http.server
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shopkeeper.doors.webhook import ID, SIGNATURE, Sender, allowed
from shopkeeper.errors import BadInput
from shopkeeper.warehouse import delivery

HERE = [ip_network("127.0.0.0/8")]
SECRET = b"k" * 32


class Receiver(http.server.BaseHTTPRequestHandler):
    """A real server that keeps what it gets and answers as it is told."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.status in (301, 307):
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    """A function that starts a server on loopback."""
    running = []

    def start(status=200, context=None):
        server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
        server.status, server.got = status, []
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def address(server, host="127.0.0.1", path="/hook?a=1", scheme="http"):
    return f"{scheme}://{host}:{server.server_address[1]}{path}"


@pytest.mark.parametrize("one", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::1"])
def test_no_address_that_is_not_public_is_allowed_unless_named(one):
    assert not allowed(one)
    assert allowed("8.8.8.8")
    assert allowed("2606:4700::1111")


def test_an_allowed_network_allows_what_is_in_it_and_nothing_else():
    networks = [ip_network("10.0.0.0/24"), ip_network("fc00::/64")]

    assert allowed("10.0.0.7", networks)
    assert allowed("::ffff:10.0.0.7", networks)
    assert allowed("fc00::5", networks)
    assert not allowed("10.0.1.7", networks)
    assert not allowed("127.0.0.1", networks)


def test_loopback_is_refused_by_default_before_anything_is_sent(receiver):
    server = receiver()

    with pytest.raises(BadInput) as refused:
        Sender(SECRET)(address(server, "localhost"), b"{}", "a")

    assert refused.value.text() == (
        "localhost is at 127.0.0.1, where no webhook may go.\n"
        "  Try:  in shop.toml: [trends] allow_webhooks = [\"127.0.0.1\"]\n"
        "  Why:  an address of a private network could be anything that trusts this machine."
    ) or "localhost is at ::1" in refused.value.text()
    assert server.got == []


def test_what_is_allowed_arrives_signed_under_its_id(receiver):
    server = receiver(204)
    body = b'{"rule": "\xe4\xb8\xad"}'

    assert Sender(SECRET, HERE)(address(server), body, "abc") is None

    path, headers, got = server.got[0]
    second, mac = headers[SIGNATURE].removeprefix("t=").split(",v1=")
    assert (path, got, headers[ID]) == ("/hook?a=1", body, "abc")
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == f"127.0.0.1:{server.server_address[1]}"
    assert hmac.new(SECRET, second.encode() + b"." + body, hashlib.sha256).hexdigest() == mac
    assert abs(int(second) - datetime.now(UTC).timestamp()) < 60


def test_a_name_is_resolved_once_and_the_checked_address_is_what_is_connected_to(receiver):
    server, asked = receiver(), []

    def rebinding(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.66.66.66"]

    sender = Sender(SECRET, HERE, resolver=rebinding)

    assert sender(address(server, "hooks.example.com"), b"{}", "a") is None
    assert asked == ["hooks.example.com"]
    assert server.got[0][1]["Host"].startswith("hooks.example.com:")
    with pytest.raises(BadInput, match=r"hooks\.example\.com is at 10\.66\.66\.66"):
        sender(address(server, "hooks.example.com"), b"{}", "a")
    assert len(server.got) == 1


def test_a_name_with_one_address_that_is_not_allowed_is_refused_whatever_the_others_are(receiver):
    server = receiver()

    with pytest.raises(BadInput, match=r"is at 10\.0\.0\.1"):
        Sender(SECRET, HERE, resolver=lambda host, port: ["127.0.0.1", "10.0.0.1"])(address(server), b"{}", "a")

    assert server.got == []


@pytest.mark.parametrize("status, said", [(500, "answered 500"), (404, "answered 404"),
                                          (301, "answered 301; redirects are not followed"),
                                          (307, "answered 307; redirects are not followed")])
def test_any_answer_but_a_good_one_is_a_fault_and_redirects_lead_nowhere(receiver, status, said):
    server = receiver(status)

    assert Sender(SECRET, HERE)(address(server), b"{}", "a") == said
    assert len(server.got) == 1


def test_a_closed_port_and_a_name_that_is_not_there_are_faults_to_try_again():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    assert "refused" in Sender(SECRET, HERE)(f"http://127.0.0.1:{port}/", b"{}", "a")
    assert Sender(SECRET, resolver=unknown)("http://no.example/", b"{}", "a") == (
        "the name cannot be resolved: Name or service not known")


def test_a_receiver_that_drips_for_ever_is_left_in_time(monkeypatch):
    monkeypatch.setattr(delivery, "WHOLE", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def drip():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"HTTP/1.1 200 OK\r\n"[:1])
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        fault = Sender(SECRET, HERE)(f"http://127.0.0.1:{listening.getsockname()[1]}/", b"{}", "a")
        stop.set()
        thread.join()

    assert fault is not None


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "http://", "http://a:b@example.com/",
                                 "http://example.com/\r\nX: y", "http://example.com:0/", "http://example.com:99999/",
                                 "//example.com/", "http://exa mple.com/", "http://[::1"])
def test_an_address_of_another_form_is_refused(url):
    with pytest.raises(BadInput, match="is no address of a webhook"):
        Sender(SECRET, HERE)(url, b"{}", "a")


def certificate(folder, name):
    """A certificate of a name that signs itself: a context for the server, one that trusts it for the client."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256()))
    file = folder / "both.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def test_https_asks_for_the_certificate_of_the_name_and_not_of_the_address(receiver, tmp_path):
    context, trust = certificate(tmp_path, "hooks.example.com")
    server = receiver(200, context)

    def send(host, trusting):
        sender = Sender(SECRET, HERE, resolver=lambda host, port: ["127.0.0.1"], trust=trusting)
        return sender(address(server, host, scheme="https"), b"{}", "a")

    assert send("hooks.example.com", trust) is None
    assert "CERTIFICATE_VERIFY_FAILED" in send("other.example.com", trust)
    assert "CERTIFICATE_VERIFY_FAILED" in send("hooks.example.com", None)
    assert len(server.got) == 1
