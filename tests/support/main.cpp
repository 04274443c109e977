// main() of every GPU test: a message of the validation layer fails the test during which it comes.
#include "support/validation.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <mutex>

namespace mote::test {
namespace {

// Outside any test (a fixture of a whole suite), GoogleTest fails the program.
void failTest(const char *id, const char *text) {
    ADD_FAILURE() << "Vulkan validation: " << id << "\n" << text;
}

std::mutex collectedMutex;
std::vector<std::string> collected;

void collect(const char *id, const char *) {
    const std::lock_guard lock(collectedMutex);
    collected.emplace_back(id);
}

} // namespace

ExpectedMessages::ExpectedMessages() : before_(setMessageHandler(collect)) {
    const std::lock_guard lock(collectedMutex);
    collected.clear();
}

ExpectedMessages::~ExpectedMessages() {
    setMessageHandler(before_);
}

std::vector<std::string> ExpectedMessages::ids() const {
    const std::lock_guard lock(collectedMutex);
    return collected;
}

size_t ExpectedMessages::count(const char *part) const {
    size_t matches = 0;
    for (const std::string &id : ids()) {
        matches += id.find(part) != std::string::npos ? 1 : 0;
    }
    return matches;
}

} // namespace mote::test

int main(int argumentCount, char **arguments) {
    testing::InitGoogleTest(&argumentCount, arguments);
    mote::test::setMessageHandler(mote::test::failTest);
    const int failed = RUN_ALL_TESTS();
    if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
        std::fputs("no test has a name that the filter asks for\n", stderr);
        return 1;
    }
    return failed;
}
