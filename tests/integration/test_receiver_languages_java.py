# SPDX-License-Identifier: MIT
"""Servers in Java behind proxyd. The runtime alone is installed; the compiler is the one that Tomcat brings for JSP."""

import functools
import os
import pathlib
import re
import subprocess

import pytest

from support.receiver_suite import HttpPort, HttpsPort, Receiver, StandardExercises, with_servers

Servers = pathlib.Path(__file__).parents[1] / "servers"
Compiler = "org.eclipse.jdt.internal.compiler.batch.Main"
Jars = pathlib.Path("/usr/share/java")
TomcatJar = Jars / "tomcat10-embed-core.jar"
JettyJars = [Jars / f"jetty9-{part}.jar" for part in ("server", "http", "io", "util")] + [Jars / "servlet-api.jar"]
AllJars = ":".join(map(str, [TomcatJar, *JettyJars]))
# What starts faster matters more here than what is fast later.
Quickly = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
Java = ["java", *Quickly]
PackagedVersion = 17


@functools.cache
def classes():
    """The directory with all of tests/servers, compiled."""
    directory = pathlib.Path(os.environ["PROXYD_BUILD"]) / "servers-java"
    subprocess.run([*Java, "-cp", Jars / "eclipse-jdt-core.jar", Compiler, "--release", "17", "-proc:none", "-cp", AllJars,
                    "-d", directory, *Servers.glob("*.java")], check=True)
    return directory


class JavaReceiver(Receiver):
    ports = {"https": HttpsPort, "http": HttpPort}
    log_pattern = "^seen {client} GET /"
    exit_codes = (143,)  # as always when a signal ends a JVM


class KeystoreReceiver(JavaReceiver):
    """Its key comes from a file in Java's own form."""

    program, jars = "", []
    java = Java

    def command(self):
        certificate, key = self.certificate()
        store = self.own / "store.p12"
        subprocess.run(["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", store, "-passout",
                        "pass:secret"], check=True)
        path = ":".join(map(str, [classes(), *self.jars]))
        return [*self.java, "-cp", path, self.program, HttpPort, HttpsPort, store, "secret"]


class JdkServer(KeystoreReceiver):
    kind, title, package = "jdk-server", "Java: the JDK's HttpServer, with and without TLS", "openjdk-17-jre-headless"
    habits = "one IPv6 listener for both families; puts another descriptor in its place (`dup2`) before it closes it"
    program = "JdkServer"


class JavaSockets(KeystoreReceiver):
    kind, title, package = "java-sockets", "Java: ServerSocket and SSLServerSocket", "openjdk-17-jre-headless"
    habits = "a thread blocks in `accept`, another one polls for a time; closes the listeners meanwhile"
    program = "SocketServer"

    def stop(self):
        super().stop()
        assert "accept ends: Socket closed" in self.lines


class Jetty(KeystoreReceiver):
    kind, title, package = "jetty", "Java: Jetty 9", "libjetty9-java"
    habits = "a thread that accepts, and others that wait in epoll for those it has accepted"
    program, jars = "JettyServer", JettyJars


class Tomcat(JavaReceiver):
    kind, title, package = "tomcat", "Java: Tomcat 10 on NIO", "libtomcat10-embed-java"
    habits = "one IPv6 listener for both families; a thread of its own waits in `accept`"

    def command(self):
        return [*Java, "-cp", f"{classes()}:{TomcatJar}", "TomcatServer", HttpPort, HttpsPort, *self.certificate(), self.own]


@with_servers(JdkServer, JavaSockets, Jetty, Tomcat)
class TestJava(StandardExercises):
    pass


def newest_java():
    """Version and program of the newest one that isn't Debian's but installed beside it, or None."""
    found = []
    for release in pathlib.Path("/usr/lib/jvm").glob("*/release"):
        if version := re.search(r'^JAVA_VERSION="([\d.]+)', release.read_text(), re.MULTILINE):
            found.append((list(map(int, version[1].split("."))), str(release.parent / "bin" / "java")))
    return max((entry for entry in found if entry[0] > [PackagedVersion + 1]), default=None)


Newest = newest_java()


class NewJava:
    package = ""  # Debian 12 has none
    version = ".".join(map(str, Newest[0])) if Newest else None
    java = [Newest[1], *Quickly] if Newest else []


class NewJdkServer(NewJava, JdkServer):
    kind, title = "jdk-server-new", "Java newer than Debian's: the JDK's HttpServer, with and without TLS"


class NewJavaSockets(NewJava, JavaSockets):
    kind, title = "java-sockets-new", "Java newer than Debian's: ServerSocket and SSLServerSocket in virtual threads"
    habits = "the listeners are in an epoll of Java's own; closes them while virtual threads wait in `accept`"


@pytest.mark.skipif(not Newest, reason="no Java is installed that is newer than Debian's")
@with_servers(NewJdkServer, NewJavaSockets)
class TestNewJava(StandardExercises):
    pass
