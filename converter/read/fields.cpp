#include "read/fields.h"

#include "read/text.h"

namespace mote::convert {

using nlohmann::json;

Fields::Fields(const json &object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object())
        throw ReadError(convert::text(where_, ": found ", shownJson(object), ", expected an object"));
}

const json *Fields::find(const char *key) {
    read_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
}

const json *Fields::need(const char *key, bool optional, const char *expected) {
    const json *value = find(key);
    if (value == nullptr && !optional)
        refuse(key, expected);
    return value;
}

void Fields::refuse(const char *key, const std::string &expected) {
    const json *value = find(key);
    throw ReadError(convert::text(where_, ": \"", key, "\" is ",
                                  value == nullptr ? "absent" : shownJson(*value), ", expected ", expected));
}

uint32_t Fields::count(const char *key, std::optional<uint32_t> fallback, uint32_t low, uint32_t high) {
    const std::string expected = convert::text("a whole number from ", low, " to ", high);
    const json *value = need(key, fallback.has_value(), expected.c_str());
    if (value == nullptr)
        return *fallback;
    if (!value->is_number_unsigned() || value->get<uint64_t>() < low || value->get<uint64_t>() > high)
        refuse(key, expected);
    return value->get<uint32_t>();
}

double Fields::number(const char *key, std::optional<double> fallback, double low, double high) {
    const std::string expected =
        convert::text("a number from ", shownJson(json(low)), " to ", shownJson(json(high)));
    const json *value = need(key, fallback.has_value(), expected.c_str());
    if (value == nullptr)
        return *fallback;
    if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high))
        refuse(key, expected);
    return value->get<double>();
}

bool Fields::boolean(const char *key, std::optional<bool> fallback) {
    const json *value = need(key, fallback.has_value(), "true or false");
    if (value == nullptr)
        return *fallback;
    if (!value->is_boolean())
        refuse(key, "true or false");
    return value->get<bool>();
}

std::string Fields::text(const char *key, std::optional<std::string> fallback) {
    const json *value = need(key, fallback.has_value(), "a text");
    if (value == nullptr)
        return *fallback;
    if (!value->is_string())
        refuse(key, "a text");
    return value->get<std::string>();
}

void Fields::expectNoMore() const {
    for (const auto &[key, value] : object_.items())
        if (!read_.contains(key))
            throw ReadError(convert::text(where_, ": key ", shownJson(json(key)), " (", shownJson(value),
                                          ") is not known"));
}

} // namespace mote::convert
