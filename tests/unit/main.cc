// SPDX-License-Identifier: MIT
//
// Catch2's main function: version 3 has it in a library, version 2 makes it here.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include "tests/unit/catch.h"
#endif
