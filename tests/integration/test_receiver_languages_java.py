# SPDX-License-Identifier: MIT
"""Servers in Java behind proxyd. The runtime alone is installed; the compiler is the one that Tomcat brings for JSP."""

import functools
import os
import pathlib
import subprocess

from support.receiver_suite import HttpPort, HttpsPort, Receiver, StandardExercises, with_servers

Servers = pathlib.Path(__file__).parents[1] / "servers"
Compiler = "org.eclipse.jdt.internal.compiler.batch.Main"
Jars = pathlib.Path("/usr/share/java")
TomcatJar = Jars / "tomcat10-embed-core.jar"
# What starts faster matters more here than what is fast later.
Java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


@functools.cache
def classes():
    """The directory with all of tests/servers, compiled."""
    directory = pathlib.Path(os.environ["PROXYD_BUILD"]) / "servers-java"
    subprocess.run([*Java, "-cp", Jars / "eclipse-jdt-core.jar", Compiler, "--release", "17", "-proc:none", "-cp", TomcatJar,
                    "-d", directory, *Servers.glob("*.java")], check=True)
    return directory


class JavaReceiver(Receiver):
    ports = {"https": HttpsPort, "http": HttpPort}
    log_pattern = "^seen {client} GET /"
    exit_codes = (143,)  # as always when a signal ends a JVM


class JdkServer(JavaReceiver):
    kind, title, package = "jdk-server", "Java: the JDK's HttpServer, with and without TLS", "openjdk-17-jre-headless"
    habits = "one IPv6 listener for both families; puts another descriptor in its place (`dup2`) before it closes it"

    def command(self):
        certificate, key = self.certificate()
        store = self.own / "store.p12"
        subprocess.run(["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", store, "-passout",
                        "pass:secret"], check=True)
        return [*Java, "-cp", classes(), "JdkServer", HttpPort, HttpsPort, store, "secret"]


class Tomcat(JavaReceiver):
    kind, title, package = "tomcat", "Java: Tomcat 10 on NIO", "libtomcat10-embed-java"
    habits = "one IPv6 listener for both families; a thread of its own waits in `accept`"

    def command(self):
        return [*Java, "-cp", f"{classes()}:{TomcatJar}", "TomcatServer", HttpPort, HttpsPort, *self.certificate(), self.own]


@with_servers(JdkServer, Tomcat)
class TestJava(StandardExercises):
    pass
