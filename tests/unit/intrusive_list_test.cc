// SPDX-License-Identifier: MIT
#include "base/daemon/intrusive_list.h"

#include "tests/unit/catch.h"

namespace {

struct Element : proxyd::IntrusiveHook {
    ~Element() {
        if (is_linked()) list->remove(*this);
    }
    proxyd::IntrusiveList<Element>* list = nullptr;
};

}  // namespace

TEST_CASE("intrusive list: first in, first out, and out of the middle", "[intrusive_list]") {
    proxyd::IntrusiveList<Element> list;
    Element a, b, c;
    CHECK(list.front() == nullptr);

    list.push_back(a);
    list.push_back(b);
    list.push_back(c);
    list.remove(b);

    CHECK(list.size() == 2);
    CHECK(list.front() == &a);
    list.remove(a);
    CHECK(list.front() == &c);
    CHECK_FALSE(a.is_linked());
    list.push_back(a);
    list.remove(c);
    CHECK(list.front() == &a);
    list.remove(a);
    CHECK(list.size() == 0);
}
