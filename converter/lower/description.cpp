#include "lower/description.h"

#include "lower/description_ops.h"
#include "read/fields.h"
#include "read/text.h"

#include <map>

namespace mote::convert {

namespace {

using nlohmann::json;

constexpr uint32_t kMaxSize = 1 << 14;
constexpr size_t kMaxEntries = 4096; // ops and calls, after all functions
constexpr size_t kMaxDepth = 8;      // of functions in functions

struct Function {
    std::vector<std::string> parameters;
    const json *entries = nullptr;
};

// Names of one list of ops: a function sees its own and its parameters, nothing of its caller.
struct Scope {
    std::map<std::string, uint32_t> names;
    uint32_t last = kNone; // what the entry before made
    std::string prefix;    // of modules
};

class Lowering {
public:
    Lowering(const json &description, const std::string &where, const Weights &weights)
        : fields_(description, where), weights_(weights), ops_(weights, where) {}

    Description run() {
        if (fields_.count("mote_graph", {}, 1, 1) != 1)
            fields_.refuse("mote_graph", "1");
        Description result;
        result.name = fields_.text("name", "described network");
        fields_.text("weights", "");
        if (const json *scheduler = fields_.find("scheduler"))
            result.scheduler = scheduler->dump();
        readSize();
        Scope scope;
        scope.prefix = fields_.text("prefix", "");
        readInputs(scope);
        readFunctions();
        readUnused(scope.prefix);
        const json *graph = fields_.find("graph");
        if (graph == nullptr || !graph->is_array() || graph->empty())
            fields_.refuse("graph", "a list of ops");
        fields_.expectNoMore();
        run(*graph, scope, text(fields_.where(), ": graph"));
        result.network = ops_.finish(scope.last, stateChannels_);
        return result;
    }

private:
    void readSize() {
        const json *size = fields_.find("size");
        if (size == nullptr)
            return;
        const auto good = [](const json &side) {
            return side.is_number_unsigned() && side.get<uint64_t>() >= 1 && side.get<uint64_t>() <= kMaxSize;
        };
        if (!size->is_array() || size->size() != 2 || !good((*size)[0]) || !good((*size)[1]))
            fields_.refuse("size", text("[height, width], each from 1 to ", kMaxSize));
        ops_.fixSize((*size)[0].get<uint32_t>(), (*size)[1].get<uint32_t>());
    }

    void readInputs(Scope &scope) {
        const json *inputs = fields_.find("inputs");
        if (inputs == nullptr)
            fields_.refuse("inputs", "an object such as {\"x\": 3}");
        Fields channels(*inputs, text(fields_.where(), ": inputs"));
        stateChannels_ = channels.count("x", {}, 1, 1 << 16);
        scope.names["x"] = scope.last =
            ops_.inputPort("x", stateChannels_, PortSource::State, "the sampler's state");
        if (const uint32_t condition = channels.count("condition", 0, 0, 1 << 16); condition > 0)
            scope.names["condition"] =
                ops_.inputPort("condition", condition, PortSource::App, "what the model was conditioned on");
        channels.expectNoMore();
    }

    void readFunctions() {
        const json *functions = fields_.find("functions");
        if (functions == nullptr)
            return;
        if (!functions->is_object())
            fields_.refuse("functions", "an object of functions by name");
        for (const auto &[name, body] : functions->items()) {
            Fields fields(body, text(fields_.where(), ": function ", shownJson(json(name))));
            Function function;
            const json *parameters = fields.find("in");
            if (parameters == nullptr)
                function.parameters = {"in"};
            else if (!parameters->is_array() || parameters->empty())
                fields.refuse("in", "a list of names");
            else
                for (const json &parameter : *parameters) {
                    if (!parameter.is_string())
                        fields.refuse("in", "a list of names");
                    function.parameters.push_back(parameter.get<std::string>());
                }
            function.entries = fields.find("graph");
            if (function.entries == nullptr || !function.entries->is_array() || function.entries->empty())
                fields.refuse("graph", "a list of ops");
            fields.expectNoMore();
            if (DescribedOps::knows(name))
                throw ReadError(text(fields.where(), ": is the name of an op, expected another one"));
            functions_[name] = std::move(function);
        }
    }

    void readUnused(const std::string &prefix) {
        const json *unused = fields_.find("unused");
        if (unused == nullptr)
            return;
        if (!unused->is_array())
            fields_.refuse("unused", "a list of tensors' names");
        for (const json &name : *unused)
            if (!name.is_string() || !ops_.ignore(prefix + name.get<std::string>()))
                throw ReadError(text(fields_.where(), ": \"unused\" has ", shownJson(name),
                                     ", expected tensors of ", weights_.path()));
    }

    void run(const json &entries, Scope &scope, const std::string &where) {
        for (size_t i = 0; i < entries.size(); ++i)
            scope.last = entry(entries[i], scope, text(where, "[", i, "]"));
    }

    uint32_t entry(const json &object, Scope &scope, std::string where) {
        if (++entries_ > kMaxEntries)
            throw ReadError(text(where, ": the network has more than ", kMaxEntries, " ops"));
        {
            Fields head(object, where);
            where += text(" (", head.text("op", {}));
            if (const std::string module = head.text("module", ""); !module.empty())
                where += " " + scope.prefix + module;
            where += ")";
        }
        Fields fields(object, where);
        const std::string op = fields.text("op", {}), module = fields.text("module", "");
        std::vector<uint32_t> inputs = readInputsOf(fields, scope);
        const std::string out = fields.text("out", "");
        if (object.contains("out") && (out.empty() || scope.names.contains(out)))
            fields.refuse("out", "a name that is not taken");
        uint32_t result = kNone;
        if (DescribedOps::knows(op)) {
            DescribedOps::Entry given{fields, scope.prefix + (module.empty() ? op : module),
                                      scope.prefix + module, std::move(inputs)};
            result = ops_.run(op, given, object.contains("in"));
        } else if (const auto function = functions_.find(op); function != functions_.end()) {
            result = call(function->second, fields, scope, module, inputs, where);
        } else if (const std::string reason = DescribedOps::refusal(op); !reason.empty()) {
            throw ReadError(text(where, ": op ", shownJson(json(op)), " is not supported: ", reason));
        } else {
            throw ReadError(text(where, ": op ", shownJson(json(op)), " is neither a function nor one of ",
                                 DescribedOps::known()));
        }
        if (!out.empty())
            scope.names[out] = result;
        return result;
    }

    std::vector<uint32_t> readInputsOf(Fields &fields, const Scope &scope) {
        const json *in = fields.find("in");
        if (in == nullptr)
            return {scope.last};
        std::vector<json> names;
        if (in->is_array())
            names.assign(in->begin(), in->end());
        else
            names = {*in};
        std::vector<uint32_t> inputs;
        for (const json &name : names) {
            const auto found =
                name.is_string() ? scope.names.find(name.get<std::string>()) : scope.names.end();
            if (found == scope.names.end()) {
                std::string known;
                for (const auto &[each, tensor] : scope.names)
                    known += (known.empty() ? "" : ", ") + each;
                throw ReadError(
                    text(fields.where(), ": \"in\" has ", shownJson(name), ", expected one of ", known));
            }
            inputs.push_back(found->second);
        }
        return inputs;
    }

    uint32_t call(const Function &function, Fields &fields, const Scope &caller, const std::string &module,
                  const std::vector<uint32_t> &inputs, const std::string &where) {
        fields.expectNoMore();
        if (inputs.size() != function.parameters.size())
            throw ReadError(text(where, ": is given ", inputs.size(), " inputs, the function takes ",
                                 function.parameters.size()));
        if (++depth_ > kMaxDepth)
            throw ReadError(text(where, ": functions are nested deeper than ", kMaxDepth));
        Scope scope;
        scope.prefix = module.empty() ? caller.prefix : caller.prefix + module + ".";
        for (size_t i = 0; i < inputs.size(); ++i)
            scope.names[function.parameters[i]] = inputs[i];
        scope.last = inputs[0];
        run(*function.entries, scope, where);
        --depth_;
        return scope.last;
    }

    Fields fields_;
    const Weights &weights_;
    DescribedOps ops_;
    uint32_t stateChannels_ = 0;
    std::map<std::string, Function> functions_;
    size_t entries_ = 0, depth_ = 0;
};

} // namespace

std::string weightsOf(const json &description, const std::string &where) {
    Fields fields(description, where);
    std::string name = fields.text("weights", "");
    if (name.find_first_of("/\\") != std::string::npos)
        fields.refuse("weights", "the name of a file in the folder that is converted");
    return name;
}

Description lowerDescription(const json &description, const std::string &where, const Weights &weights) {
    return Lowering(description, where, weights).run();
}

} // namespace mote::convert
