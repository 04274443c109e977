#include <gtest/gtest.h>

extern "C" int mote_header_compiles_as_c99(void);

namespace {

TEST(Header, InitialisersMeanTheSameInC99) {
    EXPECT_EQ(mote_header_compiles_as_c99(), 1);
}

} // namespace
