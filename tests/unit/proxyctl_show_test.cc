// SPDX-License-Identifier: MIT
#include "proxyctl/show.h"
#include "tests/unit/catch.h"

using namespace proxyd;

TEST_CASE("proxyctl_show: status", "[proxyctl_show]") {
    CHECK(show_status(Json::parse(R"({"version":"0.1.0","pid":4711,"uptime_ms":11520000,
        "program_uptime_ms":60000,
        "configuration":"/etc/proxyd/proxyd.json","configuration_age_ms":720000,"generation":3,
        "routes":12,"sites":"/run/proxyd/sites","listeners":[{"address":"0.0.0.0:443","site":null},
        {"address":"[::]:25","site":"/run/mail"}],"log_level":"notice","user":"proxyd","landlock":7,
        "last_reload":{"ok":false,"age_ms":5000,"problems":["a:3: x"]},
        "workers":[{"worker":0,"pid":4712,"generation":3,"state":"serving","uptime_ms":720000,
        "sessions":3,"handed_over":1000,"rejected":2,"closed":1,"timed_out":0}]})")) ==
          "proxyd 0.1.0, process 4711, up 3h12m, upgraded 1m00s ago\n"
          "configuration  /etc/proxyd/proxyd.json, loaded 12m00s ago (generation 3), routes: 12, "
          "sites in /run/proxyd/sites\n"
          "listening on   0.0.0.0:443, [::]:25 (site /run/mail)\n"
          "workers run as proxyd, confined by seccomp and Landlock 7\n"
          "log level      notice\n"
          "last reload    failed 5.0s ago\n"
          "    a:3: x\n"
          "\n"
          "WORKER  PROCESS  GENERATION  STATE        UP  SESSIONS  HANDED OVER  REJECTED  CLOSED  "
          "TIMED OUT\n"
          "     0     4712           3  serving  12m00s         3         1000         2       1  "
          "        0\n");
}

TEST_CASE("proxyctl_show: sites", "[proxyctl_show]") {
    const std::vector<Json> sites = {
        Json::parse(R"({"site":"/s/a","directory":{"state":"there"},"ports":[
            {"port":443,"waiting":0,"waiting_ms":0,"sockets":[
                {"file":"443.4-any-443-0.sock","state":"live","queued":2,"server_listens_on":
                 {"address":"0.0.0.0:443"}},
                {"file":"443.sock","state":"dead","queued":0}]},
            {"port":80,"waiting":3,"waiting_ms":3210,"listened_at":true,"sockets":[]}]})"),
        Json::parse(R"({"site":"/s/b","directory":{"state":"absent"},"ports":[]})"),
        Json::parse(R"({"site":"/s/c","directory":{"state":"there"},"ports":[]})"),
        Json::parse(R"({"site":"/s/d","directory":{"state":"there"},"ports":[
            {"port":81,"waiting":0,"waiting_ms":0,"listened_at":false,"sockets":[
                {"file":"81.sock","state":"live","queued":0}]}]})"),
    };
    CHECK(
        show_sites(sites) ==
        "SITE  PORT  SOCKET                STATE  QUEUED  WAITING  SINCE  NOTE\n"
        "/s/a   443  443.4-any-443-0.sock  live        2        0      -  server listens on "
        "0.0.0.0:443\n"
        "/s/a   443  443.sock              dead        0        0      -  nobody has it open\n"
        "/s/a    80  -                     -           -        3   3.2s  no socket for this port\n"
        "/s/b     -  -                     -           -        -      -  there is no such "
        "directory\n"
        "/s/c     -  -                     -           -        -      -  no socket in it\n"
        "/s/d    81  81.sock               live        0        0      -  proxyd doesn't listen on "
        "port 81\n");
}

TEST_CASE("proxyctl_show: a site whose sockets are for other ports", "[proxyctl_show]") {
    const std::string text = show_explanation(
        Json::parse(R"({"verdict":"handed_over","sockets":[],"other_ports":[80,8443]})"));
    CHECK(text.ends_with(
        "\nNobody listens there now: a client waits, and is rejected if that doesn't change.\n"
        "The site's live sockets are for port 80, 8443: --port asks for that.\n"));
}

TEST_CASE("proxyctl_show: a kernel without Landlock", "[proxyctl_show]") {
    CHECK(
        show_status(Json::parse(R"({"user":"proxyd","landlock":0})"))
            .find("\nworkers run as proxyd, confined by seccomp (this kernel has no Landlock)\n") !=
        std::string::npos);
}

TEST_CASE("proxyctl_show: sockets that proxyd may not send to", "[proxyctl_show]") {
    const Json site = Json::parse(R"({"sockets":[
        {"file":"443.sock","state":"not_permitted","queued":0,"mode":"0660","uid":0,"gid":0},
        {"file":"80.sock","state":"not_permitted","queued":0,"mode":"0640","uid":0,"gid":4294967294}]})");
    const auto rows = socket_rows(site);
    REQUIRE(rows.size() == 2);
    CHECK(rows[0][3] ==
          "owner root, group root, mode 0660: the user of proxyd's workers is not in that group");
    CHECK(rows[1][3] ==
          "owner root, group 4294967294, mode 0640: proxyd's workers may not write there");
    Json explanation = site;
    explanation["verdict"] = "handed_over";
    const std::string text = show_explanation(explanation);
    const std::string end =
        "\nproxyd may not send to what is there: a client waits, and is rejected if that doesn't "
        "change.\n";
    CHECK(text.ends_with(end));
    CHECK(text.find("Nobody listens") == text.npos);
}

TEST_CASE("proxyctl_show: a socket that receives no handoffs", "[proxyctl_show]") {
    const Json explanation = Json::parse(R"({"verdict":"handed_over","sockets":[
        {"file":"443.sock","state":"stream","queued":0,"mode":"0666","world_writable":true}]})");
    CHECK(socket_rows(explanation)[0][3] == "a stream socket, which receives no handoffs");
    CHECK(
        show_explanation(explanation)
            .ends_with("\nWhat is there is no receiver's socket, but one to which one connects: a "
                       "client waits, and is rejected if that doesn't change.\n"));
}

TEST_CASE("proxyctl_show: a directory that proxyd may not enter", "[proxyctl_show]") {
    const Json site = Json::parse(R"({"site":"/s/a","directory":{"state":"unusable",
        "error":"Permission denied","worker_uid":1,"mode":"2750","uid":0,"gid":4294967294},
        "ports":[{"port":80,"waiting":0,"waiting_ms":0,"listened_at":true,"sockets":[]}]})");
    CHECK(show_sites({site}) ==
          "SITE  PORT  SOCKET  STATE  QUEUED  WAITING  SINCE  NOTE\n"
          "/s/a    80  -       -           -        0      -  proxyd's user daemon may not enter "
          "it: owner root, group 4294967294, mode 2750\n");
    Json explanation = {{"verdict", "handed_over"}, {"directory", site["directory"]}};
    CHECK(show_explanation(explanation)
              .ends_with("\nproxyd's user daemon may not enter it: owner root, group 4294967294, "
                         "mode 2750. A client waits, and is rejected if that doesn't change.\n"));
    explanation["directory"] =
        Json::parse(R"({"state":"unusable","error":"Permission denied","worker_uid":1})");
    CHECK(why_unusable(explanation) == "proxyd's user daemon may not enter a directory above it");
    explanation["directory"] = {{"state", "unusable"}, {"error", "Not a directory"}};
    CHECK(why_unusable(explanation) == "Not a directory");
    CHECK(why_unusable({{"directory", {{"state", "there"}}}}).empty());
}

TEST_CASE("proxyctl_show: an explanation of a client that goes somewhere", "[proxyctl_show]") {
    CHECK(show_explanation(Json::parse(R"({"steps":[
        {"rule":"exact_name","key":"a.example","outcome":"no_match","text":"no route of that name"},
        {"rule":"default","key":"*","outcome":"match","text":"everything else"}],
        "verdict":"handed_over","reason":"default","route":"*","site":"/s/d","port":443,
        "sockets":[{"file":"443.sock","state":"live","queued":0}]})")) ==
          "RULE        KEY        OUTCOME   WHY\n"
          "exact_name  a.example  no match  no route of that name\n"
          "default     *          match     everything else\n"
          "\n"
          "goes to /s/d, port 443, by route * (default)\n"
          "SOCKET    STATE  QUEUED  NOTE\n"
          "443.sock  live        0\n");
}

TEST_CASE("proxyctl_show: an explanation of a client that is rejected or waits",
          "[proxyctl_show]") {
    CHECK(
        show_explanation(Json::parse(R"({"steps":[],"verdict":"rejected","reason":"no_route"})")) ==
        "RULE  KEY  OUTCOME  WHY\n"
        "\n"
        "rejected: no_route\n");
    CHECK(show_explanation(Json::parse(R"({"steps":[],"verdict":"handed_over","reason":"default",
              "route":"*","site":"/s","port":80,"sockets":[]})")) ==
          "RULE  KEY  OUTCOME  WHY\n"
          "\n"
          "goes to /s, port 80, by route * (default)\n"
          "Nobody listens there now: a client waits, and is rejected if that doesn't change.\n");
}

TEST_CASE("proxyctl_show: sessions and routes", "[proxyctl_show]") {
    CHECK(
        show_sessions({Json::parse(R"({"id":"1-2","client":"192.0.2.1:5","listener":"192.0.2.9:443",
        "protocol":"tls","name":"a\u001b","state":"awaiting_hello","age_ms":70,"bytes_seen":12,
        "site":null})")}) ==
        "SESSION  CLIENT       LISTENER       PROTOCOL  NAME   STATE          AGE  BYTES  SITE\n"
        "1-2      192.0.2.1:5  192.0.2.9:443  tls       a\\x1b  awaits hello  70ms     12  -\n");
    CHECK(show_routes({Json::parse(R"({"route":"a","site":"/s","line":3,"deny":["::/0"],
        "alpn":[{"protocol":"acme-tls/1","site":"/t"}]})")}) ==
          "ROUTE  SITE  LINE  NOTE\n"
          "a      /s       3  deny ::/0, alpn acme-tls/1 to /t\n");
}

TEST_CASE("proxyctl_show: events", "[proxyctl_show]") {
    CHECK(show_event(Json::parse(R"({"event":"session","time":"T","client":"192.0.2.1:5",
        "protocol":"tls","name":"a","site":"/s/443.sock","verdict":"handed_over",
        "reason":"exact_name"})")) ==
          "T handed_over 192.0.2.1:5 tls a -> /s/443.sock (exact_name)");
    CHECK(show_event(Json::parse(R"({"event":"session","time":"T","client":"192.0.2.1:5",
        "protocol":null,"name":null,"site":null,"verdict":"closed","reason":"client_closed"})")) ==
          "T closed 192.0.2.1:5 (client_closed)");
    CHECK(show_event(Json::parse(R"({"event":"reload","time":"T","ok":true,"generation":2})")) ==
          "T reload ok=yes generation=2");
    CHECK(show_event(Json::parse(R"({"lost":7})")) ==
          "... 7 events are lost: this reader did not keep up");
}

TEST_CASE("proxyctl shows a tcpshim, its sites and its workers", "[proxyctl_show]") {
    const auto status = Json::parse(R"({"program":"tcpshim","version":"0.1.0","pid":7,
        "uptime_ms":65000,"configuration":"","configuration_age_ms":1000,"generation":1,
        "user":"proxyd","landlock":0,"log_level":"notice","sites":[{"site":"nas","ports":[443,80],
        "backends":2,"backends_up":1,"active":3,"connections":40,"retried":0,"to_backend":1023,
        "to_client":1024}],"workers":[{"pid":8,"state":"serving","generation":1,"uptime_ms":900,
        "active":3}]})");

    CHECK(proxyd::show_relay_status(status) ==
          "tcpshim 0.1.0, process 7, up 1m05s\n"
          "configuration  command line, loaded 1.0s ago (generation 1)\n"
          "worker runs as proxyd, confined by seccomp (this kernel has no Landlock)\n"
          "log level      notice\n"
          "\n"
          "SITE  PORTS   UP  BACKENDS  ACTIVE  CONNECTIONS  RETRIED  TO BACKEND  TO CLIENT\n"
          "nas   443,80   1         2       3           40        0        1023       1.0K\n"
          "\n"
          "PROCESS  STATE    GENERATION     UP  ACTIVE\n"
          "      8  serving           1  900ms       3\n");
}

TEST_CASE("proxyctl shows backends, and why one is down", "[proxyctl_show]") {
    const auto backend = Json::parse(R"({"site":"nas","backend":"nas.lan:443","state":"down",
        "since_ms":3000,"cause":"HTTP 503","active":0,"connections":9,"failures":2,
        "to_backend":10485760,"to_client":5368709120})");

    CHECK(proxyd::show_backends({backend}) ==
          "SITE  BACKEND      STATE   FOR  ACTIVE  CONNECTIONS  FAILURES  TO BACKEND  TO CLIENT  "
          "CAUSE\n"
          "nas   nas.lan:443  down   3.0s       0            9         2         10M       5.0G  "
          "HTTP 503\n");
    CHECK(proxyd::show_backends({}) == "no backends\n");
}
