# SPDX-License-Identifier: MIT
"""Clients whose site is absent, refuses or is full, and what happens at the limits."""

import os

import pytest

from support import client_hello
from support.receivers import QueueLength
from support.workspace import Port, free_port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"

# Root may have any number of descriptors in flight.
WithoutResource = ("setpriv", "--bounding-set=-sys_resource,-sys_admin") if os.geteuid() == 0 else ()


def test_a_full_queue_keeps_clients_waiting_until_there_is_room(workspace, start, wait_until_accepted):
    inbox = workspace.inbox("blog")
    proxyd = start()
    clients = [workspace.connect(Get) for _ in range(QueueLength + 4)]
    wait_until_accepted()
    proxyd.access_line(QueueLength)  # and the one of the accepted last
    assert len(proxyd.access_lines()) == QueueLength + 1
    assert [inbox.receive().client for _ in clients] == [client.address for client in clients]
    assert all(proxyd.access_line_of(client)["verdict"] == "handed_over" for client in clients)


def test_a_full_queue_moves_on_as_soon_as_there_is_room(workspace, start):
    """Looking again now and then, four times a second, would let most of so many wait for too long."""
    inbox = workspace.inbox("blog")
    proxyd = start(wait_for_site="10s")
    clients = [workspace.connect(Get) for _ in range(700)]
    proxyd.access_line(QueueLength - 1)
    assert [inbox.receive().client for _ in clients] == [client.address for client in clients]
    assert all(line["verdict"] == "handed_over" for line in proxyd.access_lines())


def test_a_full_queue_passes_clients_on_to_another_instance(workspace, start):
    stalled, working = workspace.inbox("blog", f"{Port}.a.sock"), workspace.inbox("blog", f"{Port}.b.sock")
    start()
    for _ in range(3 * QueueLength):
        workspace.connect(Get)
        if (handoff := working.receive_if_any()):
            handoff.close()
    waiting = 3 * QueueLength - QueueLength - len(working._handoffs)
    for _ in range(waiting):
        working.receive()
    assert not stalled.is_empty()


def test_a_stalled_site_does_not_hold_up_another(workspace, start, wait_until_accepted):
    workspace.inbox("blog")
    start()
    for _ in range(QueueLength + 5):
        workspace.connect(Get)
    for _ in range(3):
        wait_until_accepted()


def test_a_full_queue_for_too_long_gets_503(workspace, start):
    workspace.inbox("blog")
    proxyd = start(wait_for_site="250ms")
    for _ in range(QueueLength):
        workspace.connect(Get)
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("rejected", "site_full")


def test_a_site_that_stays_absent_gets_internal_error(workspace, start):
    workspace.site("blog")
    proxyd = start(wait_for_site="250ms")
    client = workspace.connect(client_hello.captured(Name))
    assert client_hello.is_fatal_alert(client.read_to_end(), client_hello.AlertInternalError)
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("rejected", "site_absent")


def test_no_wait_for_a_site(workspace, start):
    proxyd = start(wait_for_site="0s")
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    assert proxyd.access_line_of(client)["reason"] == "site_absent"


def test_no_more_clients_wait_than_pending_max(workspace, start, wait_until_accepted):
    proxyd = start(pending_max=2)
    waiting = [workspace.connect(Get), workspace.connect(Get)]
    wait_until_accepted()
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("rejected", "pending_max")
    inbox = workspace.inbox("blog")
    assert sorted(inbox.receive().client for _ in waiting) == sorted(client.address for client in waiting)


def test_beyond_sessions_max_the_oldest_without_a_hello_makes_room(workspace, start, wait_until_accepted):
    proxyd = start(sessions_max=3)
    clients = []
    for _ in range(3):
        clients.append(workspace.connect(b"GET / "))
        wait_until_accepted()
    assert clients[0].read_to_end().startswith(b"HTTP/1.1 503 ")
    line = proxyd.access_line_of(clients[0])
    assert (line["verdict"], line["reason"]) == ("rejected", "sessions_max")
    inbox = workspace.inbox("blog")
    clients[2].send(b"HTTP/1.1\r\nHost: blog.example.org\r\n\r\n")
    assert inbox.receive().client == clients[2].address


def test_clients_of_a_site_that_is_down_do_not_keep_others_out(workspace, start, wait_until_accepted):
    """They fill sessions_max and more; the oldest of them make room, and nothing pauses."""
    proxyd = start(sessions_max=10)
    waiting = [workspace.connect(Get) for _ in range(15)]
    wait_until_accepted()
    for client in waiting[:6]:
        assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
        assert proxyd.access_line_of(client)["reason"] == "sessions_max"
    inbox = workspace.inbox("blog")
    assert [inbox.receive().client for _ in waiting[6:]] == [client.address for client in waiting[6:]]
    assert not any("accepting pauses" in line for line in proxyd.lines)


def test_clients_wait_for_the_socket_of_their_family_to_come_back(workspace):
    """The server's other socket is alive all the time: one for each family, of two processes perhaps."""
    workspace.inbox("blog", f"{Port}.6-any-{Port}-0.sock")
    workspace.inbox("blog", f"{Port}.4-any-{Port}-0.sock").close()
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.path / "blog"),
                                            "other.example.org": str(workspace.path / "other")})
    other = workspace.inbox("other")
    client = workspace.connect(Get)
    later = workspace.connect(Get.replace(b"blog", b"other"))
    assert other.receive().client == later.address
    assert len(proxyd.access_lines()) <= 1  # of the later one: the first one waits
    assert workspace.inbox("blog", f"{Port}.4-any-{Port}-1.sock").receive().client == client.address


def test_a_client_is_told_its_own_reason_not_that_of_the_other_family(workspace):
    port = free_port("::1")
    workspace.inbox("blog", f"{port}.4-any-{port}-0.sock").close()
    ipv6 = workspace.inbox("blog", f"{port}.6-any-{port}-0.sock")
    proxyd = workspace.start_proxyd(listen=[f"{workspace.address}:{port}", f"[::1]:{port}"], wait_for_site="500ms",
                                    routes={Name: str(workspace.path / "blog")})
    client = workspace.connect(Get, port=port)
    other = workspace.connect(Get, address="::1", port=port)
    assert ipv6.receive().client == other.address
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("rejected", "site_refused")


def test_clients_of_one_family_do_not_wait_behind_those_of_the_other(workspace):
    """A server may have a socket for each, as nginx has with two `listen` lines."""
    port = free_port("::1")
    ipv4 = workspace.inbox("blog", f"{port}.4-any-{port}-0.sock")
    ipv6 = workspace.inbox("blog", f"{port}.6-any-{port}-0.sock")
    workspace.start_proxyd(listen=[f"{workspace.address}:{port}", f"[::1]:{port}"],
                           routes={Name: str(workspace.path / "blog")})
    stalled = [workspace.connect(Get, address="::1", port=port) for _ in range(QueueLength + 3)]
    client = workspace.connect(Get, port=port)
    assert ipv4.receive().client == client.address
    assert [ipv6.receive().client for _ in stalled] == [client.address for client in stalled]


@pytest.mark.parametrize("exists", ["directory", "parent", "nothing"])
def test_clients_wait_for_a_site_to_appear(workspace, exists, wait_until_accepted):
    site = workspace.path / "run" / "sites" / "blog"
    {"directory": site, "parent": site.parent, "nothing": workspace.path}[exists].mkdir(parents=True, exist_ok=True)
    proxyd = workspace.start_proxyd(routes={Name: str(site), "other.example.org": str(workspace.site("other"))})
    clients = [workspace.connect(Get), workspace.connect(client_hello.captured(Name))]
    wait_until_accepted()
    inbox = workspace.inbox("run/sites/blog")
    assert sorted(inbox.receive().client for _ in clients) == sorted(client.address for client in clients)
    assert proxyd.access_line_of(clients[0])["reason"] == "exact_name"


def test_clients_wait_for_a_site_in_sites_to_get_a_socket(workspace, wait_until_accepted):
    (workspace.sites / Name).mkdir()
    workspace.start_proxyd(sites=str(workspace.sites), routes={"other.example.org": str(workspace.site("other"))})
    client = workspace.connect(Get)
    wait_until_accepted()
    assert workspace.inbox(f"sites/{Name}").receive().client == client.address


def test_clients_wait_for_a_site_whose_directory_is_replaced(workspace, start, wait_until_accepted):
    workspace.site("blog")
    start()
    client = workspace.connect(Get)
    wait_until_accepted()
    os.rename(workspace.path / "blog", workspace.path / "old")
    assert workspace.inbox("blog").receive().client == client.address


def test_a_slow_hello_behind_a_waiting_client_waits_too(workspace, start, wait_until_accepted):
    start()
    clients = [workspace.connect(Get[:20]), workspace.connect(Get)]
    wait_until_accepted()
    clients[0].send(Get[20:])
    wait_until_accepted()
    inbox = workspace.inbox("blog")
    assert sorted(inbox.receive().client for _ in clients) == sorted(client.address for client in clients)


def test_all_who_wait_for_an_absent_site_are_told_the_same(workspace, start):
    proxyd = start(wait_for_site="250ms")
    clients = [workspace.connect(Get) for _ in range(3)]
    for client in clients:
        assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
        assert proxyd.access_line_of(client)["reason"] == "site_absent"


def test_a_client_that_leaves_while_it_waits_is_logged(workspace, start, wait_until_accepted):
    proxyd = start()
    client = workspace.connect(Get)
    wait_until_accepted()
    client.reset()
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("closed", "client_reset")


def test_a_client_that_finished_sending_is_still_handed_over(workspace, start, wait_until_accepted):
    """It waits for its answer: a finished sender is no closed connection."""
    start()
    client = workspace.connect(Get)
    client.finish_sending()
    wait_until_accepted()
    handoff = workspace.inbox("blog").receive()
    assert handoff.read(len(Get) + 1) == Get
    handoff.answer(b"answer")
    assert client.read_to_end() == b"answer"


def test_a_stale_socket_file_alone_makes_clients_wait(workspace, start, wait_until_accepted):
    workspace.inbox("blog").close()
    start()
    client = workspace.connect(Get)
    wait_until_accepted()
    assert workspace.inbox("blog").receive().client == client.address


def test_a_stale_socket_file_alone_gets_503_in_the_end(workspace, start):
    workspace.inbox("blog").close()
    proxyd = start(wait_for_site="250ms")
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("rejected", "site_refused")


def test_a_receiver_that_dies_with_a_full_queue_makes_room_for_its_successor(workspace, start, wait_until_accepted):
    stalled = workspace.inbox("blog")
    proxyd = start()
    for _ in range(QueueLength):
        proxyd.access_line_of(workspace.connect(Get))
    client = workspace.connect(Get)
    wait_until_accepted()
    stalled.close()
    assert workspace.inbox("blog").receive().client == client.address


def test_more_clients_than_descriptors_are_all_served(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start(prefix=("prlimit", "--nofile=32"))
    clients = [workspace.connect(Get) for _ in range(100)]
    assert sorted(inbox.receive().client for _ in clients) == sorted(client.address for client in clients)
    assert proxyd.stop()["handed_over"] == 100


def test_more_waiting_clients_than_descriptors_are_all_served(workspace, start):
    """Those for whom there is no descriptor stay in the kernel's queue."""
    start(prefix=("prlimit", "--nofile=32"))
    clients = [workspace.connect(Get) for _ in range(100)]
    inbox = workspace.inbox("blog")
    assert sorted(inbox.receive().client for _ in clients) == sorted(client.address for client in clients)


def test_slow_clients_in_all_places_make_room(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start(prefix=("prlimit", "--nofile=32"))
    slow = [workspace.connect(Get[:20]) for _ in range(50)]
    quick = workspace.connect(Get)
    assert inbox.receive().client == quick.address
    assert slow[0].read_to_end().startswith(b"HTTP/1.1 503 ")
    assert proxyd.access_line_of(slow[0])["reason"] == "sessions_max"


def test_more_sites_than_descriptors_are_all_served(workspace):
    names = [f"site-{number}.example.org" for number in range(50)]
    inboxes = [workspace.inbox(f"sites/{name}") for name in names]
    workspace.start_proxyd(sites=str(workspace.sites), prefix=("prlimit", "--nofile=32"))
    for _ in range(2):
        for name, inbox in zip(names, inboxes):
            client = workspace.connect(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % name.encode())
            assert inbox.receive().client == client.address
            client.close()


def test_too_many_descriptors_in_flight_lose_nobody(workspace, start):
    """The kernel lets a user have as many in queues as descriptors open (ETOOMANYREFS)."""
    inboxes = [workspace.inbox("blog", f"{Port}.{number}.sock") for number in range(6)]
    start(prefix=(*WithoutResource, "prlimit", "--nofile=32"))
    clients = [workspace.connect(Get) for _ in range(50)]
    taken = []

    def all_are_taken():
        for inbox in inboxes:
            while handoff := inbox.receive_if_any():
                taken.append(handoff.client)
        return len(taken) == len(clients)

    wait_until(all_are_taken, "all handoffs")
    assert sorted(taken) == sorted(client.address for client in clients)
