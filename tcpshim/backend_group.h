// SPDX-License-Identifier: MIT
//
// BackendGroup: the backends of one site in turn.
#pragma once

#include "tcpshim/configuration.h"

#include <memory>
#include <utility>
#include <vector>

namespace proxyd::shim {

class Backend {
  public:
    explicit Backend(const BackendConfiguration& configuration) : configuration_(configuration) {}
    std::string_view text() const { return configuration_.text; }
    const BackendConfiguration& configuration() const { return configuration_; }

  private:
    BackendConfiguration configuration_;
};

class BackendLease {
  public:
    BackendLease() = default;
    explicit BackendLease(Backend& backend) : backend_(&backend) {}
    BackendLease(BackendLease&& other) noexcept
        : backend_(std::exchange(other.backend_, nullptr)) {}
    BackendLease& operator=(BackendLease&& other) noexcept {
        backend_ = std::exchange(other.backend_, nullptr);
        return *this;
    }
    bool is_held() const { return backend_ != nullptr; }
    Backend& backend() const { return *backend_; }
    void note_answered() {}
    void note_failed() {}

  private:
    Backend* backend_ = nullptr;
};

class BackendGroup {
  public:
    explicit BackendGroup(const SiteConfiguration& site);
    const SiteConfiguration& site() const { return site_; }
    size_t size() const { return backends_.size(); }
    Backend& next();

  private:
    const SiteConfiguration& site_;
    std::vector<std::unique_ptr<Backend>> backends_;
    size_t next_ = 0;
};

}  // namespace proxyd::shim
