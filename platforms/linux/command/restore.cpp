// mote restore: a photo in, a better one out.
#include "commands.h"
#include "description.h"
#include "files.h"
#include "image/image.h"
#include "progress.h"

namespace mote::command {
namespace {

mote_image view(Image &image) {
    mote_image result = MOTE_IMAGE_INIT;
    result.format = image.channels == 1 ? MOTE_GRAY8 : image.channels == 3 ? MOTE_RGB8 : MOTE_RGBA8;
    result.width = image.width;
    result.height = image.height;
    result.pixels = image.pixels.data();
    return result;
}

// The one picture that the model asks for.
std::string photoPort(const ModelDescription &model, const RecipeDescription &recipe,
                      const std::string &path) {
    const std::vector<PortDescription> inputs = model.inputsOf(recipe);
    if (inputs.size() == 1 && inputs[0].kind == "image")
        return inputs[0].name;
    std::string found;
    for (const PortDescription &port : inputs)
        found += (found.empty() ? "" : ", ") + port.kind + " '" + port.name + "'";
    throw CommandError(ExitCode::Usage, path + ": inputs: found " + (found.empty() ? "none" : found) +
                                            ", expected one image to restore");
}

// As chosen; with a mask and no choice the first that fills, where there is one.
const RecipeDescription &recipeFor(const ModelDescription &model, const RestoreOptions &options,
                                   const std::string &path) {
    const bool chosen = !options.recipe.name.empty() || options.recipe.steps != 0;
    if (!options.mask.empty() && !chosen)
        for (const RecipeDescription &recipe : model.recipes)
            if (recipe.fills())
                return recipe;
    return chooseRecipe(model, options.recipe, path);
}

// How many times as large the picture becomes, by the task's name.
uint32_t scaleOf(const ModelDescription &model) {
    return model.task == "super-resolution-x2" ? 2 : model.task == "super-resolution-x4" ? 4 : 1;
}

// The mask of a model or recipe that fills. Throws where it is missing, given in vain, or not the photo's
// size.
Image readMask(const std::string &given, bool needed, const std::string &path, const std::string &recipe,
               const Image &photo) {
    if (!needed && !given.empty())
        throw CommandError(ExitCode::Usage, "--mask: found " + given + ", expected none: " + path +
                                                " fills no holes with recipe '" + recipe + "'");
    if (needed && given.empty())
        throw CommandError(ExitCode::Usage,
                           path +
                               ": mask: found none, expected --mask FILE, a picture that is white where the "
                               "photo is to be filled");
    if (!needed)
        return {};
    Image mask = readImage(given);
    if (mask.width != photo.width || mask.height != photo.height)
        throw CommandError(ExitCode::BadInput, given + ": size: found " + std::to_string(mask.width) + "x" +
                                                   std::to_string(mask.height) + ", expected " +
                                                   std::to_string(photo.width) + "x" +
                                                   std::to_string(photo.height) + ", the photo's");
    return mask;
}

} // namespace

void runRestore(const RestoreOptions &options, Interrupts &interrupts) {
    const ImageFileKind kind = imageFileKind(options.output);
    checkWritable(options.output);
    const std::string path = modelPath(options.model);
    Image photo = readImage(options.input);
    if (kind == ImageFileKind::Jpeg && !dropOpaqueAlpha(photo))
        throw CommandError(ExitCode::Usage, options.output + ": alpha: found transparent pixels in " +
                                                options.input +
                                                ", expected none for a JPEG; write a .png to keep them");

    const DeviceHandle device = openDevice(options.device);
    const ModelHandle handle = openModel(device.get(), path);
    const ModelDescription model = describe(handle.get());
    const RecipeDescription &recipe = recipeFor(model, options, path);
    const bool fills = model.task == "inpaint" || recipe.fills();
    Image mask = readMask(options.mask, fills, path, recipe.name, photo);
    const std::string port = fills ? "known" : photoPort(model, recipe, path);
    const uint32_t scale = scaleOf(model);
    if (photo.width > kMaxImageSide / scale || photo.height > kMaxImageSide / scale)
        throw CommandError(ExitCode::BadInput,
                           options.input + ": size: found " + std::to_string(photo.width) + "x" +
                               std::to_string(photo.height) + ", expected sides of at most " +
                               std::to_string(kMaxImageSide / scale));
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = photo.width * scale;
    desc.height = photo.height * scale;
    desc.recipe = recipe.name.c_str();
    desc.memory_budget = options.memoryBudgetMegabytes * 1'000'000;
    desc.tile_width = options.tile.width;
    desc.tile_height = options.tile.height;
    if (options.tune) {
        Progress progress("restore");
        tuneModel(handle.get(), desc, progress);
    }
    const SessionHandle session = createSession(handle.get(), desc);

    // The same kind: gray stays gray, but where it is to be coloured, and alpha has a place to go.
    Image restored;
    restored.width = desc.width;
    restored.height = desc.height;
    restored.channels = model.task == "colourise" && photo.channels == 1 ? 3 : photo.channels;
    restored.pixels.resize(size_t{restored.width} * restored.height * restored.channels);
    const mote_image input = view(photo), output = view(restored), hole = view(mask);
    check(mote_session_bind_image(session.get(), port.c_str(), &input));
    if (fills)
        check(mote_session_bind_image(session.get(), "mask", &hole));
    check(mote_session_bind_output_image(session.get(), &output));
    {
        Progress progress("restore");
        prepareSession(session.get(), progress);
        runSessionShowing(options.preview, session.get(), options.noise, progress, interrupts);
    }
    writeImage(options.output, restored);
}

} // namespace mote::command
