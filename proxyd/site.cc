// SPDX-License-Identifier: MIT
#include "proxyd/site.h"

#include "base/daemon/log.h"
#include "base/handoff/instance_label.h"
#include "base/handoff/send.h"
#include "base/handoff/site_socket.h"
#include "base/posix/directory.h"
#include "proxyd/session.h"
#include "proxyd/site_directory_view.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace proxyd {
namespace {

constexpr auto PathLookInterval = std::chrono::seconds(1);
// While clients wait: for what no event tells, such as a mode that was mended.
constexpr auto RetryInterval = std::chrono::milliseconds(250);

// Processes that serve one site side by side, each with a socket of its own, are fewer.
constexpr size_t SocketsMax = 64;
constexpr auto TellingInterval = std::chrono::seconds(10);

// A directory whose owner fills and changes it all the time takes no more of a worker's time than
// this, and then one part in so many. An ordinary look takes some ten microseconds.
constexpr Clock::duration LooksBurst = std::chrono::milliseconds(20);
constexpr int LooksShare = 10;

// Other than the time that passes, it doesn't depend on what else the machine does.
Clock::duration processor_time() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// How long after a change in the directory its server may still be making sockets.
constexpr auto SettlingTime = RetryInterval;

Clock::duration age_of(const timespec& time) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return std::chrono::seconds(now.tv_sec - time.tv_sec) +
           std::chrono::nanoseconds(now.tv_nsec - time.tv_nsec);
}

// The more hopeful of two outcomes.
HandoffOutcome better(HandoffOutcome a, HandoffOutcome b) {
    return std::min(a, b);
}

}  // namespace

// A connected sender to one live site socket.
class Site::Sender {
  public:
    Sender(Site& site, std::string file_name, const struct stat& status, UniqueFd socket,
           std::optional<InstanceLabel> label)
        : site_(site),
          file_name_(std::move(file_name)),
          device_(status.st_dev),
          inode_(status.st_ino),
          changed_(status.st_ctim),
          label_(label),
          socket_(std::move(socket)),
          writable_(site.loop_, *this) {}

    const std::string& file_name() const { return file_name_; }
    bool suits(sa_family_t family) const { return !label_ || label_->suits(family); }
    // An inode's number alone may have gone to another file meanwhile (measured: ext4 gives it to
    // the next one at once).
    bool is_for(const struct stat& status) const {
        return status.st_dev == device_ && status.st_ino == inode_ &&
               status.st_ctim.tv_sec == changed_.tv_sec &&
               status.st_ctim.tv_nsec == changed_.tv_nsec;
    }

    bool is_full() const { return writable_.is_active(); }
    void wait_for_room() { writable_.start(socket_); }
    BorrowedFd socket() const { return socket_; }

  private:
    void on_writable() noexcept {
        writable_.stop();
        site_.room_(site_);
    }

    Site& site_;
    std::string file_name_;
    dev_t device_;
    ino_t inode_;
    timespec changed_;
    std::optional<InstanceLabel> label_;
    UniqueFd socket_;
    WriteWatcher<&Sender::on_writable> writable_;
};

Site::Site(EventLoop& loop, DirectoryWatch& watch, std::string directory, bool follows_links,
           uint16_t port, std::function<void(Site&)> room)
    : loop_(loop),
      directory_(std::move(directory)),
      follows_links_(follows_links),
      port_(port),
      room_(std::move(room)),
      subscription_(watch, [this](std::string_view) { on_directory_change(); }),
      retry_(loop, *this) {}

Site::~Site() = default;

HandoffOutcome Site::hand_over(BorrowedFd connection, Bytes payload, sa_family_t client_family) {
    read_directory_if_needed();
    HandoffOutcome outcome = offer(connection, payload, client_family);
    const bool all_have_died = outcome == HandoffOutcome::Refused && senders_.empty();
    if (all_have_died || outcome == HandoffOutcome::WrongFamily) {
        // Successors may be there already, before their event; and those of the wrong family, which
        // were not tried, may have died too: connecting anew tells. (One whose queue is full is
        // watched, and tells by itself.)
        if (Clock::now() < looks_from_) {
            // Who may be there already is seen a moment later.
            const bool has_changed = std::exchange(needs_reading_, true);
            return has_changed ? HandoffOutcome::Refused : outcome;
        }
        std::erase_if(senders_, [](const auto& sender) { return !sender->is_full(); });
        read_directory();
        outcome = offer(connection, payload, client_family);
    }
    return outcome;
}

HandoffOutcome Site::offer(BorrowedFd connection, Bytes payload, sa_family_t family) {
    HandoffOutcome outcome = without_senders_;
    for (size_t left = senders_.size(); left > 0 && !senders_.empty(); left--) {
        if (next_sender_ >= senders_.size()) next_sender_ = 0;
        Sender& sender = *senders_[next_sender_];
        if (!sender.suits(family)) {
            const bool may_come_back =
                family == AF_INET6 ? ipv6_may_come_back_ : ipv4_may_come_back_;
            if (!may_come_back && Clock::now() >= settled_at_)
                outcome = better(outcome, HandoffOutcome::WrongFamily);
            next_sender_++;
            continue;
        }
        if (sender.is_full()) {
            outcome = better(outcome, HandoffOutcome::Full);
            next_sender_++;
            continue;
        }
        const Result<void> sent = send_connection(sender.socket(), connection, payload);
        if (sent) {
            last_taker_ = sender.file_name();
            next_sender_++;
            return HandoffOutcome::Taken;
        }
        switch (sent.error().number) {
            case EAGAIN:
                sender.wait_for_room();
                [[fallthrough]];
            case ENOBUFS:
            case ENOMEM:
                outcome = better(outcome, HandoffOutcome::Full);
                next_sender_++;
                break;
            case ETOOMANYREFS:
                tell_of_handoffs_in_flight();
                outcome = better(outcome, HandoffOutcome::InFlight);
                next_sender_++;
                break;
            default:  // ECONNREFUSED, EPIPE: this one is dead, and the next has its place
                outcome = better(outcome, HandoffOutcome::Refused);
                log_info("site {}: {} has nobody any more who has it open", directory_,
                         sender.file_name());
                senders_.erase(senders_.begin() + static_cast<ptrdiff_t>(next_sender_));
                needs_reading_ = true;  // its successor may have come without an event of its own
                if (senders_.empty()) without_senders_ = HandoffOutcome::Refused;
        }
    }
    return outcome;
}

void Site::read_directory_if_needed() {
    const bool is_blind = !subscription_.is_active();
    if (!needs_reading_ && !is_blind && !senders_.empty()) {
        const Clock::time_point now = Clock::now();
        if (now - looked_at_path_ < PathLookInterval) return;
        looked_at_path_ = now;
        if (!directory_was_replaced()) return;
    }
    // While clients wait, an event or the retry timer says when to read an empty site again.
    if (senders_.empty() && !needs_reading_ && waiting_count() > 0) return;
    if (Clock::now() >= looks_from_) read_directory();
}

bool Site::directory_was_replaced() const {
    struct stat status;
    const int flags = follows_links_ ? 0 : AT_SYMLINK_NOFOLLOW;
    if (fstatat(AT_FDCWD, directory_.c_str(), &status, flags) != 0) return true;
    return status.st_dev != device_ || status.st_ino != inode_;
}

UniqueFd Site::open_directory() const {
    // O_NOFOLLOW speaks of the last part of the path, the only one that a client has chosen.
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follows_links_ ? 0 : O_NOFOLLOW);
    return UniqueFd::adopt(open(directory_.c_str(), flags));
}

void Site::read_directory() {
    const Clock::duration begin = processor_time();
    read_directory_now();
    looks_debt_ =
        std::max(Clock::duration::zero(), looks_debt_ - (Clock::now() - owes_since_) / LooksShare) +
        (processor_time() - begin);
    owes_since_ = Clock::now();
    looks_from_ = owes_since_ + LooksShare * (looks_debt_ - LooksBurst);
}

void Site::read_directory_now() {
    needs_reading_ = false;
    looked_at_path_ = Clock::now();
    std::vector<std::unique_ptr<Sender>> senders;
    without_senders_ = HandoffOutcome::Absent;
    ipv4_may_come_back_ = ipv6_may_come_back_ = false;

    const UniqueFd directory = open_directory();
    struct stat status;
    // "." is found only by who may enter it, and who may not finds no socket.
    if (directory.is_open() && fstatat(directory.borrow().number(), ".", &status, 0) == 0) {
        has_told_of_no_entry_ = false;
        device_ = status.st_dev;
        inode_ = status.st_ino;
        settled_at_ =
            Clock::now() + std::clamp<Clock::duration>(SettlingTime - age_of(status.st_mtim),
                                                       Clock::duration::zero(), SettlingTime);
        // Watched before it is read; when watches have run out it is read for every client.
        if (!subscription_.start(directory)) subscription_.stop();
        const auto take = [&](const char* file_name, unsigned char) {
            const auto name = SiteSocketName::parse(file_name);
            if (!name || name->port != port_) return;
            if (senders.size() == SocketsMax) {
                tell_of_too_many_sockets();
                return;
            }
            connect_to(directory, file_name, name->instance, senders);
        };
        if (!for_each_entry(directory, take, SiteEntriesMax)) tell_of_too_many_files();
    } else if (errno == EMFILE || errno == ENFILE) {
        tell_of_missing_descriptors();
        needs_reading_ = true;
        without_senders_ = HandoffOutcome::Full;
        return;
    } else {
        if (errno == EACCES) {
            without_senders_ = HandoffOutcome::NotPermitted;
            tell_of_no_entry();
        }
        subscription_.stop();
    }
    senders_ = std::move(senders);
    log_debug("site {}: read for port {}, sockets: {}", directory_, port_, senders_.size());
}

// Each costs a descriptor, of which the other sites need some.
void Site::tell_of_too_many_sockets() {
    if (!std::exchange(has_told_of_too_many_, true))
        log_warning("site {} has more than {} live sockets for port {}: the others are left out",
                    directory_, SocketsMax, port_);
}

// unix(7): as many as this process may have descriptors, of all processes of its user.
void Site::tell_of_handoffs_in_flight() {
    if (Clock::now() < tells_of_flight_from_) return;
    tells_of_flight_from_ = Clock::now() + TellingInterval;
    log_warning(
        "site {}: too many connections are on their way to servers that do not take them "
        "(RLIMIT_NOFILE, proxyctl sites shows which)",
        directory_);
}

void Site::tell_of_too_many_files() {
    if (!std::exchange(has_told_of_too_many_files_, true))
        log_warning("site {} has more than {} files: the others are not looked at", directory_,
                    SiteEntriesMax);
}

// By numbers: the user database is out of a worker's reach.
void Site::tell_of_no_entry() {
    if (std::exchange(has_told_of_no_entry_, true)) return;
    struct stat status;
    const int flags = follows_links_ ? 0 : AT_SYMLINK_NOFOLLOW;
    if (fstatat(AT_FDCWD, directory_.c_str(), &status, flags) != 0)
        return log_warning("site {}: proxyd's user {} may not enter a directory above it",
                           directory_, geteuid());
    log_warning("site {}: proxyd's user {} may not enter it: owner {}, group {}, mode {:04o}",
                directory_, geteuid(), status.st_uid, status.st_gid, status.st_mode & 07777);
}

// The other sites suffer from it, so it is told, but not for each client.
void Site::tell_of_missing_descriptors() {
    if (Clock::now() < tells_of_descriptors_from_) return;
    tells_of_descriptors_from_ = Clock::now() + TellingInterval;
    log_warning("site {}: no descriptor is left for its sockets (RLIMIT_NOFILE)", directory_);
}

void Site::connect_to(BorrowedFd directory, const char* file_name, std::string_view instance,
                      std::vector<std::unique_ptr<Sender>>& senders) {
    const UniqueFd file =
        UniqueFd::adopt(openat(directory.number(), file_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status;
    if (!file.is_open() || fstat(file.borrow().number(), &status) != 0 || !S_ISSOCK(status.st_mode))
        return;
    const auto known = std::find_if(senders_.begin(), senders_.end(), [&](const auto& sender) {
        return sender != nullptr && sender->is_for(status);
    });
    if (known != senders_.end()) {
        senders.push_back(std::move(*known));
        return;
    }
    const auto label = InstanceLabel::parse(instance);
    Result<UniqueFd> socket = connect_sender(file);
    if (socket) {
        // Once: who connects how often is the clients' choice.
        if ((status.st_mode & S_IWOTH) != 0 && !std::exchange(has_told_of_world_writable_, true))
            log_warning("{}/{} is world-writable: everybody here can inject connections",
                        directory_, file_name);
        log_info("site {}: {} is there", directory_, file_name);
        senders.push_back(
            std::make_unique<Sender>(*this, file_name, status, *std::move(socket), label));
        return;
    }
    ipv4_may_come_back_ = ipv4_may_come_back_ || !label || label->suits(AF_INET);
    ipv6_may_come_back_ = ipv6_may_come_back_ || !label || label->suits(AF_INET6);
    switch (socket.error().number) {
        case EACCES:
            without_senders_ = better(without_senders_, HandoffOutcome::NotPermitted);
            break;
        case EMFILE:
        case ENFILE:
            tell_of_missing_descriptors();
            needs_reading_ = true;
            without_senders_ = HandoffOutcome::Full;
            break;
        default:
            without_senders_ = better(without_senders_, HandoffOutcome::Refused);
    }
}

Session* Site::first_waiting(sa_family_t client_family) {
    return client_family == AF_INET6 ? waiting_ipv6_.front() : waiting_ipv4_.front();
}

Session* Site::first_of_most_waiting() {
    return first_waiting(waiting_ipv6_.size() > waiting_ipv4_.size() ? AF_INET6 : AF_INET);
}

size_t Site::waiting_count(sa_family_t client_family) const {
    return client_family == AF_INET6 ? waiting_ipv6_.size() : waiting_ipv4_.size();
}

void Site::for_each_sender(const std::function<void(std::string_view, BorrowedFd)>& each) const {
    for (const auto& sender : senders_)
        each(sender->file_name(), sender->socket());
}

void Site::add_waiting(Session& session) {
    (session.client_family() == AF_INET6 ? waiting_ipv6_ : waiting_ipv4_).push_back(session);
    if (!retry_.is_active()) retry_.start(until_next_look());
}

void Site::remove_waiting(Session& session) {
    (session.client_family() == AF_INET6 ? waiting_ipv6_ : waiting_ipv4_).remove(session);
    if (waiting_count() == 0) retry_.stop();
}

void Site::on_directory_change() {
    needs_reading_ = true;
    if (waiting_count() == 0) return;
    if (Clock::now() < looks_from_)
        retry_.start(until_next_look());
    else
        room_(*this);
}

Clock::duration Site::until_next_look() const {
    constexpr Clock::duration Soon = std::chrono::milliseconds(1);
    return needs_reading_
               ? std::clamp<Clock::duration>(looks_from_ - Clock::now(), Soon, RetryInterval)
               : RetryInterval;
}

void Site::on_retry() noexcept {
    needs_reading_ = true;
    room_(*this);
    if (waiting_count() > 0) retry_.start(until_next_look());
}

}  // namespace proxyd
