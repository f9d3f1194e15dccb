#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs what the tests need, builds, and runs them with ctest.
set -euo pipefail
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin:/sbin  # nginx is there, and not every user has it in PATH

usage() {
    cat <<'TEXT'
usage: ./test.sh [--preset dev|asan|tsan|release] [--all] [--soak] [-- CTEST-ARGUMENTS...]

Installs what is missing from Debian's packages (with sudo, if you are not root), builds the tests into
build/PRESET, and runs them.

  --preset NAME   what to build (default: dev); asan finds errors in the use of memory, tsan races
  --all           presets dev, which g++ compiles, and asan, which clang++ does
  --soak          the long versions of the tests that have one
  -- ...          for ctest, such as: -- -R integration.http
TEXT
}

presets=(dev)
ctest_arguments=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --preset)
        presets=("${2:?--preset needs a name, see --help}")
        [[ ${presets[0]} =~ ^(dev|asan|tsan|release)$ ]] || {
            echo "test.sh: there is no preset '$2', see --help" >&2
            exit 2
        }
        shift ;;
    --all) presets=(dev asan) ;;
    --soak) export PROXYD_SOAK=1 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; ctest_arguments=("$@"); break ;;
    *) echo "test.sh: unknown argument '$1', see --help" >&2; exit 2 ;;
    esac
    shift
done

export ASAN_OPTIONS=detect_leaks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1
export PYTEST_ADDOPTS=-rs  # why a case was skipped

libraries=(libc-ares-dev libev-dev libfmt-dev nlohmann-json3-dev libseccomp-dev libnghttp2-dev libmicrohttpd-dev libsystemd-dev)
to_build=(g++ cmake ninja-build pkg-config "${libraries[@]}" catch2)
to_test=(python3 python3-pytest python3-yaml dnsmasq-base iproute2 nftables libcap2-bin musl-tools strace procps util-linux sudo)
to_check=(prometheus mandoc man-db zsh bash-completion systemd logrotate debhelper dpkg-dev fakeroot lintian)
servers_and_clients=(nginx nginx-dev nodejs curl openssl gnutls-bin libnss3-tools haproxy nghttp2-client openssh-server openssh-client
    python3-aiosmtpd python3-websockets)
# What goes through the exercises behind proxyd, under libpreload.
language_servers=(python3-django gunicorn python3-gevent python3-eventlet uwsgi-core uwsgi-plugin-python3 uvicorn python3-waitress
    python3-tornado python3-twisted python3-cherrypy3 ruby-webrick puma unicorn starman openjdk-17-jre-headless
    libeclipse-jdt-core-java libtomcat10-embed-java libjetty9-java libpython3.11-testsuite)
web_servers=(apache2-bin libapache2-mod-php8.2 lighttpd lighttpd-mod-openssl busybox mini-httpd php8.2-cli php8.2-fpm varnish
    hitch squid stunnel4 caddy)
other_servers=(dovecot-imapd vsftpd postgresql-15 postgresql-client-15 redis-server redis-tools memcached
    mosquitto mosquitto-clients mariadb-server-core mariadb-client-core erlang-base libboost-dev gocryptfs sccache)
confinement=(bubblewrap firejail podman crun)
examples=(apache2 libapache2-mod-php php-mysql mariadb-server wordpress wordpress-theme-twentytwentyone python3-django gunicorn
    tomcat10-common default-jre-headless)
to_build_with_clang=(clang libclang-rt-dev)

packages=("${to_build[@]}" "${to_test[@]}" "${to_check[@]}" "${servers_and_clients[@]}" "${web_servers[@]}" "${language_servers[@]}"
    "${other_servers[@]}" "${confinement[@]}" "${examples[@]}")
# It would take the place of another mail server.
[[ -x /usr/sbin/sendmail ]] || packages+=(postfix)
[[ " ${presets[*]} " != *" asan "* ]] || packages+=("${to_build_with_clang[@]}")
[[ -z ${PROXYD_SOAK:-} ]] || packages+=(patchelf)  # to run the nginx of other releases
packaging/install-missing.sh "${packages[@]}"

failed_steps=()
passed=0 failed=0 skipped=0 cases_skipped=0

# build PRESET: into build/PRESET; what the tools say is shown only if they fail.
build() {
    local name=$1 log=build/$1.log
    mkdir -p build
    if ! { cmake --preset "$name" -DPROXYD_TESTS=ON && cmake --build "build/$name" -j "$(nproc)"; } >"$log" 2>&1; then
        grep -E -A 20 'FAILED|CMake Error| error: ' "$log" | head -n 100 >&2 || true
        echo "Building $name failed; the whole log is in $log." >&2
        return 1
    fi
}
export -f build

# ctest's own count takes skipped tests for passed ones, so the entries of its reports are counted.
run_tests() {
    local preset=$1 logs=build/$1/Testing/Temporary report=$PWD/build/$1/tests.xml
    local all_here passed_here failed_here
    rm -f "$report" "$logs/LastTestsFailed.log"
    echo "Testing $preset"
    ctest --test-dir "build/$preset" --parallel "$(nproc)" --output-on-failure --no-tests=error \
        --output-junit "$report" "${ctest_arguments[@]}" || failed_steps+=("testing $preset")
    [[ -s $report ]] || return 0
    all_here=$(grep -c '^[[:space:]]*<testcase ' "$report" || true)
    passed_here=$(grep -c '^[[:space:]]*<testcase .* status="run">' "$report" || true)
    failed_here=0
    [[ ! -e $logs/LastTestsFailed.log ]] || failed_here=$(grep -c . "$logs/LastTestsFailed.log")
    passed=$((passed + passed_here))
    failed=$((failed + failed_here))
    skipped=$((skipped + all_here - passed_here - failed_here))
    # Single cases that pytest has skipped, of tests that have passed.
    grep '^SKIPPED ' "$logs/LastTest.log" || true
    cases_skipped=$((cases_skipped + $(awk -F'[][]' '/^SKIPPED / { n += $2 } END { print n + 0 }' "$logs/LastTest.log")))
}

# While tests wait for what they have started, the next preset is built, which gives way to them.
echo "Building ${presets[0]} (log in build/${presets[0]}.log)"
build "${presets[0]}" &
for index in "${!presets[@]}"; do
    preset=${presets[index]}
    next=${presets[index + 1]:-}
    is_built=yes
    wait $! || is_built=
    if [[ -n $next ]]; then
        echo "Building $next meanwhile (log in build/$next.log)"
        # In a session of its own, since the scheduler shares the processor out by sessions first (autogroup, sched(7)).
        setsid bash -c '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; renice -n 19 $$ >/dev/null; build "$1"' - "$next" &
    fi
    if [[ -n $is_built ]]; then run_tests "$preset"; else failed_steps+=("building $preset"); fi
done

for step in "${failed_steps[@]}"; do echo "FAILED: $step"; done
if ((skipped + cases_skipped > 0)); then
    echo "skipped: $skipped tests, and $cases_skipped cases of others, for the reasons above"
fi
echo "$passed passed, $failed failed"
[[ ${#failed_steps[@]} -eq 0 ]]
