// SPDX-License-Identifier: MIT
//
// What may be wrong with the site directories of a configuration: told by --check-config and when a
// configuration comes into force. Directories may come and change at any time, so none of it is an
// error, and nothing here is looked at again.
#pragma once

#include "base/daemon/confinement/privileges.h"
#include "proxyd/configuration.h"

#include <string>
#include <vector>

namespace proxyd {

// Of those that routes lead to: one that isn't there, since a typing error looks the same as one
// that comes later. Of these and of those in `sites`: one that the workers as `user`, if that is
// known, are likely to be kept out of. A directory in `sites` is not named beyond the first ones of
// them, but counted.
std::vector<std::string> warnings_of_sites(const Configuration& configuration, const User* user);

}  // namespace proxyd
