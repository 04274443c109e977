// mote generate: images from noise.
#include "commands.h"
#include "description.h"
#include "files.h"
#include "image/image.h"
#include "progress.h"

#include <algorithm>

namespace mote::command {
namespace {

// "out.png" of one image; of several "out-0.png", "out-1.png", ...
std::string numbered(const std::string &path, size_t image, size_t count) {
    if (count == 1)
        return path;
    const size_t dot = path.rfind('.');
    return path.substr(0, dot) + "-" + std::to_string(image) + path.substr(dot);
}

// A label for each image: as given, in turn where there are fewer; the one that stands for none where none
// is.
std::vector<int64_t> labelsOf(const GenerateOptions &options, const ModelDescription &model,
                              const std::string &path) {
    if (model.vectorLength != 0)
        throw CommandError(ExitCode::Usage, path + ": conditioning: found vectors of " +
                                                std::to_string(model.vectorLength) +
                                                " numbers, expected classes; use 'mote run'");
    if (model.labels == 0 && !options.classes.empty())
        throw CommandError(ExitCode::Usage, "--class: found " + std::to_string(options.classes[0]) +
                                                ", expected none: the model has no classes");
    if (model.labels == 0)
        return {};
    std::vector<int64_t> given = options.classes;
    if (given.empty() && model.nullClass)
        given = {*model.nullClass};
    if (given.empty() || given.size() > options.count)
        throw CommandError(ExitCode::Usage, "--class: found " + std::to_string(given.size()) + " for " +
                                                std::to_string(options.count) +
                                                " images, expected a class from 0 to " +
                                                std::to_string(model.labels - 1) + ", or one for each image");
    std::vector<int64_t> labels;
    for (uint32_t i = 0; i < options.count; ++i)
        labels.push_back(given[i % given.size()]);
    return labels;
}

} // namespace

void runGenerate(const GenerateOptions &options, Interrupts &interrupts) {
    imageFileKind(options.output);
    for (uint32_t i = 0; i < options.count; ++i)
        checkWritable(numbered(options.output, i, options.count));
    const std::string path = modelPath(options.model);
    const DeviceHandle device = openDevice(options.device);
    const ModelHandle handle = openModel(device.get(), path);
    const ModelDescription model = describe(handle.get());
    const RecipeDescription &recipe = chooseRecipe(model, options.recipe, path);
    for (const PortDescription &port : model.inputsOf(recipe))
        throw CommandError(ExitCode::Usage,
                           path + ": inputs: found " + port.kind + " '" + port.name +
                               "', expected none for generating from noise alone; give another "
                               "--model or --recipe, or use 'mote restore'");
    Image image;
    image.channels = model.stateChannels();
    if (image.channels != 1 && image.channels != 3)
        throw CommandError(ExitCode::Usage, path + ": state: found " + std::to_string(image.channels) +
                                                " channels, expected 1 (gray) or 3 (RGB)");
    image.width = options.size.width ? options.size.width
                  : model.width      ? model.width
                                     : model.statisticsWindow;
    image.height = options.size.height ? options.size.height
                   : model.height      ? model.height
                                       : model.statisticsWindow;
    if (image.width == 0 || image.height == 0)
        throw CommandError(ExitCode::Usage, path + ": size: the model states none; give --size WxH");
    if (image.width > kMaxImageSide || image.height > kMaxImageSide)
        throw CommandError(ExitCode::Usage, "--size: found " + std::to_string(image.width) + "x" +
                                                std::to_string(image.height) +
                                                ", expected sides of at most " +
                                                std::to_string(kMaxImageSide));

    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = image.width;
    desc.height = image.height;
    desc.recipe = recipe.name.c_str();
    desc.batch = options.count;
    const std::vector<int64_t> labels = labelsOf(options, model, path);
    if (options.tune) {
        Progress progress("generate");
        tuneModel(handle.get(), desc, progress);
    }
    const SessionHandle session = createSession(handle.get(), desc);
    if (!labels.empty())
        check(mote_session_set_class_labels(session.get(), labels.data(), options.count));
    if (options.guidance)
        check(mote_session_set_guidance(session.get(), &*options.guidance));
    std::vector<Image> images(options.count, image);
    std::vector<mote_image> outputs;
    for (Image &each : images) {
        each.pixels.resize(static_cast<size_t>(image.width) * image.height * image.channels);
        mote_image &output = outputs.emplace_back(mote_image MOTE_IMAGE_INIT);
        output.format = image.channels == 1 ? MOTE_GRAY8 : MOTE_RGB8;
        output.width = image.width;
        output.height = image.height;
        output.pixels = each.pixels.data();
    }
    check(mote_session_bind_output_images(session.get(), outputs.data(), options.count));
    {
        Progress progress("generate");
        prepareSession(session.get(), progress);
        runSessionShowing(options.preview, session.get(), options.noise, progress, interrupts);
    }
    for (size_t i = 0; i < images.size(); ++i)
        writeImage(numbered(options.output, i, images.size()), images[i]);
}

} // namespace mote::command
