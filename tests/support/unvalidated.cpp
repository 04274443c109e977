// In a build with sanitizers nothing validates, so nobody ever calls the handler.
#include "support/validation.h"

namespace mote::test {

MessageHandler setMessageHandler(MessageHandler handler) {
    static MessageHandler current = nullptr;
    const MessageHandler before = current;
    current = handler;
    return before;
}

} // namespace mote::test
