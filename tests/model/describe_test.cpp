// The description is JSON with the documented keys, whatever the locale and the names.
#include "model/describe.h"
#include "model/sample_model.h"

#include <clocale>
#include <gtest/gtest.h>

namespace mote::test {
namespace {

// A checker of JSON syntax: returns how far a value goes, or npos. Values only matter as text here.
size_t skipValue(const std::string &s, size_t at);

size_t skipSpace(const std::string &s, size_t at) {
    while (at < s.size() && (s[at] == ' ' || s[at] == '\n'))
        ++at;
    return at;
}

size_t skipString(const std::string &s, size_t at) {
    if (at >= s.size() || s[at] != '"')
        return std::string::npos;
    for (++at; at < s.size() && s[at] != '"'; ++at) {
        if (static_cast<unsigned char>(s[at]) < 0x20)
            return std::string::npos;
        if (s[at] == '\\')
            ++at;
    }
    return at < s.size() ? at + 1 : std::string::npos;
}

size_t skipList(const std::string &s, size_t at, char close, bool keys) {
    at = skipSpace(s, at + 1);
    if (at < s.size() && s[at] == close)
        return at + 1;
    for (;;) {
        if (keys) {
            at = skipString(s, skipSpace(s, at));
            if (at == std::string::npos || s[at] != ':')
                return std::string::npos;
            ++at;
        }
        at = skipValue(s, skipSpace(s, at));
        if (at == std::string::npos)
            return at;
        at = skipSpace(s, at);
        if (at >= s.size() || (s[at] != ',' && s[at] != close))
            return std::string::npos;
        if (s[at++] == close)
            return at;
    }
}

size_t skipValue(const std::string &s, size_t at) {
    if (at >= s.size())
        return std::string::npos;
    if (s[at] == '{')
        return skipList(s, at, '}', true);
    if (s[at] == '[')
        return skipList(s, at, ']', false);
    if (s[at] == '"')
        return skipString(s, at);
    for (const char *word : {"true", "false", "null"})
        if (s.compare(at, std::string(word).size(), word) == 0)
            return at + std::string(word).size();
    const size_t end = s.find_first_not_of("0123456789+-.eE", at);
    return end == at ? std::string::npos : end;
}

bool isJson(const std::string &s) {
    const size_t end = skipValue(s, 0);
    return end != std::string::npos && skipSpace(s, end) == s.size();
}

TEST(Describe, SaysWhatTheModelHolds) {
    const std::string text = describeModel(sampleModel().model);
    EXPECT_TRUE(isJson(text)) << text;
    for (const char *part : {"\"name\": \"sample\"",
                             "\"description\": \"two lines,\\u000aand an umlaut: \xc3\xa4\"",
                             "\"receptive_field\": 17",
                             "\"statistics_window\": 64",
                             "\"timesteps\": [999, 499.5]",
                             "\"sampler\": \"ddim\"",
                             "\"steps\": 2",
                             "\"passes\": 2",
                             "\"noise_draws\": 2",
                             "\"scale\": 2.5",
                             "\"null_class\": 4",
                             "\"flags\": [\"dynamic threshold\", \"langevin step\", \"known region\"]",
                             "\"flags\": []",
                             "\"phase\": \"per step\"",
                             "\"size_multiple\": 2",
                             "\"Conv2d\": 6",
                             "\"GroupNorm\": 3",
                             "\"Attention\": 1",
                             "\"Concat\": 1",
                             "\"Resample\": 2",
                             "\"Pointwise\": 1",
                             "\"activation\": \"relu\"",
                             "\"size\": null",
                             "\"output_resample\": \"fir down 2\"",
                             "\"activation\": \"gelu\"",
                             "\"shape\": [\"N\", \"3\", \"H\", \"W\"]",
                             "\"value_range\": [-0.5, 2]",
                             "\"source\": \"model output\"",
                             "\"kernel\": [3, 3]",
                             "\"padding\": [0, 0, 1, 1]",
                             "\"input_resample\": \"nearest up 2\"",
                             "\"residual\": \"low\"",
                             "\"heads\": 2",
                             "\"self_check\": {"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
    // 8x3x3x6 weights, 2x8 biases of conv_in and so on, counted by hand:
    // conv_in 432+16, norm1 16, down 1152+16, norm2 32, qkv 768+48, project 256+16, upsample 1152+8, norm3
    // 32, point 32, conv_out 432+3
    EXPECT_NE(text.find("\"parameters\": 4741,"), std::string::npos) << text;
}

TEST(Describe, AbsentThingsAreNull) {
    Model model = sampleModel().model;
    model.receptiveField = kNone;
    model.statisticsWindow = 0;
    model.selfCheck = {};
    model.recipes.clear();
    const std::string text = describeModel(model);
    EXPECT_TRUE(isJson(text)) << text;
    for (const char *part : {"\"receptive_field\": null", "\"statistics_window\": null",
                             "\"self_check\": null", "\"recipes\": []"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST(Describe, NamesAreEscapedAndNumbersKnowNoLocale) {
    Model model = sampleModel().model;
    const std::string plain = describeModel(model);
    model.name = "a \"quoted\" \\ name";
    EXPECT_TRUE(isJson(describeModel(model)));
    EXPECT_NE(describeModel(model).find("\"a \\\"quoted\\\" \\\\ name\""), std::string::npos);
    model.name = "sample";
    // Where the system has no such locale the C locale stays and this says nothing more than the tests above.
    for (const char *locale : {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8"}) {
        std::setlocale(LC_ALL, locale);
        EXPECT_EQ(describeModel(model), plain) << locale;
        std::setlocale(LC_ALL, "C");
    }
}

} // namespace
} // namespace mote::test
