#include "shaderdb.h"

#include <cerrno>
#include <sstream>
#include <system_error>
#include <unistd.h>

namespace mote::bench {

Statistics shaderDbStatistics(const std::string &line) {
    const std::string head = "SHADER-DB: ", stage = " shader: ";
    const size_t begin = line.find(stage);
    if (line.compare(0, head.size(), head) != 0 || begin == std::string::npos)
        return {};
    Statistics statistics;
    std::istringstream entries(line.substr(begin + stage.size()));
    for (std::string entry; std::getline(entries, entry, ',');) {
        // "86 inst", or several of a kind: "0:4 spills:fills".
        std::istringstream words(entry);
        std::string allValues, allNames;
        words >> allValues >> allNames;
        std::istringstream values(allValues), names(allNames);
        std::string value, name;
        while (std::getline(values, value, ':') && std::getline(names, name, ':'))
            statistics.emplace_back(name, std::stod(value));
    }
    return statistics;
}

StandardErrorCapture::StandardErrorCapture() : file_(std::tmpfile()), standardError_(dup(STDERR_FILENO)) {
    std::fflush(stderr);
    if (file_ == nullptr || standardError_ < 0 || dup2(fileno(file_), STDERR_FILENO) < 0)
        throw std::system_error(errno, std::generic_category(), "capturing standard error");
}

StandardErrorCapture::~StandardErrorCapture() {
    std::fflush(stderr);
    dup2(standardError_, STDERR_FILENO);
    close(standardError_);
    std::fclose(file_);
}

std::vector<std::string> StandardErrorCapture::lines() {
    std::fflush(stderr);
    std::rewind(file_);
    std::vector<std::string> lines(1);
    for (int character = std::fgetc(file_); character != EOF; character = std::fgetc(file_)) {
        if (character == '\n')
            lines.emplace_back();
        else
            lines.back() += static_cast<char>(character);
    }
    if (lines.back().empty())
        lines.pop_back();
    return lines;
}

} // namespace mote::bench
