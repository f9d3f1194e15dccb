# SPDX-License-Identifier: MIT
"""ClientHellos: real ones out of Python's TLS library, and ones built by hand (RFC 8446 section 4.1.2)."""

import ssl
import struct

ExtensionServerName = 0
ExtensionAlpn = 16
ExtensionPadding = 21
ExtensionSessionTicket = 35
ExtensionSupportedVersions = 43
ExtensionKeyShare = 51

AlertDecodeError = 50
AlertInternalError = 80
AlertUnrecognizedName = 112


def captured(name="blog.example.org", alpn=()):
    """What a real client sends first, to a server of that name (or without one)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def handshake_of(records):
    """The handshake message that lies in records."""
    handshake = b""
    while records:
        kind, _, size = struct.unpack_from("!BHH", records)
        assert kind == 22
        handshake += records[5:5 + size]
        records = records[5 + size:]
    return handshake


def record(fragment, kind=22, version=0x0301):
    return struct.pack("!BHH", kind, version, len(fragment)) + fragment


def in_records(handshake, fragment_size):
    return b"".join(record(handshake[at:at + fragment_size])
                    for at in range(0, len(handshake), fragment_size))


def vector(width, content):
    return len(content).to_bytes(width, "big") + content


def extension(kind, content):
    return struct.pack("!H", kind) + vector(2, content)


def server_name(*names, kind=0):
    entries = b"".join(bytes([kind]) + vector(2, name) for name in names)
    return extension(ExtensionServerName, vector(2, entries))


def alpn(*protocols):
    return extension(ExtensionAlpn, vector(2, b"".join(vector(1, p) for p in protocols)))


def padding(size):
    """`size` is that of the whole extension, at least 4."""
    return extension(ExtensionPadding, bytes(size - 4))


def handshake(*extensions, ciphers=b"\x13\x01\x13\x02\xc0\x2f", session_id=bytes(32)):
    """A ClientHello as a handshake message, without record headers."""
    body = b"\x03\x03" + bytes(range(32)) + vector(1, session_id) + vector(2, ciphers) + b"\x01\x00"
    body += vector(2, b"".join([*extensions, extension(ExtensionSupportedVersions, b"\x02\x03\x04")]))
    return b"\x01" + vector(3, body)


def handshake_without_extensions():
    """As TLS 1.2 and before allow it."""
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + vector(2, b"\x00\x2f") + b"\x01\x00"
    return b"\x01" + vector(3, body)


def built(*extensions, **fields):
    return record(handshake(*extensions, **fields))


def built_of_size(size, *extensions):
    """A hello of exactly `size` bytes with its one record header (so at most 16384 + 5), by padding."""
    spare = size - len(built(*extensions))
    return built(*extensions, padding(spare))


def is_fatal_alert(data, description):
    """Whether `data` is one alert and nothing else; its record's version may be any."""
    return data[:2] == b"\x15\x03" and data[3:] == bytes([0, 2, 2, description])
