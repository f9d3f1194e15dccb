# SPDX-License-Identifier: MIT
"""Certificates for servers that tests put behind proxyd."""

import subprocess


def make_certificate(directory, *names):
    """A self-signed one; returns the paths of the certificate and of its key."""
    certificate, key = directory / f"{names[0]}.crt", directory / f"{names[0]}.key"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={alternatives}",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
