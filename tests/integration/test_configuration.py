# SPDX-License-Identifier: MIT
"""Configuration files, good and bad, and the command line."""

import getpass
import grp
import json
import os
import pathlib
import re
import socket
import subprocess

import pytest

from support.processes import DeadlineSeconds, program, run_proxyd
from support.workspace import Port

AddressForms = '":443", "192.0.2.1:443" or "[2001:db8::1]:443"'
AccessLogForms = '"stderr", "journal" or an absolute path'
LevelForms = '"error", "warning", "notice", "info" or "debug"'
MetricsForms = '"127.0.0.1:9100", "[::1]:9100" or "unix:/run/proxyd/metrics.sock"'
Routes = {"*": "/run/site"}
Directory = "the absolute path of a directory"
DirectoryOrServer = f'{Directory}, or "tcp://HOST:PORT" for a TCP server,'
RouteValue = f"{Directory}, \"tcp://HOST:PORT\", or an object with 'site' or 'tcp'"
DurationForms = 'to "1h" such as "250ms", "10s" or "2m"'


def check(workspace, text):
    """What is wrong with a configuration file: the messages without the file's name."""
    path = workspace.write_configuration(text)
    result = run_proxyd("--config", path, "--check-config")
    prefix = f"{path}:"
    lines = [line for line in result.stderr.splitlines() if not line.endswith(" (a warning)")]
    assert all(line.startswith(prefix) for line in lines), result.stderr
    assert result.returncode == (2 if lines else 0), result.stderr
    # What is refused here is refused at start as well, in the same words.
    if lines:
        started = run_proxyd("--config", path)
        assert (started.returncode, started.stderr) == (2, result.stderr)
    return [line.removeprefix(prefix) for line in lines]


def with_key(key, value_text):
    return '{\n "listen": [":8443"],\n "routes": {"*": "/run/site"},\n "%s": %s\n}\n' % (key, value_text)


def count_errors(key, least, most):
    allowed = f"a whole number from {least} to {most} is allowed"
    return [(with_key(key, str(least - 1)), f"4: {key}: is {least - 1}, {allowed}"),
            (with_key(key, str(most + 1)), f"4: {key}: is {most + 1}, {allowed}"),
            (with_key(key, "1000.5"), f"4: {key}: is no whole number, {allowed}"),
            (with_key(key, '"1000"'), f"4: {key}: is a string, {allowed}"),
            (with_key(key, "null"), f"4: {key}: is null, {allowed}")]


def duration_errors(key, least):
    allowed = f'a duration from "{least}" {DurationForms} is allowed'
    values = ["10", "", "s", "10 s", "10d", "-1s", "1.5s", "61m", "3600001ms", "99999999999h"]
    return [(with_key(key, f'"{value}"'), f"4: {key}: is '{value}', {allowed}") for value in values] + \
        [(with_key(key, "10"), f"4: {key}: is a number, {allowed}")]


def listen(value_text):
    return '{\n "routes": {"*": "/run/site"},\n "listen": [\n  %s\n ]\n}\n' % value_text


def bad_address(text):
    return (listen(f'"{text}"'), f"4: listen[0]: '{text}' is no address to listen on, {AddressForms} is allowed")


def route(key, value_text='"/run/site"'):
    return '{\n "listen": [":8443"],\n "routes": {\n  "%s": %s\n }\n}\n' % (key, value_text)


Nowhere = "routes: is empty, and so is 'sites': there is nowhere to hand connections to from a listener " \
    "without a site of its own"
RouteForms = '; allowed: a name, "*." before a name, a class such as "@tls", or "*"'

Wrong = [
    # The document
    ("[]", "1: is an array, an object is allowed"),
    ("7", "1: is a number, an object is allowed"),
    ("{}", '1: listen: is missing, an array of addresses such as [":443", ":80"] is needed'),
    ('\n{"listen": [":8443"]}', f"2: {Nowhere}"),
    ('{"listen": [":8443"], "routes": {}}', f"1: {Nowhere}"),
    ('{"listen": [":8443", {"address": ":25", "site": "/run/mail"}]}', f"1: {Nowhere}"),
    (with_key("hello_timeuot", '"10s"'), "4: hello_timeuot: is not a key of proxyd, did you mean 'hello_timeout'?"),
    (with_key("colour", "1"), "4: colour: is not a key of proxyd, allowed are listen, routes, alpn, sites, tcpshim, "
     "hello_bytes_max, hello_timeout, silent_after, wait_for_site, pending_max, sessions_max, source_sessions_max, "
     "source_connections_per_second_max, access_log, access_log_format, workers, worker_timeout, user, control, "
     "log_level, metrics"),
    (with_key("", "1"), '4: "": is not a key of proxyd, allowed are listen, routes, alpn, sites, tcpshim, '
     "hello_bytes_max, hello_timeout, silent_after, wait_for_site, pending_max, sessions_max, source_sessions_max, "
     "source_connections_per_second_max, access_log, access_log_format, workers, worker_timeout, user, control, "
     "log_level, metrics"),
    (with_key("listen", '[":8080"]'), "4: listen: is given twice, first in line 2"),
    # Listeners
    ('{"routes": {}, "listen": []}', "1: listen: is empty, an array of one address or more is allowed"),
    ('{"routes": {}, "listen": ":443"}', "1: listen: is a string, an array of one address or more is allowed"),
    (listen("443"), "4: listen[0]: is a number, an address or an object with 'address' is allowed"),
    bad_address("443"),
    bad_address(""),
    bad_address(":"),
    bad_address(":65536"),
    bad_address(":-1"),
    bad_address(":http"),
    bad_address("*:443"),
    bad_address("localhost:443"),
    bad_address("192.0.2.1"),
    bad_address("192.0.2.256:443"),
    bad_address("2001:db8::1:443"),
    bad_address("[2001:db8::1]"),
    bad_address("[192.0.2.1]:443"),
    (listen('":8443", ":8080", "0.0.0.0:8443"'), "4: listen[2]: '0.0.0.0:8443' is taken already by {file}:4: listen[0]"),
    (listen('{"site": "/run/site"}'), f"4: listen[0].address: is missing, {AddressForms} is needed"),
    (listen('{"address": 443}'), f"4: listen[0].address: is a number, {AddressForms} is allowed"),
    (listen('{"address": "443"}'), f"4: listen[0].address: '443' is no address to listen on, {AddressForms} is allowed"),
    (listen('{"address": ":8443", "site": "site"}'), f"4: listen[0].site: 'site' is no absolute path, {DirectoryOrServer} is allowed"),
    (listen('{"address": ":8443", "sit": "/site"}'), "4: listen[0].sit: is not a key of a listener, did you mean 'site'?"),
    (listen('{"address": ":8443",\n"address": ":8080"}'), "5: listen[0].address: is given twice, first in line 4"),
    # Routes
    ('{"listen": [":8443"], "routes": []}', "1: routes: is an array, an object from names to site directories is allowed"),
    (route("a.example.org", "[]"), f"4: routes.a.example.org: is an array, {RouteValue} is allowed"),
    (route("a.example.org", '"run/site"'), f"4: routes.a.example.org: 'run/site' is no absolute path, {DirectoryOrServer} is allowed"),
    (route("a.example.org", '""'), f"4: routes.a.example.org: '' is no absolute path, {DirectoryOrServer} is allowed"),
    (route("a.example.org", '"/run/\\u0000site"'), f"4: routes.a.example.org: '/run/\\x00site' is no absolute path, {DirectoryOrServer} is allowed"),
    (route("a.example.org", '"/run/a",\n  "A.Example.org.": "/run/b"'), "5: routes.A.Example.org.: is given twice, first in line 4"),
    (route("*", '"/run/a",\n  "*": "/run/b"'), "5: routes.*: is given twice, first in line 4"),
    (route(""), f'4: routes."": is empty{RouteForms}'),
    (route("a..b"), f"4: routes.a..b: begins with a dot or has two in a row{RouteForms}"),
    (route("a/b"), f"4: routes.a/b: has '/' in it, and names have letters, digits, '-', '_' and '.'{RouteForms}"),
    (route("192.0.2.1"), f"4: routes.192.0.2.1: is an address, not a name{RouteForms}"),
    (route("a" * 64), f"4: routes.{'a' * 64}: has more than 63 bytes between two dots{RouteForms}"),
    (route("a.*.org"), "4: routes.a.*.org: has a '*' inside, only \"*\" and \"*.\" before a name are allowed"),
    (route("*.*.org"), f"4: routes.*.*.org: has '*' in it, and names have letters, digits, '-', '_' and '.'{RouteForms}"),
    (route("@tsl"), "4: routes.@tsl: is not a protocol class, did you mean '@tls'?"),
    (route("@https"), "4: routes.@https: is not a protocol class, did you mean '@tls'?"),
    (route("https://a.org"), f"4: routes.https://a.org: has ':' in it, and names have letters, digits, '-', '_' and '.'{RouteForms}"),
    (route("b\u00fc.org"), f"4: routes.b\u00fc.org: has '\\xc3' in it, and names have letters, digits, '-', '_' and '.'{RouteForms}"),
    (route("@telnet9"), "4: routes.@telnet9: is not a protocol class, allowed are @tls, @http, @ssh, "
     "@silent, @other"),
    # The rest
    (with_key("sites", '"sites"'), f"4: sites: 'sites' is no absolute path, {Directory} is allowed"),
    (with_key("sites", "{}"), f"4: sites: is an object, {Directory} is allowed"),
    (with_key("access_log", '"access.log"'), f"4: access_log: 'access.log' is no absolute path, {AccessLogForms} is allowed"),
    (with_key("access_log", "true"), f"4: access_log: is a boolean, {AccessLogForms} is allowed"),
    (with_key("log_level", '"warn"'), f"4: log_level: is 'warn', {LevelForms} is allowed"),
    (with_key("log_level", "3"), f"4: log_level: is a number, {LevelForms} is allowed"),
    (with_key("metrics", "9100"), f"4: metrics: is a number, {MetricsForms} is allowed"),
    (with_key("metrics", '"localhost:9100"'), f"4: metrics: 'localhost:9100' is no address, {MetricsForms} is allowed"),
    *[(with_key("metrics", f'"{address}"'), f"4: metrics: '{address}' can be reached from other machines, and nobody "
       f"is asked for a password there, {MetricsForms} is allowed")
      for address in (":9100", "0.0.0.0:9100", "[::]:9100", "192.0.2.1:9100", "128.0.0.1:9100", "[2001:db8::1]:9100")],
    *[(with_key("metrics", f'"unix:{path}"'), f"4: metrics: 'unix:{path}' has no absolute path of at most 107 bytes, "
       f"{MetricsForms} is allowed") for path in ("", "metrics", "/" + 107 * "x")],
    (with_key("access_log_format", '"xml"'), '4: access_log_format: is \'xml\', "text" or "json" is allowed'),
    *count_errors("hello_bytes_max", 512, 65536),
    *count_errors("pending_max", 1, 1000000),
    *count_errors("sessions_max", 1, 1000000),
    *duration_errors("hello_timeout", "1ms"),
    *duration_errors("wait_for_site", "0s"),
]


@pytest.mark.parametrize("text, message", Wrong)
def test_what_is_wrong(workspace, text, message):
    file = workspace.path / "proxyd.json"
    assert check(workspace, text) == [message.replace("{file}", str(file))]


@pytest.mark.parametrize("text, line", [("", 1), ("{", 1), ("\n\n{\n  \"listen\": [\":443\",]\n}", 4),
                                        ("{\n  \"listen\" [\":443\"]\n}", 2), ("{}\nx", 2),
                                        ("{\n \"listen\": [\":443\"]\n \"routes\": {}\n}", 3),
                                        ("{\n \"listen\": \"\n\"}", 2), ("listen = :443", 1)])
def test_what_is_not_json(workspace, text, line):
    messages = check(workspace, text)
    assert len(messages) == 1
    assert messages[0].startswith(f"{line}: is not JSON: "), messages


def test_all_errors_in_one_run(workspace):
    text = '{\n "listen": ["443", {"address": ":80", "sit": ""}],\n "routes": {\n  "a..b": 1\n },\n' \
           ' "pending_max": 0,\n "pending_mac": 1\n}\n'
    assert [message.split(": is", 1)[0].split(": '", 1)[0] for message in check(workspace, text)] == [
        "2: listen[0]", "2: listen[1].sit", "4: routes.a..b: begins with a dot or has two in a row" + RouteForms,
        "4: routes.a..b", "6: pending_max", "7: pending_mac"]


@pytest.mark.parametrize("key, values", [
    ("hello_bytes_max", ["512", "65536"]), ("pending_max", ["1", "1000000"]), ("sessions_max", ["1", "1000000"]),
    ("hello_timeout", ['"1ms"', '"1h"', '"60m"']), ("wait_for_site", ['"0s"', '"0ms"', '"3600s"']),
    ("log_level", ['"error"', '"warning"', '"notice"', '"info"', '"debug"']),
    ("metrics", ['"127.0.0.1:9100"', '"127.1.2.3:1"', '"[::1]:9100"', '"unix:/run/metrics"']),
    ("access_log_format", ['"text"', '"json"']), ("access_log", ['"stderr"', '"journal"', '"/var/log/access.log"'])])
def test_what_is_allowed(workspace, key, values):
    for value in values:
        assert check(workspace, with_key(key, value)) == []


def test_listeners_that_all_have_their_own_site_need_no_routes(workspace):
    assert check(workspace, '{"listen": [{"address": ":25", "site": "/run/mail"}]}') == []


def test_comments_are_allowed(workspace):
    text = '// what\n{\n /* where\n */ "listen": [":8443"], // here\n "sites": "/run"\n}\n'
    assert check(workspace, text) == []


def test_lines_are_counted_through_comments(workspace):
    text = '{\n /* one\n two */\n "listen": [":8443"], // three\n "sites": "/run/sites",\n "pending_max": 0\n}'
    assert check(workspace, text) == \
        ["6: pending_max: is 0, a whole number from 1 to 1000000 is allowed"]


def test_check_config_says_nothing_about_a_good_one_and_binds_nothing(workspace):
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "user": getpass.getuser(),
         "routes": {"*": str(workspace.site("blog"))}}))
    result = run_proxyd("--config", path, "--check-config")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", f"{path}: fine, listeners: 1, routes: 1\n")
    with socket.socket() as probe:
        assert probe.connect_ex((workspace.address, Port)) != 0


def test_check_config_warns_of_a_site_directory_that_is_not_there(workspace):
    path = workspace.write_configuration('{"listen": [":8443"],\n"routes": {"*": "/nowhere/blog"}}')
    result = run_proxyd("--config", path, "--check-config")
    assert (result.returncode, result.stderr) == (
        0, f"{path}:2: routes.*: /nowhere/blog: No such file or directory; clients wait until it is there (a warning)\n")


def test_check_config_warns_of_directories_that_a_start_needs(workspace):
    path = workspace.write_configuration('{"listen": [":8443"],\n"access_log": "/nowhere/access.log",\n'
                                         '"metrics": "unix:/nowhere/metrics.sock",\n'
                                         f'"control": "/nowhere/control.sock",\n"user": "{getpass.getuser()}",\n'
                                         f'"routes": {{"*": "{workspace.path}"}}}}')
    result = run_proxyd("--config", path, "--check-config")
    assert (result.returncode, result.stderr) == (
        0, "".join(f"{path}:{line}: {key}: /nowhere: No such file or directory (a warning)\n"
                   for line, key in ((2, "access_log"), (3, "metrics"), (4, "control"))))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root knows who the workers will be")
def test_check_config_warns_of_a_site_directory_of_another_group(workspace):
    site, open_to_all = workspace.path / "a", workspace.path / "b"
    site.mkdir()
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    path = workspace.write_configuration('{"listen": [":8443"], "user": "nobody",\n'
                                         f'"routes": {{"a": "{site}",\n"b": "{open_to_all}"}}}}')
    result = run_proxyd("--config", path, "--check-config")
    assert (result.returncode, result.stderr) == (
        0, f"{path}:2: routes.a: {site}: the workers' user nobody is not in its group root, so that sockets there "
           "may be closed to them (proxyctl site add says how to mend it) (a warning)\n")
    os.chown(site, 0, grp.getgrnam("nogroup").gr_gid)
    assert run_proxyd("--config", path, "--check-config").stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root knows who the workers will be")
def test_check_config_warns_of_directories_in_sites(workspace):
    for i in range(23):
        (workspace.sites / f"{i:02}.example.org").mkdir()
        (workspace.sites / f"{i:02}.example.org").chmod(0o2755)
    (workspace.sites / "00.example.org").chmod(0o2700)
    (workspace.sites / ".made").mkdir()
    path = workspace.write_configuration('{"listen": [":8443"], "user": "nobody",\n'
                                         f'"sites": "{workspace.sites}"}}')
    start, end = f"{path}:2: sites: {workspace.sites}", "(proxyctl site add says how to mend it) (a warning)"
    result = run_proxyd("--config", path, "--check-config")
    assert (result.returncode, result.stderr.splitlines()) == (
        0, [f"{start}/00.example.org: its mode 2700 keeps the workers' user nobody out {end}"] +
        [f"{start}/{i:02}.example.org: the workers' user nobody is not in its group root, so that sockets there may be "
         f"closed to them {end}" for i in range(1, 20)] +
        [f"{start}: 3 more directories there that the workers may not use (proxyctl site list names them) (a warning)"])
    for site in workspace.sites.iterdir():
        os.chown(site, 0, grp.getgrnam("nogroup").gr_gid)
        site.chmod(0o2750)
    assert run_proxyd("--config", path, "--check-config").stderr == ""


TooFew = ("but the limit of open files (RLIMIT_NOFILE, {}) leaves each worker room for {}, {} in all: raise it "
          "(LimitNOFILE= of a service, ulimit -n), or lower sessions_max")


@pytest.mark.parametrize("line, limit, told", [
    ('"sessions_max": 1504', 1024, None),
    ('"sessions_max": 1505', 1024, "2: sessions_max: is 1505, " + TooFew.format(1024, 752, 1504)),
    ('"hello_timeout": "9s"', 1024, " sessions_max: is 10000 by default, " + TooFew.format(1024, 752, 1504)),
    ('"hello_timeout": "9s"', 6688, None),
])
def test_more_sessions_than_there_are_descriptors_for(workspace, line, limit, told):
    path = workspace.write_configuration(f'{{"listen": ["{workspace.address}:{Port}"], "workers": 2,\n{line},\n'
                                         f'"routes": {{"*": "{workspace.path}"}}, "user": "{getpass.getuser()}"}}')
    result = subprocess.run(["prlimit", f"--nofile={limit}", program("proxyd"), "--config", path, "--check-config"],
                            capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, f"{path}:{told} (a warning)\n" if told else "")


def test_a_start_warns_of_too_few_descriptors(workspace):
    proxyd = workspace.start_proxyd(sessions_max=1000, prefix=("prlimit", "--nofile=1024"))
    told = proxyd.wait_for_line(r" warning .*: sessions_max: is 1000, (.*)$").group(1)
    assert told == TooFew.format(1024, 752, 752)


def test_check_config_opens_the_sites_directory(workspace):
    path = workspace.write_configuration('{"listen": [":8443"],\n"sites": "/nowhere"}')
    result = run_proxyd("--config", path, "--check-config")
    assert (result.returncode, result.stderr) == (
        1, f"{path}:2: sites: cannot read /nowhere: No such file or directory\n")


def test_print_config_fills_in_the_defaults_and_is_a_configuration(workspace):
    routes = {"a.example.org": "/run/a", "*.B.example.org.": "/run/b/", "@tls": "/run/t", "*": "/run/d"}
    path = workspace.write_configuration(json.dumps(
        {"listen": [":443", {"address": "[::1]:25", "site": "/run/mail"}], "sites": "/run/sites", "routes": routes,
         "wait_for_site": "90s"}))
    first = run_proxyd("--config", path, "--print-config")
    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads(first.stdout) == {
        "listen": [":443", {"address": "[::1]:25", "site": "/run/mail"}],
        "routes": {"a.example.org": "/run/a", "*.b.example.org": "/run/b", "@tls": "/run/t", "*": "/run/d"},
        "sites": "/run/sites", "hello_bytes_max": 32768, "hello_timeout": "10s", "silent_after": "2s", "wait_for_site": "90s",
        "pending_max": 1000, "sessions_max": 10000, "source_sessions_max": 1000,
        "source_connections_per_second_max": 10000, "access_log": "stderr", "access_log_format": "text",
        "workers": min(len(os.sched_getaffinity(0)), 4), "worker_timeout": "30s",
        "control": "/run/proxyd/control.sock", "log_level": "notice"}
    workspace.write_configuration(first.stdout)
    second = run_proxyd("--config", path, "--print-config")
    assert (second.returncode, second.stdout) == (0, first.stdout)


def test_print_config_of_a_bad_one_says_what_is_wrong(workspace):
    path = workspace.write_configuration("{}")
    result = run_proxyd("--config", path, "--print-config")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{path}:1: listen: ")


def assert_one_line(result, code, text):
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == text


def test_help_and_version():
    result = run_proxyd("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("--config FILE", "--check-config", "--print-config", "--help", "--version",
                   "/etc/proxyd/proxyd.json"):
        assert option in result.stdout
    result = run_proxyd("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(r"proxyd \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("arguments, text", [
    (["--colour"], "unknown option '--colour'"), (["-x"], "unknown option '-x'"),
    (["--config"], "option '--config' needs an argument"), (["file.json"], "unknown argument 'file.json'"),
    (["--help", "--colour"], "unknown option '--colour'"), (["--", "-x"], "unknown argument '-x'")])
def test_a_usage_error_is_one_line(arguments, text):
    assert_one_line(run_proxyd(*arguments), 2, f"proxyd: {text}, see proxyd --help\n")


def test_a_configuration_file_that_is_not_there(workspace):
    path = workspace.path / "absent.json"
    assert_one_line(run_proxyd("--config", path), 1, f"{path}: cannot be read: No such file or directory; --config says where it is\n")


def test_a_configuration_file_that_must_not_be_read(workspace):
    path = workspace.write_configuration("{}")
    path.chmod(0)
    command = [program("proxyd"), "--config", path]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DeadlineSeconds)
    assert_one_line(result, 1, f"{path}: cannot be read: Permission denied\n")


def test_a_directory_as_configuration_file(workspace):
    assert_one_line(run_proxyd("--config", workspace.path), 1,
                    f"{workspace.path}: cannot be read: Is a directory\n")


@pytest.mark.parametrize("begin, end, printed_below", [("# Configuration", "## Listeners", None),
                                                       ("### Routes to TCP servers", "### Who may come in", "tcpshim")])
def test_the_document_gives_the_true_defaults(workspace, begin, end, printed_below):
    """docs/CONFIGURATION.md, the tables of keys of proxyd and of tcpshim as a whole."""
    routes = '"routes": {"a.b": "tcp://c:1"}' if printed_below else '"sites": "/run/sites"'
    path = workspace.write_configuration(f'{{"listen": [":443"], {routes}}}')
    printed = json.loads(run_proxyd("--config", path, "--print-config").stdout)
    printed = printed[printed_below] if printed_below else printed
    text = (pathlib.Path(__file__).parents[2] / "docs" / "CONFIGURATION.md").read_text()
    compared = 0
    for line in text.partition(f"{begin}\n")[2].partition(f"\n{end}\n")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].strip("`") in printed and cells[3].startswith("`"):
            assert json.loads(cells[3].strip("`")) == printed[cells[1].strip("`")], cells[1]
            compared += 1
    assert compared >= 6
