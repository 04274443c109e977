// What the validation layer says during a test. By default any message fails the test that is running.
#pragma once

#include <string>
#include <vector>

namespace mote::test {

// id: the layer's name of the rule, e.g. "SYNC-HAZARD-READ-AFTER-WRITE". Called from any thread.
using MessageHandler = void (*)(const char *id, const char *text);

// Returns the handler before; null stands for the first one, which prints and ends the program.
__attribute__((visibility("default"))) MessageHandler setMessageHandler(MessageHandler handler);

// While one lives, messages are collected here and fail nothing: for tests of what must be caught.
class ExpectedMessages {
public:
    ExpectedMessages();
    ~ExpectedMessages();
    ExpectedMessages(const ExpectedMessages &) = delete;
    ExpectedMessages &operator=(const ExpectedMessages &) = delete;

    // The ids heard so far, in order.
    std::vector<std::string> ids() const;
    // How many ids hold `part`.
    size_t count(const char *part) const;

private:
    MessageHandler before_;
};

} // namespace mote::test
