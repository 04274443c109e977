#include "read/json.h"

#include "read/text.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

namespace mote::convert {

namespace {

constexpr size_t kMaxDepth = 16; // configurations have 2, safetensors headers 3

} // namespace

nlohmann::json parseJson(std::string_view document, const std::string &where) {
    using Event = nlohmann::json::parse_event_t;
    std::vector<std::set<std::string>> keysOfOpen; // per open object or array
    const auto check = [&](int, Event event, nlohmann::json &parsed) {
        switch (event) {
        case Event::object_start:
        case Event::array_start:
            if (keysOfOpen.size() >= kMaxDepth)
                throw ReadError(text(where, ": JSON is nested deeper than ", kMaxDepth, " levels"));
            keysOfOpen.emplace_back();
            break;
        case Event::object_end:
        case Event::array_end:
            keysOfOpen.pop_back();
            break;
        case Event::key:
            if (!keysOfOpen.back().insert(parsed.get<std::string>()).second)
                throw ReadError(text(where, ": key ", shownJson(parsed), " occurs twice in one object"));
            break;
        case Event::value:
            break;
        }
        return true;
    };
    try {
        return nlohmann::json::parse(document, check);
    } catch (const nlohmann::json::exception &error) {
        throw ReadError(text(where, ": is not valid JSON: ", error.what()));
    }
}

std::string readTextFile(const std::string &path, size_t maxBytes) {
    const std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    if (!file)
        throw ReadError(text(path, ": cannot be opened: ", std::strerror(errno)));
    std::string content;
    char buffer[4096];
    size_t count = 0;
    while ((count = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
        content.append(buffer, count);
        if (content.size() > maxBytes)
            throw ReadError(text(path, ": is larger than ", maxBytes, " bytes, the most that is read"));
    }
    if (std::ferror(file.get()) != 0)
        throw ReadError(text(path, ": cannot be read: ", std::strerror(errno)));
    return content;
}

std::string shownJson(const nlohmann::json &value) {
    constexpr size_t kMost = 80;
    std::string shown = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (shown.size() > kMost)
        shown = shown.substr(0, kMost) + "...";
    return shown;
}

} // namespace mote::convert
