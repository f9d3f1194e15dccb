// SPDX-License-Identifier: MIT
//
// Catch2, whichever of its two generations is installed: 3 has many headers, 2 has one.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
