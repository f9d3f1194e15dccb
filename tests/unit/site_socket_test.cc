// SPDX-License-Identifier: MIT
#include "base/handoff/site_socket.h"

#include "tests/support/fd_census.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>
#include <string>

namespace proxyd {
namespace {

using test::TemporaryDirectory;

UniqueFd unix_socket(int type) {
    return UniqueFd::adopt(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

UniqueFd receiver_socket() {
    return unix_socket(SOCK_DGRAM);
}

std::string prefix_of(const TemporaryDirectory& directory) {
    return directory.path().string() + "/";
}

Result<void> bind_in(const TemporaryDirectory& directory, const UniqueFd& receiver,
                     const SiteSocketName& name) {
    return bind_site_socket(receiver, directory.fd(), prefix_of(directory), name);
}

std::string formatted(const SiteSocketName& name) {
    SiteSocketName::Text text;
    const std::string_view view = name.format(text);
    CHECK(view.data()[view.size()] == '\0');
    return std::string(view);
}

// "port instance" or "-".
std::string parsed(std::string_view file_name) {
    const auto name = SiteSocketName::parse(file_name);
    if (!name) return "-";
    return std::to_string(name->port) + " " + std::string(name->instance);
}

std::string own_path(BorrowedFd socket) {
    sockaddr_un address{};
    socklen_t length = sizeof(address);
    getsockname(socket.number(), reinterpret_cast<sockaddr*>(&address), &length);
    return address.sun_path;
}

size_t files_in(const TemporaryDirectory& directory) {
    size_t count = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(directory.path()))
        count++;
    return count;
}

TEST_CASE("a file is named after port and instance", "[site_socket]") {
    CHECK(formatted({443, {}}) == "443.sock");
    CHECK(formatted({443, "4-any-443-0"}) == "443.4-any-443-0.sock");
    const std::string longest(SiteSocketName::InstanceBytesMax, 'i');
    CHECK(formatted({65535, longest}) == "65535." + longest + ".sock");
}

TEST_CASE("reads port and instance from a file's name", "[site_socket]") {
    CHECK(parsed("443.sock") == "443 ");
    CHECK(parsed("1.sock") == "1 ");
    CHECK(parsed("65535.sock") == "65535 ");
    CHECK(parsed("443.4-any-443-0.sock") == "443 4-any-443-0");
    CHECK(parsed("443.a.b.sock") == "443 a.b");
    CHECK(parsed("443.sock.sock") == "443 sock");
}

TEST_CASE("an instance has at most 64 bytes", "[site_socket]") {
    const std::string longest(64, 'i');
    CHECK(parsed("443." + longest + ".sock") == "443 " + longest);
    CHECK(parsed("443." + longest + "i.sock") == "-");
}

TEST_CASE("other files are nobody's business", "[site_socket]") {
    for (const char* file_name :
         {"", ".sock", "443", "443.", "443.soc", "443.sock.new", ".443.sock", "0.sock", "0443.sock",
          "65536.sock", "99999999999.sock", "-1.sock", "+1.sock", " 443.sock", "443 .sock",
          "443x.sock", "443..sock", "https.sock", "443sock"}) {
        CAPTURE(file_name);
        CHECK(parsed(file_name) == "-");
    }
}

TEST_CASE("binds under a temporary name and renames into place", "[site_socket]") {
    const auto before = test::open_fds();
    {
        const TemporaryDirectory directory;
        const UniqueFd receiver = receiver_socket();
        REQUIRE(bind_in(directory, receiver, {443, "a"}));
        CHECK(std::filesystem::is_socket(directory.path() / "443.a.sock"));
        CHECK(files_in(directory) == 1);
        CHECK(own_path(receiver) == prefix_of(directory) + ".443.a.sock");
    }
    CHECK(test::open_fds() == before);
}

TEST_CASE("the file's mode is 0660 whatever the umask, its group the directory's",
          "[site_socket]") {
    for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
        const TemporaryDirectory directory;
        const UniqueFd receiver = receiver_socket();
        const mode_t mask_before = umask(mask);
        const Result<void> bound = bind_in(directory, receiver, {443, {}});
        umask(mask_before);
        REQUIRE(bound);
        struct stat file {
        }, folder{};
        REQUIRE(stat((directory.path() / "443.sock").c_str(), &file) == 0);
        REQUIRE(stat(directory.path().c_str(), &folder) == 0);
        CHECK((file.st_mode & 07777) == 0660);
        CHECK(file.st_gid == folder.st_gid);
    }
}

TEST_CASE("a new receiver replaces what a crashed one left, and a live one", "[site_socket]") {
    const TemporaryDirectory directory;
    UniqueFd crashed = receiver_socket();
    REQUIRE(bind_in(directory, crashed, {443, {}}));
    crashed.close();
    CHECK(probe_site_socket(directory.fd(), "443.sock") == SiteSocketState::Dead);

    const UniqueFd second = receiver_socket();
    REQUIRE(bind_in(directory, second, {443, {}}));
    CHECK(probe_site_socket(directory.fd(), "443.sock") == SiteSocketState::Alive);

    const UniqueFd third = receiver_socket();
    REQUIRE(bind_in(directory, third, {443, {}}));
    CHECK(probe_site_socket(directory.fd(), "443.sock") == SiteSocketState::Alive);
    CHECK(files_in(directory) == 1);
}

TEST_CASE("a temporary name that a crash left behind stands in nobody's way", "[site_socket]") {
    const TemporaryDirectory directory;
    std::ofstream(directory.path() / ".443.sock") << "left behind";
    const UniqueFd receiver = receiver_socket();
    REQUIRE(bind_in(directory, receiver, {443, {}}));
    CHECK(probe_site_socket(directory.fd(), "443.sock") == SiteSocketState::Alive);
    CHECK(files_in(directory) == 1);
}

TEST_CASE("a path that is too long for the kernel goes through the directory's descriptor",
          "[site_socket]") {
    const TemporaryDirectory directory;
    const std::filesystem::path deep = directory.path() / std::string(200, 'd');
    std::filesystem::create_directory(deep);
    const UniqueFd deep_fd = test::open_path(deep);
    const UniqueFd receiver = receiver_socket();
    REQUIRE(bind_site_socket(receiver, deep_fd, deep.string() + "/", {443, {}}));
    CHECK(std::filesystem::is_socket(deep / "443.sock"));
    CHECK(probe_site_socket(deep_fd, "443.sock") == SiteSocketState::Alive);
    CHECK(own_path(receiver) ==
          "/proc/self/fd/" + std::to_string(deep_fd.borrow().number()) + "/.443.sock");
}

TEST_CASE("the prefix is used up to the last byte of sun_path", "[site_socket]") {
    const TemporaryDirectory directory;
    constexpr size_t PathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
    const size_t folder_bytes =
        PathBytesMax - prefix_of(directory).size() - std::string("/.443.sock").size();
    for (const size_t surplus : {0u, 1u}) {
        const std::filesystem::path deep =
            directory.path() / std::string(folder_bytes + surplus, 'd');
        std::filesystem::create_directory(deep);
        const UniqueFd deep_fd = test::open_path(deep);
        const UniqueFd receiver = receiver_socket();
        REQUIRE(bind_site_socket(receiver, deep_fd, deep.string() + "/", {443, {}}));
        CHECK(std::filesystem::is_socket(deep / "443.sock"));
        CHECK(own_path(receiver).starts_with("/proc/self/fd/") == (surplus == 1));
    }
}

TEST_CASE("tells why it couldn't bind, and leaves nothing behind", "[site_socket]") {
    const TemporaryDirectory directory;
    const UniqueFd bound_before = receiver_socket();
    REQUIRE(bind_in(directory, bound_before, {443, {}}));
    CHECK(bind_in(directory, bound_before, {444, {}}).error() == Errno{EINVAL});
    CHECK(files_in(directory) == 1);

    std::filesystem::create_directory(directory.path() / "445.sock");
    const UniqueFd receiver = receiver_socket();
    CHECK(bind_in(directory, receiver, {445, {}}).error() == Errno{EISDIR});
    CHECK(files_in(directory) == 2);
}

TEST_CASE("a hidden socket is whole, and waits to be renamed", "[site_socket]") {
    const TemporaryDirectory directory;
    const UniqueFd receiver = receiver_socket();
    REQUIRE(bind_hidden_site_socket(receiver, directory.fd(), prefix_of(directory), {443, "a"}));
    CHECK(probe_site_socket(directory.fd(), ".443.a.sock") == SiteSocketState::Alive);
    struct stat status {};
    REQUIRE(fstatat(directory.fd().number(), ".443.a.sock", &status, 0) == 0);
    CHECK((status.st_mode & 07777) == 0660);
    CHECK(files_in(directory) == 1);
}

TEST_CASE("a probe tells live from dead, absent and unknown", "[site_socket]") {
    const TemporaryDirectory directory;
    const auto before = test::open_fds();
    CHECK(probe_site_socket(directory.fd(), "443.sock") == SiteSocketState::Absent);

    std::ofstream(directory.path() / "file.sock") << "no socket";
    CHECK(probe_site_socket(directory.fd(), "file.sock") == SiteSocketState::Dead);
    CHECK(test::open_fds() == before);

    const UniqueFd stream = unix_socket(SOCK_STREAM);
    REQUIRE(bind_in(directory, stream, {80, {}}));
    REQUIRE(listen(stream.borrow().number(), 1) == 0);
    CHECK(probe_site_socket(directory.fd(), "80.sock") == SiteSocketState::Unknown);
}

TEST_CASE("a probe leaves no trace in the queue", "[site_socket]") {
    const TemporaryDirectory directory;
    const UniqueFd receiver = receiver_socket();
    REQUIRE(bind_in(directory, receiver, {443, {}}));
    REQUIRE(probe_site_socket(directory.fd(), "443.sock") == SiteSocketState::Alive);
    char byte;
    CHECK(recv(receiver.borrow().number(), &byte, 1, MSG_DONTWAIT) == -1);
    CHECK(errno == EAGAIN);
}

}  // namespace
}  // namespace proxyd
