# SPDX-License-Identifier: MIT
"""The manifests in packaging/kubernetes: their parts fit together, and proxyd does with what they give it."""

import json
import os
import pathlib
import pwd

import pytest
import yaml

from support.processes import run_proxyd
from support.workspace import Port

Manifests = pathlib.Path(__file__).parents[2] / "packaging" / "kubernetes"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


def documents(name):
    return list(yaml.safe_load_all((Manifests / name).read_text()))


def one_of(name, kind):
    found, = [document for document in documents(name) if document["kind"] == kind]
    return found


def configuration_text():
    return one_of("edge.yaml", "ConfigMap")["data"]["proxyd.json"]


@pytest.mark.parametrize("name", ["edge.yaml", "site.yaml"])
def test_the_parts_of_a_daemon_set_fit_together(name):
    namespace = one_of("edge.yaml", "Namespace")["metadata"]["name"]
    for document in documents(name):
        assert document["apiVersion"] and document["metadata"]["name"]
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == namespace
    daemon_set = one_of(name, "DaemonSet")["spec"]
    template = daemon_set["template"]
    assert daemon_set["selector"]["matchLabels"] == template["metadata"]["labels"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    containers = template["spec"]["containers"] + template["spec"].get("initContainers", [])
    mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
    assert mounted == set(volumes)
    for container in containers:
        assert all(isinstance(variable["value"], str) for variable in container.get("env", []))
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] == one_of(name, "ConfigMap")["metadata"]["name"]


def test_both_daemon_sets_share_nodes_and_the_directory_of_sites():
    edge, site = (one_of(name, "DaemonSet")["spec"]["template"]["spec"] for name in ("edge.yaml", "site.yaml"))
    assert edge["nodeSelector"] == site["nodeSelector"]
    made = [volume["hostPath"]["path"] for volume in edge["volumes"]
            if volume.get("hostPath", {}).get("type") == "DirectoryOrCreate"]
    sites, = [volume["hostPath"]["path"] for volume in site["volumes"] if "hostPath" in volume]
    assert sites in made  # proxyd starts before there is any site
    mounts = {mount["name"]: mount["mountPath"] for mount in edge["containers"][0]["volumeMounts"]}
    assert all(mounts[volume["name"]] == volume["hostPath"]["path"] for volume in edge["volumes"] if "hostPath" in volume)


def test_proxyd_takes_the_configuration(workspace):
    result = run_proxyd("--config", workspace.write_configuration(configuration_text()), "--print-config")
    assert (result.returncode, result.stderr) == (0, "")
    site = one_of("site.yaml", "DaemonSet")["spec"]["template"]["spec"]
    assert json.loads(result.stdout)["sites"] in {volume.get("hostPath", {}).get("path") for volume in site["volumes"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up capabilities of root's")
def test_the_capabilities_of_the_edge_suffice(workspace):
    """For a start with workers of another user, a handoff, a reload, and an end."""
    context = one_of("edge.yaml", "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    kept = ",".join(f"+{name.lower()}" for name in context["capabilities"]["add"])
    user = pwd.getpwnam("nobody")
    workspace.path.chmod(0o755)
    inbox = workspace.inbox("sites/blog.example.org")
    os.chown(inbox.path, 0, user.pw_gid)
    os.chmod(inbox.path, 0o660)
    proxyd = workspace.start_proxyd(("setpriv", f"--bounding-set=-all,{kept}", "--inh-caps=-all", "--no-new-privs"),
                                    sites=str(workspace.sites), user=user.pw_name)
    for attempt in range(2):
        client = workspace.connect(Get, port=Port)
        inbox.receive().answer(b"done")
        assert client.read_to_end() == b"done"
        if attempt == 0:
            assert " notice reloaded: " in proxyd.reload()
    assert proxyd.stop()["handed_over"] >= 1
