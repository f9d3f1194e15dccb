// SPDX-License-Identifier: MIT
//
// IntrusiveList: a doubly linked list through its elements, which neither owns nor allocates. An
// element derives from IntrusiveHook and is in one list at a time. Used for whatever waits its
// turn.
#pragma once

#include <cassert>
#include <cstddef>

namespace proxyd {

struct IntrusiveHook {
    IntrusiveHook() = default;
    IntrusiveHook(const IntrusiveHook&) = delete;
    IntrusiveHook& operator=(const IntrusiveHook&) = delete;
    ~IntrusiveHook() { assert(!is_linked()); }

    bool is_linked() const { return next != nullptr; }

    IntrusiveHook* previous = nullptr;
    IntrusiveHook* next = nullptr;
};

template <typename Element>
class IntrusiveList {
  public:
    IntrusiveList() { head_.previous = head_.next = &head_; }
    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;
    ~IntrusiveList() {
        assert(size_ == 0);
        head_.previous = head_.next = nullptr;
    }

    size_t size() const { return size_; }
    Element* front() { return size_ == 0 ? nullptr : static_cast<Element*>(head_.next); }

    void push_back(Element& element) {
        IntrusiveHook& hook = element;
        assert(!hook.is_linked());
        hook.previous = head_.previous;
        hook.next = &head_;
        head_.previous->next = &hook;
        head_.previous = &hook;
        size_++;
    }

    // `element` is in this list.
    void remove(Element& element) {
        IntrusiveHook& hook = element;
        assert(hook.is_linked());
        hook.previous->next = hook.next;
        hook.next->previous = hook.previous;
        hook.previous = hook.next = nullptr;
        size_--;
    }

  private:
    IntrusiveHook head_;
    size_t size_ = 0;
};

}  // namespace proxyd
