// Rules about the text of the project that no compiler knows.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = MOTE_SOURCE_DIR;
const std::vector<std::string> kParts = {"runtime", "shaders", "converter", "platforms", "tests", "bench"};

std::string readFile(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// Every regular file of the project's folders whose name ends in one of the suffixes, sorted.
std::vector<fs::path> filesEndingIn(const std::string &folder, const std::set<std::string> &suffixes) {
    std::vector<fs::path> files;
    if (fs::exists(kRoot / folder)) {
        for (const fs::directory_entry &entry : fs::recursive_directory_iterator(kRoot / folder)) {
            if (entry.is_regular_file() && suffixes.count(entry.path().extension().string())) {
                files.push_back(entry.path());
            }
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::string withoutComments(const std::string &text) {
    std::string result;
    for (size_t i = 0; i < text.size(); i++) {
        if (text.compare(i, 2, "//") == 0) {
            i = std::min(text.find('\n', i), text.size());
        } else if (text.compare(i, 2, "/*") == 0) {
            i = std::min(text.find("*/", i), text.size() - 2) + 1;
            continue;
        }
        if (i < text.size()) {
            result += text[i];
        }
    }
    return result;
}

std::vector<std::string> includesOf(const fs::path &path) {
    static const std::regex pattern("#\\s*include\\s*([\"<])([^\">]+)[\">]");
    const std::string text = withoutComments(readFile(path));
    std::vector<std::string> includes;
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
        includes.push_back((*match)[1].str() + (*match)[2].str());
    }
    return includes;
}

// The shader with the text of all that it includes, without comments.
std::string expandShader(const fs::path &path) {
    std::string text;
    for (const std::string &include : includesOf(path)) {
        const std::string name = include.substr(1);
        const fs::path beside = path.parent_path() / name;
        text += expandShader(fs::exists(beside) ? beside : kRoot / "shaders" / name);
    }
    return text + withoutComments(readFile(path));
}

TEST(TopLevel, HoldsOnlyWhatWasAgreed) {
    const std::set<std::string> agreed = {"runtime", "shaders",        "converter", "platforms", "tests",
                                          "bench",   "CMakeLists.txt", "README.md", "LICENSE",   "NOTICE"};
    for (const fs::directory_entry &entry : fs::directory_iterator(kRoot)) {
        const std::string name = entry.path().filename().string();
        const bool build = name.rfind("build", 0) == 0 && entry.is_directory(); // ignored by git
        EXPECT_TRUE(agreed.count(name) || name[0] == '.' || build) << name;
    }
}

// Some drivers hang when one invocation of a workgroup leaves before the others reach a barrier.
TEST(Shaders, NoReturnWhereThereIsABarrier) {
    static const std::regex barrier("\\bbarrier\\s*\\(");
    static const std::regex bareReturn("\\breturn\\s*;");
    const std::vector<fs::path> shaders = filesEndingIn("shaders", {".comp"});
    ASSERT_FALSE(shaders.empty());
    for (const fs::path &path : shaders) {
        const std::string text = expandShader(path);
        if (std::regex_search(text, barrier)) {
            EXPECT_FALSE(std::regex_search(text, bareReturn))
                << path << ": return in a shader with barrier(); carry a flag instead";
        }
    }
}

// Two-dimensional workgroups give wrong results on some drivers.
TEST(Shaders, WorkgroupsHaveOneDimension) {
    static const std::regex second("local_size_[yz](_id)?\\s*=\\s*(?!1\\b)");
    for (const fs::path &path : filesEndingIn("shaders", {".comp", ".glsl"})) {
        EXPECT_FALSE(std::regex_search(withoutComments(readFile(path)), second)) << path;
    }
}

TEST(Runtime, IncludesNoIostreamsRegexOrFilesystem) {
    const std::set<std::string> refused = {"<iostream", "<fstream", "<sstream", "<ostream",   "<istream",
                                           "<iomanip",  "<locale",  "<regex",   "<filesystem"};
    for (const fs::path &path : filesEndingIn("runtime", {".h", ".cpp"})) {
        for (const std::string &include : includesOf(path)) {
            EXPECT_FALSE(refused.count(include)) << path << " includes " << include.substr(1);
        }
    }
}

// A part of the runtime may include these parts and no other; `shaders` is the embedded SPIR-V.
TEST(Runtime, IncludesPointOneWay) {
    const std::map<std::string, std::set<std::string>> allowed = {
        {"include", {}},
        {"model", {"model"}},
        {"graph", {"graph", "model"}},
        {"gpu", {"gpu", "model"}},
        {"kernels", {"kernels", "graph", "gpu", "model", "shaders"}},
        {"pipeline", {"pipeline", "kernels", "graph", "gpu", "model"}},
        {"api", {"api", "pipeline", "kernels", "graph", "gpu", "model", "mote"}},
    };
    for (const auto &[part, mayInclude] : allowed) {
        for (const fs::path &path : filesEndingIn("runtime/" + part, {".h", ".cpp"})) {
            for (const std::string &include : includesOf(path)) {
                const size_t slash = include.find('/');
                if (include[0] == '<' || slash == std::string::npos) {
                    continue; // a system's or a neighbour's
                }
                EXPECT_TRUE(mayInclude.count(include.substr(1, slash - 1)))
                    << path << " includes " << include;
            }
        }
    }
}

// gpu may use the status type of model and nothing else of it: it knows no op.
TEST(Runtime, GpuKnowsNoModel) {
    for (const fs::path &path : filesEndingIn("runtime/gpu", {".h", ".cpp"})) {
        for (const std::string &include : includesOf(path)) {
            EXPECT_TRUE(include.rfind("\"model/", 0) != 0 || include == "\"model/status.h") << path;
        }
    }
}

// Folders of a part have their own; below them the one above may do. The public header is its own manual.
TEST(Folders, HaveAReadme) {
    std::set<fs::path> folders;
    for (const std::string &part : kParts) {
        for (const fs::path &path : filesEndingIn(part, {".h", ".cpp", ".comp", ".sh", ".py"})) {
            folders.insert(fs::relative(path.parent_path(), kRoot));
        }
    }
    folders.erase("runtime/include/mote");
    for (const fs::path &folder : folders) {
        const bool deep = std::distance(folder.begin(), folder.end()) > 2;
        EXPECT_TRUE(fs::exists(kRoot / folder / "README.md") ||
                    (deep && fs::exists(kRoot / folder.parent_path() / "README.md")))
            << folder;
    }
}

} // namespace
