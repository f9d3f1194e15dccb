# SPDX-License-Identifier: MIT
"""TLS clients that others wrote, with a TLS server behind proxyd: they notice nothing of it."""

import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys

import pytest

from support.certificates import make_certificate
from support.processes import DeadlineSeconds
from support.workspace import Port

Name = "blog.example.org"
Request = f"GET / HTTP/1.1\r\nHost: {Name}\r\nConnection: close\r\n\r\n"
TlsReceiver = pathlib.Path(__file__).parents[1] / "support" / "tls_receiver.py"


@pytest.fixture
def certificate(workspace):
    return make_certificate(workspace.path, Name)


@pytest.fixture
def proxyd(workspace, certificate):
    receiver = workspace.start(sys.executable, TlsReceiver, workspace.site("blog") / f"{Port}.sock", *certificate)
    receiver.wait_for_line("^ready$")
    return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))})


def run(*command, request=Request):
    program = command[0]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    result = subprocess.run(list(map(str, command)), input=request, capture_output=True, text=True,
                            timeout=DeadlineSeconds)
    return result.stdout + result.stderr


def assert_served(output, proxyd, index=0, name=Name):
    """The server saw the same client as proxyd, and the name that the client sent."""
    line = proxyd.access_line(index)
    assert (line["protocol"], line["name"], line["verdict"]) == ("tls", Name, "handed_over")
    served = re.findall(r"client (\S+) name (\S+) reused", output)
    assert served and served[index] == (line["client"], name), output


def test_curl(workspace, proxyd, certificate):
    output = run("curl", "-sS", "--cacert", certificate[0], "--resolve", f"{Name}:{Port}:{workspace.address}",
                 f"https://{Name}:{Port}/")
    assert_served(output, proxyd)


def test_openssl(workspace, proxyd, certificate):
    output = run("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", certificate[0],
                 "-connect", f"{workspace.address}:{Port}", "-servername", Name)
    assert_served(output, proxyd)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_with_a_hello_of_several_kilobytes(workspace, proxyd, version):
    protocols = ",".join(f"protocol-{number:0240}" for number in range(25))
    output = run("openssl", "s_client", "-quiet", version, "-connect", f"{workspace.address}:{Port}",
                 "-servername", Name, "-alpn", protocols)
    assert_served(output, proxyd)


def test_openssl_with_small_records(workspace, proxyd):
    output = run("openssl", "s_client", "-quiet", "-split_send_frag", "64", "-max_send_frag", "512",
                 "-connect", f"{workspace.address}:{Port}", "-servername", Name)
    assert_served(output, proxyd)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_its_session(workspace, proxyd, version):
    session = workspace.path / "session"
    connection = ["openssl", "s_client", "-ign_eof", version, "-connect", f"{workspace.address}:{Port}",
                  "-servername", Name]
    assert "reused no" in run(*connection, "-sess_out", session)
    assert "reused yes" in run(*connection, "-sess_in", session)


def test_gnutls(workspace, proxyd, certificate):
    output = run("gnutls-cli", "--x509cafile", certificate[0], "--sni-hostname", Name, "--verify-hostname", Name,
                 "--port", Port, workspace.address)
    assert_served(output, proxyd)


def test_nss(workspace, proxyd):
    request = workspace.path / "request"
    request.write_text(Request)
    output = run("tstclnt", "-D", "-o", "-f", "-A", request, "-h", workspace.address, "-p", Port, "-a", Name,
                 "-V", "tls1.2:tls1.3")
    assert_served(output, proxyd)


def test_python_reads_why_it_was_rejected(workspace, proxyd):
    context = ssl.create_default_context()
    connection = socket.create_connection((workspace.address, Port), DeadlineSeconds)
    workspace.close_at_end(connection)
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        context.wrap_socket(connection, server_hostname="elsewhere.example.org")


def test_curl_reads_why_it_was_rejected(workspace, proxyd):
    output = run("curl", "-sS", "-k", "--resolve", f"elsewhere.example.org:{Port}:{workspace.address}",
                 f"https://elsewhere.example.org:{Port}/")
    assert "unrecognized name" in output
