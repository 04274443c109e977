#include "source.h"

#include "lower/description.h"
#include "lower/random_weights.h"
#include "lower/unet.h"
#include "read/text.h"

#include <sys/stat.h>

namespace mote::convert {

namespace {

bool isFolder(const std::string &path) {
    struct stat status = {};
    return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool exists(const std::string &path) {
    struct stat status = {};
    return stat(path.c_str(), &status) == 0;
}

} // namespace

Source::Source(const std::string &path, const std::string &architecture,
               std::optional<uint64_t> randomWeights)
    : path_(path), randomWeights_(randomWeights) {
    if (architecture.ends_with(".json"))
        openDescription(architecture);
    else if (architecture == "simple_unet")
        openSimpleUNet(path);
    else if (architecture == "unet2d" || architecture.empty())
        openFolder(path);
    else
        throw ReadError(text("--arch: found \"", architecture,
                             "\", expected unet2d, simple_unet, or the name of a file that ends in .json"));
}

Source::~Source() = default;

void Source::openFolder(const std::string &folder) {
    // What the folder holds says what it is.
    if (!exists(folder + "/model_index.json") && exists(text(folder, "/", kSimpleUNetFile)))
        return openSimpleUNet(folder);
    if (exists(folder) && !isFolder(folder))
        throw ReadError(text(folder,
                             ": is a file of tensors, which does not say what network it is for; --arch "
                             "must name a description of it"));
    kind_ = "UNet2DModel";
    if (randomWeights_) {
        unet_ = readUNetConfig(folder);
    } else {
        checkpoint_.emplace(folder);
        unet_ = checkpoint_->unet();
    }
    schedulerFrom_ = folder + "/scheduler/scheduler_config.json";
}

void Source::openSimpleUNet(const std::string &folder) {
    schedulerFrom_ = text(folder, "/", kSimpleUNetFile);
    kind_ = "SimpleUNet";
    simple_ = parseSimpleUNetConfig(parseJson(readTextFile(schedulerFrom_), schedulerFrom_), schedulerFrom_);
    scheduler_ = simple_->scheduler;
    if (!randomWeights_)
        weights_.emplace(text(folder, "/", simple_->weights));
}

void Source::openDescription(const std::string &path) {
    description_ = parseJson(readTextFile(path), path);
    descriptionPath_ = schedulerFrom_ = path;
    if (randomWeights_)
        throw ReadError(text(path, ": takes its shapes from weights; --random-weights fills configurations"));
    if (!isFolder(path_)) {
        weights_.emplace(path_);
        return;
    }
    const std::string file = weightsOf(description_, path);
    if (file.empty())
        throw ReadError(text(path, ": does not say which file of the folder ", path_,
                             " has the weights; give the file, or \"weights\": its name"));
    weights_.emplace(text(path_, "/", file));
}

std::string Source::timeEmbedding() const {
    if (unet_)
        return text("unet/config.json: time_embedding_type \"", unet_->timeEmbeddingType, "\"");
    return text(descriptionPath_, ": timestep_table");
}

void Source::readVariance(bool bySchedule, bool used) {
    if (unet_)
        convert::readVariance(*unet_, bySchedule, used);
    if (checkpoint_)
        checkpoint_->readVariance(bySchedule, used);
}

schedule::SchedulerConfig Source::scheduler() const {
    if (!description_.is_null()) {
        const auto found = description_.find("scheduler");
        if (found == description_.end())
            throw ReadError(text(descriptionPath_, ": has no \"scheduler\"; give --scheduler FILE.json"));
        return schedule::parseSchedulerConfig(found->dump(), descriptionPath_);
    }
    return scheduler_.empty() ? schedule::readSchedulerConfig(schedulerFrom_)
                              : schedule::parseSchedulerConfig(scheduler_, schedulerFrom_);
}

Network Source::lowerFrom(const TensorSource &tensors) const {
    return unet_ ? lowerUNet(*unet_, tensors) : lowerSimpleUNet(*simple_, tensors);
}

Network Source::lower() {
    if (!description_.is_null()) {
        Description lowered = lowerDescription(description_, descriptionPath_, *weights_);
        kind_ = lowered.name;
        bytes_ = weights_->bytes();
        return std::move(lowered.network);
    }
    if (randomWeights_) {
        RandomWeights random(*randomWeights_);
        Network network = lowerFrom([&](const std::string &name, const std::vector<uint64_t> &shape) {
            return random.take(name, shape);
        });
        bytes_ = random.bytes();
        return network;
    }
    if (checkpoint_) {
        bytes_ = checkpoint_->weights().bytes();
        return lowerUNet(*checkpoint_);
    }
    WeightTaker taker(*weights_, schedulerFrom_);
    Network network = lowerFrom(
        [&](const std::string &name, const std::vector<uint64_t> &shape) { return taker.take(name, shape); });
    taker.expectAllTaken();
    bytes_ = weights_->bytes();
    return network;
}

} // namespace mote::convert
