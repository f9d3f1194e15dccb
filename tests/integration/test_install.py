# SPDX-License-Identifier: MIT
"""What `cmake --install` puts where, that it works from there, and what systemd says of the units."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support.unit_files import faults_of_units

Build = pathlib.Path(os.environ["PROXYD_BUILD"])
Source = pathlib.Path(__file__).resolve().parents[2]

# What `systemd-analyze security` may say of proxyd.service at most; docs/OPERATIONS.md quotes it.
ExposureMax = 1.5
ExampleSecondsMax = 180  # on a busy machine; each step in it has 30 or 60


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def install(prefix, **environment):
    result = run("cmake", "--install", Build, "--prefix", prefix, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr


def library_directory(prefix):
    """lib/proxyd, or with the architecture in between."""
    [library] = (prefix / "lib").rglob("libpreload.so")
    return library.parent


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """A prefix of its own, with everything in it."""
    path = tmp_path_factory.mktemp("installed") / "prefix"
    install(path)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """As packages are made: for /usr, into another directory."""
    path = tmp_path_factory.mktemp("root")
    install("/usr", DESTDIR=str(path))
    return path


def test_the_usual_places(root):
    for file in ["usr/sbin/proxyd", "usr/bin/proxyrun", "usr/bin/proxyctl", "lib/systemd/system/proxyd.service",
                 "lib/systemd/system/proxyd.socket", "usr/lib/tmpfiles.d/proxyd.conf",
                 "usr/lib/sysusers.d/proxyd.conf", "etc/proxyd/proxyd.json", "etc/logrotate.d/proxyd",
                 "usr/share/man/man8/proxyd.8", "usr/share/man/man5/proxyd.json.5",
                 "usr/share/man/man1/proxyrun.1", "usr/share/doc/proxyd/README.md",
                 "usr/share/doc/proxyd/docs/CONFIGURATION.md",
                 "usr/share/doc/proxyd/examples/quickstart/run.sh",
                 "usr/share/doc/proxyd/examples/systemd/nginx-behind-proxyd.conf"]:
        assert (root / file).exists() or (root / "usr" / file).exists(), file
    for page in (Source / "man").glob("*.[1578]"):
        assert (root / f"usr/share/man/man{page.suffix[1:]}" / page.name).exists()
    for completion in (Source / "packaging" / "completions").glob("*.bash"):
        assert (root / "usr/share/bash-completion/completions" / completion.stem).exists()


def test_every_documented_program_is_there(root):
    programs = {path.stem for path in (Source / "man").glob("*.[18]")}
    installed = {path.name for directory in ("usr/bin", "usr/sbin") for path in (root / directory).iterdir()}
    assert installed == programs


def test_nothing_is_installed_twice_or_elsewhere(root):
    tops = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    allowed = re.compile(r"usr/(s?bin|lib|share/(man|doc/proxyd|bash-completion|zsh))/|lib/systemd/|etc/(proxyd|logrotate\.d)/")
    assert [top for top in sorted(tops) if not allowed.match(top)] == []


def test_units_name_the_programs_of_their_prefix(root, prefix):
    def commands(unit):
        return re.findall(r"(?m)^Exec\w+=(.*)$", unit.read_text())

    [unit] = root.rglob("proxyd.service")
    assert commands(unit) == ["/usr/sbin/proxyd", "/usr/bin/proxyctl reload"]
    [unit] = prefix.rglob("proxyd.service")
    assert commands(unit) == [f"{prefix}/sbin/proxyd --config {prefix}/etc/proxyd/proxyd.json",
                              f"{prefix}/bin/proxyctl reload"]


def test_what_the_administrator_has_changed_stays(tmp_path):
    file = tmp_path / "etc" / "proxyd" / "proxyd.json"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    install(tmp_path)
    assert file.read_text() == "mine"
    assert (tmp_path / "etc" / "logrotate.d" / "proxyd").exists()


@pytest.fixture
def moved(prefix, tmp_path):
    """A copy in another place."""
    shutil.copytree(prefix, tmp_path / "moved")
    return tmp_path / "moved"


def site_environment(proxyrun, site):
    site.mkdir(exist_ok=True)
    result = run(proxyrun, "--site", site, "env", env={"PATH": "/usr/bin"})
    assert result.returncode == 0, result.stderr
    return dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)


def test_proxyrun_finds_its_library_wherever_both_are(prefix, moved, tmp_path):
    for place in (prefix, moved):
        environment = site_environment(place / "bin" / "proxyrun", tmp_path / "site")
        assert environment["LD_PRELOAD"] == str(library_directory(place) / "libpreload.so")
    environment = site_environment(Build / "bin" / "proxyrun", tmp_path / "site")
    assert environment["LD_PRELOAD"] == str((Build / "lib" / "libpreload.so").resolve())


def test_proxyrun_says_where_it_looked_for_its_library(moved, tmp_path):
    (tmp_path / "site").mkdir()
    library_from_program = os.path.relpath(library_directory(moved), moved / "bin")
    (library_directory(moved) / "libpreload.so").unlink()
    result = run(moved / "bin" / "proxyrun", "--site", tmp_path / "site", "env", env={"PATH": "/usr/bin"})
    assert (result.returncode, result.stderr) == (
        1, f"proxyrun: there is no libpreload.so in {moved}/bin/{library_from_program} or "
           f"{moved}/bin/../lib: say where it is with PROXYD_PRELOAD=PATH\n")


def found_by_examples(examples, **environment):
    """The programs that the examples in that directory would use."""
    script = ('fail() { echo "run.sh: $*" >&2; exit 1; }; . "$here/../programs.sh"; find_programs; '
              'printf "%s\\n" "$proxyd_program" "$proxyrun_program" "$(realpath "$libpreload")"')
    result = run("bash", "-c", f"set -euo pipefail; {script}", env={"PATH": "/usr/bin:/bin", "here": str(examples / "node"),
                                                                    **environment})
    return result.stdout.splitlines() or result.stderr


def test_installed_examples_find_the_installed_programs(prefix, tmp_path):
    installed = [str(path) for path in (prefix / "sbin" / "proxyd", prefix / "bin" / "proxyrun",
                                        library_directory(prefix) / "libpreload.so")]
    examples = prefix / "share/doc/proxyd/examples"
    assert found_by_examples(examples) == installed
    copy = tmp_path / "a" / "copy" / "of" / "the" / "examples"
    shutil.copytree(examples, copy)
    assert found_by_examples(copy, PATH=f"/usr/bin:/bin:{prefix}/bin:{prefix}/sbin") == installed


def test_examples_find_what_is_built(prefix, tmp_path):
    built = [str(Build.resolve() / file) for file in ("bin/proxyd", "bin/proxyrun", "lib/libpreload.so")]
    assert found_by_examples(prefix / "share/doc/proxyd/examples", PROXYD_BUILD=str(Build)) == built
    tree = tmp_path / "tree"
    shutil.copytree(Source / "examples", tree / "examples")
    (tree / "CMakePresets.json").touch()
    assert found_by_examples(tree / "examples") == (
        f"run.sh: there is no {tree}/build/release/bin/proxyd; ./quickstart.sh installs and builds it\n")


@pytest.mark.parametrize("example", ["node", "no-network"])
def test_an_installed_example_runs(prefix, workspace, example):
    environment = {key: value for key, value in os.environ.items() if key != "PROXYD_BUILD"}
    result = run(prefix / "share/doc/proxyd/examples" / example / "run.sh", timeout=ExampleSecondsMax,
                 env={**environment, "TMPDIR": str(workspace.site("temporary"))})
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(workspace.site("temporary").iterdir()) == []


def test_the_shipped_configuration_is_right(prefix, tmp_path):
    """But for the places of its sites and its log, which aren't there on every machine."""
    (tmp_path / "sites").mkdir()
    text = (prefix / "etc" / "proxyd" / "proxyd.json").read_text()
    file = tmp_path / "proxyd.json"
    file.write_text(text.replace("/run/proxyd/sites", str(tmp_path / "sites"))
                    .replace("/var/log/proxyd", str(tmp_path)))
    result = run(prefix / "sbin" / "proxyd", "--config", file, "--check-config")
    assert (result.returncode, result.stdout, result.stderr) == (
        0, f"{file}: fine, listeners: 2, routes: 0\n", "")


def test_routes_that_the_shipped_configuration_suggests_are_right(prefix, tmp_path):
    text = (prefix / "etc" / "proxyd" / "proxyd.json").read_text()
    file = tmp_path / "proxyd.json"
    file.write_text(re.sub(r'(?m)^( *)// (?=")', r"\1", text))
    result = run(prefix / "sbin" / "proxyd", "--config", file, "--print-config")
    assert result.returncode == 0, result.stderr
    assert "*.cloud.example.org" in result.stdout


@pytest.fixture
def units(moved):
    """Units whose programs are there."""
    directory = moved / "lib" / "systemd" / "system"
    for unit in directory.iterdir():
        text = unit.read_text()
        unit.write_text(re.sub(r"(?m)^(Exec\w+=)\S*/(s?bin)/", rf"\1{moved}/\2/", text))
    return directory


def test_systemd_finds_nothing_wrong_with_the_units(units):
    assert faults_of_units(units / "proxyd.service", units / "proxyd.socket", units / "tcpshim.service") == []


@pytest.mark.parametrize("unit", ["proxyd.service", "tcpshim.service"])
def test_a_unit_is_confined_as_far_as_documented(units, unit):
    result = run("systemd-analyze", "security", "--offline=true", "--no-pager", units / unit)
    [exposure] = re.findall(rf"Overall exposure level for {unit}: ([\d.]+)", result.stdout)
    assert float(exposure) <= ExposureMax, result.stdout
    assert f"`systemd-analyze security` gives it {ExposureMax}" in (Source / "docs" / "OPERATIONS.md").read_text()


def test_the_drop_in_fits_the_unit_of_nginx(units, moved, tmp_path):
    nginx = pathlib.Path("/lib/systemd/system/nginx.service")
    if not nginx.exists():
        pytest.skip("nginx's unit isn't there")
    shutil.copy(nginx, tmp_path)
    drop_ins = tmp_path / "nginx.service.d"
    drop_ins.mkdir()
    example = (moved / "share/doc/proxyd/examples/systemd/nginx-behind-proxyd.conf").read_text()
    (drop_ins / "proxyd.conf").write_text(re.sub(r"(?m)^(ExecStart=)\S*/bin/proxyrun", rf"\1{moved}/bin/proxyrun", example))
    assert faults_of_units(tmp_path / "nginx.service") == []
    # It must start what the unit starts.
    [original] = re.findall(r"(?m)^ExecStart=(.*)$", nginx.read_text())
    [_, replaced] = re.findall(r"(?m)^ExecStart=(.*)$", example)
    assert replaced.split(" -- ", 1)[1] == original


def test_the_service_user_would_be_made():
    result = run("systemd-sysusers", "--dry-run", Source / "packaging/systemd/sysusers.conf")
    assert result.returncode == 0, result.stderr
