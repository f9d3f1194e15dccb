#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes client_hello/*.bin again: runs real TLS clients against a server that takes the hello and closes.

usage: capture_client_hellos.py [NAME...]    (all if no NAME is given; a client that isn't there is skipped)

What each file is for stands in README.md, what must be read from it in client_hello/expected.txt.
"""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client_hello")
DEADLINE_S = 20
NAME = "blog.example.org"
LONGEST_NAME = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])  # 253 bytes

JAVA_CLIENT = """
import javax.net.ssl.*;
import java.util.List;
class Client {
    public static void main(String[] arguments) throws Exception {
        SSLSocket socket = (SSLSocket) SSLSocketFactory.getDefault()
            .createSocket("127.0.0.1", Integer.parseInt(arguments[0]));
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setServerNames(List.of(new SNIHostName("%s")));
        parameters.setApplicationProtocols(new String[] {"h2", "http/1.1"});
        socket.setSSLParameters(parameters);
        try { socket.startHandshake(); } catch (java.io.IOException expected) { }
    }
}
""" % NAME

NODE_CLIENT = ("require('tls').connect({port: {port}, host: '127.0.0.1', servername: '%s', %s})"
               ".on('error', () => {})")


def openssl(*options, name=NAME):
    return ["openssl", "s_client", "-connect", "127.0.0.1:{port}", *(["-servername", name] if name else []), *options]


def gnutls(*options, priority="NORMAL"):
    return ["gnutls-cli", "--insecure", "--port", "{port}", "--priority", priority, *options, "127.0.0.1"]


def nss(*options):
    return ["tstclnt", "-h", "127.0.0.1", "-p", "{port}", "-D", "-o", "-Q", *options]


def curl(*options):
    return ["curl", "--silent", "--insecure", "--resolve", NAME + ":{port}:127.0.0.1", *options,
            "https://" + NAME + ":{port}/"]


def node(options):
    return ["node", "-e", NODE_CLIENT % (NAME, options)]


def kubectl(*options):
    return ["kubectl", "--server=https://127.0.0.1:{port}", "--insecure-skip-tls-verify", "--kubeconfig=/dev/null",
            "--token=none", *options, "get", "--raw", "/"]


CLIENTS = {
    "openssl_default": openssl(),
    "openssl_no_name": openssl("-noservername", name=None),
    "openssl_tls10": openssl("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    "openssl_tls12_alpn": openssl("-tls1_2", "-alpn", "h2,http/1.1"),
    "openssl_tls13_alpn": openssl("-tls1_3", "-alpn", "h2,http/1.1"),
    "openssl_many_groups": openssl("-groups", "P-256:X25519:P-384:P-521:X448:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe8192"),
    "openssl_many_protocols": openssl("-alpn", ",".join("protocol-%02d" % i for i in range(40))),
    "openssl_upper_case_name": openssl(name="BLOG.Example.ORG"),
    "openssl_trailing_dot": openssl(name=NAME + "."),
    "openssl_longest_name": openssl(name=LONGEST_NAME),
    "openssl_too_long_name": openssl(name=LONGEST_NAME + "d"),
    "openssl_ipv4_name": openssl(name="192.0.2.1"),
    "openssl_path_name": openssl(name="../../etc/passwd"),
    "gnutls_default": gnutls("--sni-hostname", NAME),
    "gnutls_tls12_alpn": gnutls("--sni-hostname", NAME, "--alpn", "h2", "--alpn", "http/1.1",
                                priority="NORMAL:-VERS-ALL:+VERS-TLS1.2"),
    "gnutls_all_groups": gnutls("--sni-hostname", NAME, priority="NORMAL:+GROUP-ALL:+VERS-ALL:%DUMBFW"),
    "nss_default": nss("-a", NAME),
    "nss_tls13_many_extensions": nss("-a", NAME, "-V", "tls1.3:tls1.3", "-u", "-T", "-U", "-B", "-G"),
    "nss_grease_ech": nss("-a", NAME, "-i", "100"),
    "node_default": node("rejectUnauthorized: false"),
    "node_alpn": node("ALPNProtocols: ['h2', 'http/1.1', 'http/1.0']"),
    "curl_h2": curl("--http2"),
    "wget": ["wget", "--quiet", "--tries=1", "--output-document=/dev/null", "https://localhost:{port}/"],
    "java": ["java", "{directory}/Client.java", "{port}"],
    "go_post_quantum": kubectl("--tls-server-name=" + NAME),
    "rustls_default": ["env", "RUSTUP_DIST_SERVER=https://localhost:{port}", "rustup", "check"],
}


def hello_is_complete(data):
    """Whether the records in `data` hold a whole handshake message."""
    message, at = b"", 0
    while at + 5 <= len(data):
        length = struct.unpack(">H", data[at + 3:at + 5])[0]
        message += data[at + 5:at + 5 + length]
        at += 5 + length
    return len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big")


def take_hello(listener):
    """Accepts, reads a hello and closes."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(DEADLINE_S)
        data = b""
        while not hello_is_complete(data):
            more = connection.recv(65536)
            if not more:
                raise OSError("the client closed before its hello was complete")
            data += more
    return data


def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(DEADLINE_S)
    return listener, listener.getsockname()[1]


def capture(command, directory):
    """The hello of a client program, whose arguments may name {port} and {directory}."""
    listener, port = listen()
    with listener:
        words = [word.replace("{port}", str(port)).replace("{directory}", directory) for word in command]
        client = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, env={**os.environ, "HOME": directory,
                                  "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))})
        try:
            return take_hello(listener)
        finally:
            client.kill()
            client.wait()


def make_certificate(directory, common_name, comment_bytes):
    key, certificate = os.path.join(directory, common_name + ".key"), os.path.join(directory, common_name + ".crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", certificate, "-days", "30", "-subj", "/CN=" + common_name,
                    "-addext", "nsComment=" + "x" * comment_bytes], check=True, stderr=subprocess.DEVNULL)
    return key, certificate


def contexts(directory, version):
    """Server and client that trust each other. The server keeps the client's certificate in the
    ticket, so a fat certificate makes a ticket of several KB."""
    server_key, server_certificate = make_certificate(directory, "server", 10)
    client_key, client_certificate = make_certificate(directory, "client", 6000)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_certificate, server_key)
    server.load_verify_locations(client_certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.load_cert_chain(client_certificate, client_key)
    client.set_alpn_protocols(["h2", "http/1.1"])
    client.minimum_version = client.maximum_version = version
    return server, client


def serve_once(listener, server):
    connection, _ = listener.accept()
    with server.wrap_socket(connection, server_side=True) as tls:
        tls.sendall(b"x")
        tls.recv(1)  # until the client has its ticket and closes


def capture_ticket(version):
    """The hello of a client that comes back with a large session ticket."""
    with tempfile.TemporaryDirectory() as directory:
        server, client = contexts(directory, version)
        listener, port = listen()
        with listener:
            thread = threading.Thread(target=serve_once, args=(listener, server))
            thread.start()
            with client.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=NAME) as tls:
                tls.recv(1)
                session = tls.session
            thread.join()
            hello = []
            thread = threading.Thread(target=lambda: hello.append(take_hello(listener)))
            thread.start()
            try:
                client.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=NAME,
                                   session=session).close()
            except OSError:
                pass  # the server that takes hellos closes without an answer
            thread.join()
    return hello[0]


def split_into_records(data, content_bytes):
    """The same message in more records; no library here does so of its own accord."""
    message, records = data[5:], b""
    for begin in range(0, len(message), content_bytes):
        part = message[begin:begin + content_bytes]
        records += data[:3] + struct.pack(">H", len(part)) + part
    return records


def main(names):
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "Client.java"), "w", encoding="ascii") as file:
            file.write(JAVA_CLIENT)
        makers = {name: lambda command=command: capture(command, directory) for name, command in CLIENTS.items()
                  if shutil.which([word for word in command if word != "env" and "=" not in word][0])}
        makers["python_tls12_large_ticket"] = lambda: capture_ticket(ssl.TLSVersion.TLSv1_2)
        makers["python_tls13_large_ticket"] = lambda: capture_ticket(ssl.TLSVersion.TLSv1_3)
        makers["made_records_of_1"] = lambda: split_into_records(makers["openssl_default"](), 1)
        makers["made_records_of_100"] = lambda: split_into_records(makers["python_tls13_large_ticket"](), 100)
        for name in names or [*CLIENTS, *(set(makers) - set(CLIENTS))]:
            if name not in makers:
                print(name + ": skipped, its client is not installed")
                continue
            try:
                hello = makers[name]()
            except OSError as error:
                print(f"{name}: no hello ({error})")
                continue
            with open(os.path.join(FOLDER, name + ".bin"), "wb") as file:
                file.write(hello)
            print(f"{name}: {len(hello)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
