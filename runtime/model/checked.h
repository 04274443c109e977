// Unsigned arithmetic that says when it does not fit, for sizes that come from files and callers.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace mote {

// A sum or product that remembers overflow; once wrong it stays wrong.
struct Checked {
    uint64_t value = 0;
    bool valid = true;

    Checked() = default;
    Checked(uint64_t v) : value(v) {}

    Checked &operator+=(const Checked &o) {
        valid = !__builtin_add_overflow(value, o.value, &value) && valid && o.valid;
        return *this;
    }
    Checked &operator*=(const Checked &o) {
        valid = !__builtin_mul_overflow(value, o.value, &value) && valid && o.valid;
        return *this;
    }
    friend Checked operator+(Checked a, const Checked &b) { return a += b; }
    friend Checked operator*(Checked a, const Checked &b) { return a *= b; }

    // Valid and at most `limit`.
    bool within(uint64_t limit) const { return valid && value <= limit; }
};

// The least multiple of `alignment` (a power of two) that is not below `value`.
inline Checked alignUp(Checked value, uint64_t alignment) {
    value += alignment - 1;
    value.value &= ~(alignment - 1);
    return value;
}

} // namespace mote
