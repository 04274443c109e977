#include "convert.h"

#include "graph/shapes.h"
#include "lower/task.h"
#include "model/writer.h"
#include "read/text.h"
#include "reference/self_check.h"
#include "source.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>

namespace mote::convert {

namespace {

schedule::SchedulerConfig schedulerConfigOf(const ConvertOptions &options, const Source &source) {
    return options.schedulerConfig.empty() ? source.scheduler()
                                           : schedule::readSchedulerConfig(options.schedulerConfig);
}

std::vector<Recipe> compileRecipes(const ConvertOptions &options, const schedule::SchedulerConfig &config,
                                   std::vector<float> &timesteps) {
    std::vector<Recipe> recipes;
    const auto add = [&](std::string name, const std::string &sampler, const schedule::Request &request) {
        for (const Recipe &recipe : recipes)
            if (recipe.name == name)
                throw ReadError(text("recipe \"", name,
                                     "\": found twice, expected names (and numbers of steps) that differ"));
        recipes.push_back(toRecipe(schedule::compile(config, sampler, request), std::move(name), timesteps));
    };
    for (const RecipeRequest &recipe : options.recipes) {
        schedule::Request request;
        request.steps = recipe.steps;
        request.options = recipe.options;
        add(recipe.name, recipe.sampler, request);
    }
    schedule::Request request;
    request.options = options.samplerOptions;
    if (!options.timesteps.empty()) {
        request.timesteps = options.timesteps;
        add(text(options.timesteps.size()), options.sampler, request);
        return recipes;
    }
    std::vector<int64_t> all = options.steps;
    if (all.empty() && recipes.empty())
        all = {kDefaultSteps};
    for (int64_t steps : all) {
        request.steps = steps;
        add(text(steps), options.sampler, request);
    }
    return recipes;
}

// The scheduler's variance_type makes half of the network's outputs a variance; a recipe reads it or not.
void readVariance(const ConvertOptions &options, const schedule::SchedulerConfig &config,
                  const std::vector<Recipe> &recipes, Source &source) {
    const auto type = config.values.find("variance_type");
    bool configured = type != config.values.end() && type->second.starts_with("\"learned");
    const auto look = [&](const schedule::NamedValues &settings) {
        for (const auto &[name, value] : settings)
            configured = configured || (name == "variance_type" && value.starts_with("learned"));
    };
    look(options.samplerOptions);
    for (const RecipeRequest &recipe : options.recipes)
        look(recipe.options);
    const bool used = std::any_of(recipes.begin(), recipes.end(), [](const Recipe &recipe) {
        return std::any_of(recipe.rows.begin(), recipe.rows.end(),
                           [](const StepRow &row) { return row.variance != VarianceKind::Fixed; });
    });
    source.readVariance(configured || used, used);
}

// Throws where the network does not know a timestep. `where`: the file, and its field that says how time is
// embedded.
void checkTimesteps(const Network &network, const std::string &where, const std::vector<Recipe> &recipes) {
    using Kind = TimestepFeatures::Kind;
    const Kind kind = network.timestepFeatures.kind;
    const auto embedding = std::find_if(network.graph.ops.begin(), network.graph.ops.end(),
                                        [](const Op &op) { return op.kind == OpKind::TimestepEmbedding; });
    if (kind == Kind::Positional || embedding == network.graph.ops.end())
        return;
    const Constant &weight = network.constants[embedding->weight];
    for (const Recipe &recipe : recipes)
        for (const StepRow &row : recipe.rows) {
            const float t = row.timestep;
            const std::string found =
                text(where, ": found timestep ", double(t), " in recipe \"", recipe.name, "\"");
            if (kind == Kind::Fourier && !(t > 0))
                throw ReadError(found + ", expected timesteps above 0, because it takes their logarithm");
            if (kind == Kind::Learned && !(t >= 0 && t < float(weight.shape[0]) && t == std::floor(t)))
                throw ReadError(text(found, ", expected whole timesteps from 0 to ", weight.shape[0] - 1,
                                     ", the rows of \"", weight.name, "\""));
        }
}

// The label that stands for no class, or kNone.
uint32_t nullClassOf(const ConvertOptions &options, const UNetConfig &config) {
    const bool table = config.classEmbedding == ClassEmbedding::Table;
    if (options.nullClass.empty())
        return table ? config.classes - 1 : kNone;
    if (!table && config.classEmbedding != ClassEmbedding::Timestep)
        throw ReadError(text("--null-class: found \"", options.nullClass,
                             "\", expected it with models that have labels"));
    if (options.nullClass == "none")
        return kNone;
    uint32_t label = 0;
    const char *end = options.nullClass.data() + options.nullClass.size();
    const auto [rest, error] = std::from_chars(options.nullClass.data(), end, label);
    if (error != std::errc() || rest != end || label >= config.classes)
        throw ReadError(text("--null-class: found \"", options.nullClass, "\", expected a label from 0 to ",
                             config.classes - 1, ", or none"));
    return label;
}

// Where a condition can be left out, a recipe that says nothing of guidance has it at a scale of 1, which
// costs nothing and which a run can replace.
void guideRecipes(std::vector<Recipe> &recipes, const Conditioning &conditioning) {
    const bool can = conditioning.kind == ConditioningKind::Vectors || conditioning.nullClass != kNone;
    for (Recipe &recipe : recipes) {
        const bool guided = std::any_of(recipe.rows.begin(), recipe.rows.end(),
                                        [](const StepRow &row) { return row.guided; });
        if (guided && !can)
            throw ReadError(text("recipe ", recipe.name, ": found guidance, expected none: the model has ",
                                 conditioning.kind == ConditioningKind::None
                                     ? "no classes"
                                     : "no class that stands for none (--null-class says which)"));
        for (StepRow &row : recipe.rows)
            row.guided = can && (row.guided || !guided);
    }
}

// Status to exception: what the runtime's code says of a graph made here is a defect here.
template <typename T> T expectOk(Result<T> result) {
    if (!result.ok())
        throw std::logic_error(result.status().message);
    return std::move(result.value());
}

// The same where the user's words are at fault.
template <typename T> T expectRead(Result<T> result) {
    if (!result.ok())
        throw ReadError(result.status().message);
    return std::move(result.value());
}

bool hasCondition(const Graph &graph) {
    return std::any_of(graph.ports.begin(), graph.ports.end(),
                       [](const Port &port) { return !port.output && port.source == PortSource::App; });
}

std::string grouped(uint64_t number) { // 3417731 -> "3,417,731"
    const std::string digits = text(number);
    std::string out;
    for (size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0)
            out += ',';
        out += digits[i];
    }
    return out;
}

std::string plural(uint64_t count, const char *one, const char *more) {
    return text(grouped(count), " ", count == 1 ? one : more);
}

} // namespace

RecipeRequest parseRecipe(const std::string &text) {
    const auto refuse = [&] {
        throw ReadError(
            "--recipe: found \"" + text +
            "\", expected NAME=SAMPLER:STEPS[,option=value...], for example fine=dpm-multistep:20");
    };
    RecipeRequest recipe;
    const size_t equals = text.find('='), colon = text.find(':', equals);
    if (equals == 0 || equals == std::string::npos || colon == std::string::npos || colon == equals + 1)
        refuse();
    recipe.name = text.substr(0, equals);
    recipe.sampler = text.substr(equals + 1, colon - equals - 1);
    const size_t comma = std::min(text.find(',', colon), text.size());
    const char *digits = text.data() + colon + 1, *end = text.data() + comma;
    const auto [rest, error] = std::from_chars(digits, end, recipe.steps);
    if (error != std::errc() || rest != end || recipe.steps < 1)
        refuse();
    for (size_t at = comma; at < text.size();) {
        const size_t next = std::min(text.find(',', at + 1), text.size());
        const std::string option = text.substr(at + 1, next - at - 1);
        const size_t value = option.find('=');
        if (value == 0 || value == std::string::npos)
            refuse();
        recipe.options.emplace_back(option.substr(0, value), option.substr(value + 1));
        at = next;
    }
    return recipe;
}

Conversion convertCheckpoint(const ConvertOptions &options) {
    Source source(options.directory, options.architecture, options.randomWeights);
    Conversion result;
    Model &model = result.model;
    const schedule::SchedulerConfig config = schedulerConfigOf(options, source);
    model.recipes = compileRecipes(options, config, model.timesteps);
    readVariance(options, config, model.recipes, source);

    // Other networks than UNet2DModel know no classes.
    const UNetConfig unet = source.unet() != nullptr ? *source.unet() : UNetConfig{};
    result.network = source.lower();
    checkTimesteps(result.network, source.timeEmbedding(), model.recipes);
    Task task;
    if (!options.task.empty())
        task = expectRead(taskNamed(options.task));
    else if (hasCondition(result.network.graph))
        task.kind = TaskKind::Restore;
    applyTask(result.network, task);
    result.checkpointBytes = source.bytes();
    result.report =
        fold(result.network, {model.timesteps.begin(), model.timesteps.end()}, nullClassOf(options, unet));
    guideRecipes(model.recipes, result.network.graph.conditioning);
    roundToStored(result.network);
    const auto start = std::chrono::steady_clock::now();
    model.selfCheck = makeSelfCheck(result.network, 0);
    result.selfCheckSeconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.constants =
        options.keepConstants ? storeConstants(result.network) : storeConstants(std::move(result.network));

    model.name = options.name;
    model.version = options.version;
    model.licence = options.licence;
    model.task = taskName(task);
    model.description = options.description;
    model.sourceClass = source.kind();
    model.weights = result.constants.weights;
    model.graphs = {result.network.graph};
    // A network of one size has learnt its statistics there.
    const FixedSize fixed = fixedSize(model.graphs[0]);
    model.statisticsWindow = options.statisticsWindow == 0 && fixed.height == fixed.width
                                 ? fixed.height
                                 : options.statisticsWindow;
    const ReceptiveField field = expectOk(receptiveField(model, model.graphs[0]));
    model.receptiveField = field.wholeImage ? kNone : field.radius;
    return result;
}

void writeConversion(const Conversion &conversion, const std::string &path) {
    const auto provide = [&](uint32_t weight, uint64_t offset, void *to, size_t bytes) {
        std::memcpy(to, conversion.constants.data[weight].data() + offset, bytes);
        return Status{};
    };
    const Status status = writeModel(conversion.model, provide, path);
    if (status.code == StatusCode::IoError)
        throw WriteError(status.message);
    if (!status.ok())
        throw ReadError(status.message);
}

std::string describeConversion(const Conversion &conversion, const std::string &path) {
    const FoldReport &report = conversion.report;
    const Model &model = conversion.model;
    std::string out;
    const auto line = [&](const std::string &label, const std::string &what) {
        out += label + std::string(label.size() < 10 ? 10 - label.size() : 1, ' ') + what + "\n";
    };
    line("read", text(model.sourceClass, ": ", plural(report.tensorsBefore, "tensor", "tensors"), ", ",
                      grouped(report.parametersBefore), " parameters, ", grouped(conversion.checkpointBytes),
                      " bytes"));
    line("folded",
         text(plural(report.timeOps, "time op", "time ops"), " into ",
              plural(report.tables, "table", "tables"), " of ", plural(report.rows, "row", "rows")));
    for (const auto &[count, what] : std::initializer_list<std::pair<size_t, const char *>>{
             {report.activations, "SiLU into norms"},
             {report.residuals, "additions into convolutions"},
             {report.concats, "concatenations into second inputs"},
             {report.resamples, "resamplings into convolutions and norms"},
             {report.scales, "factors into convolutions and the input"},
             {report.qkv, "triples of q, k, v into one product"},
             {report.heads, "attentions with heads filled up to blocks of 8 channels"},
             {report.linears, "linear layers into 1x1 convolutions"},
             {report.projections, "class projections kept beside static rows"},
             {report.pointwise, "operations on single elements stay"}})
        if (count > 0)
            line("", text(count, " ", what));
    line("", text(report.opsBefore, " ops became ", report.opsAfter));
    for (const Recipe &recipe : model.recipes) {
        std::string steps;
        for (size_t i = 0; i < recipe.rows.size(); ++i)
            steps += text(i == 0        ? ""
                          : i % 16 == 0 ? ",\n          "
                                        : ", ",
                          double(recipe.rows[i].timestep));
        line("recipe", text(recipe.name, " (", recipe.sampler, "): timesteps ", steps));
    }
    line("checked", model.selfCheck.ops.empty()
                        ? std::string("no self-check: it would exceed 256 kB")
                        : text("self-check of ", model.selfCheck.ops.size(), " ops at ",
                               model.selfCheck.height, "x", model.selfCheck.width, ", made in ",
                               std::round(100 * conversion.selfCheckSeconds) / 100, " s"));
    line("wrote", text(path, ": ", plural(report.tensorsAfter, "tensor", "tensors"), ", ",
                       grouped(report.parametersAfter), " parameters, ",
                       grouped(conversion.constants.bytes()), " bytes"));
    return out;
}

} // namespace mote::convert
