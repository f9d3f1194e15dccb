// SPDX-License-Identifier: MIT
#include "proxyd/sites_directory.h"

#include "base/daemon/log.h"
#include "base/handoff/dns_name.h"
#include "base/posix/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace proxyd {
namespace {

constexpr auto PathLookInterval = std::chrono::seconds(1);
constexpr auto RetryInterval = std::chrono::milliseconds(250);

// A directory that no client can name is no site: upper-case letters, spaces, "lost+found".
bool is_site_name(std::string_view text) {
    const std::string_view name = text.starts_with("*.") ? text.substr(2) : text;
    const auto parsed = DnsName::parse(name);
    return parsed && parsed->view() == name;
}

}  // namespace

SitesDirectory::SitesDirectory(EventLoop& loop, DirectoryWatch& watch, std::string path)
    : watch_(watch),
      path_(std::move(path)),
      subscription_(watch, [this](std::string_view name) { on_change(name); }),
      retry_(loop, *this) {}

Result<void> SitesDirectory::open() {
    UniqueFd directory = UniqueFd::adopt(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return Unexpected{Errno::last()};
    // Watched first, read then: what comes in between is seen twice rather than never.
    if (auto watched = subscription_.start(directory); !watched) return watched;
    directory_ = std::move(directory);
    retry_.stop();
    read_all();
    return {};
}

void SitesDirectory::follow_path() {
    const Clock::time_point now = Clock::now();
    if (now - looked_at_path_ < PathLookInterval) return;
    looked_at_path_ = now;
    if (was_replaced() && !open()) log_error("sites: {} was replaced by what can't be read", path_);
}

bool SitesDirectory::was_replaced() const {
    struct stat here, there;
    return directory_.is_open() && stat(path_.c_str(), &there) == 0 &&
           fstat(directory_.borrow().number(), &here) == 0 &&
           (here.st_dev != there.st_dev || here.st_ino != there.st_ino);
}

void SitesDirectory::read_all() {
    names_.clear();
    for_each_entry(directory_, [this](const char* name, unsigned char type) {
        if (is_site_name(name) && is_directory_entry(directory_, name, type)) names_.insert(name);
    });
    log_info("sites: {} is read, sites in it: {}", path_, names_.size());
}

void SitesDirectory::on_change(std::string_view name) {
    if (!subscription_.is_active() || name.empty()) {
        // The directory was moved, removed or mounted over, or events were lost: start anew.
        names_.clear();
        if (const auto opened = open(); !opened) {
            log_error("sites: {}: {}", path_, errno_text(opened.error().number));
            subscription_.stop();
            retry_until_open();
        }
        return;
    }
    const std::string entry(name);
    if (is_site_name(entry) && is_directory_entry(directory_, entry.c_str(), DT_UNKNOWN))
        names_.insert(entry);
    else
        names_.erase(entry);
    log_debug("sites: {}/{} has changed, sites there: {}", path_, entry, names_.size());
}

void SitesDirectory::retry_until_open() {
    retry_.start(RetryInterval);
}

void SitesDirectory::on_retry() noexcept {
    if (open())
        log_notice("sites: {} is back", path_);
    else
        retry_until_open();
}

}  // namespace proxyd
