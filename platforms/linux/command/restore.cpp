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
std::string photoPort(const ModelDescription &model, const std::string &path) {
    const std::vector<const PortDescription *> inputs = model.appInputs();
    if (inputs.size() == 1 && inputs[0]->kind == "image")
        return inputs[0]->name;
    std::string found;
    for (const PortDescription *port : inputs)
        found += (found.empty() ? "" : ", ") + port->kind + " '" + port->name + "'";
    throw CommandError(ExitCode::Usage, path + ": inputs: found " + (found.empty() ? "none" : found) +
                                            ", expected one image to restore");
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
    const std::string port = photoPort(model, path);
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = photo.width;
    desc.height = photo.height;
    desc.recipe = chooseRecipe(model, options.recipe, path).name.c_str();
    desc.memory_budget = options.memoryBudgetMegabytes * 1'000'000;
    desc.tile_width = options.tile.width;
    desc.tile_height = options.tile.height;
    const SessionHandle session = createSession(handle.get(), desc);

    Image restored = photo; // the same kind: gray stays gray, and alpha has a place to go
    const mote_image input = view(photo), output = view(restored);
    check(mote_session_bind_image(session.get(), port.c_str(), &input));
    check(mote_session_bind_output_image(session.get(), &output));
    {
        Progress progress("restore");
        prepareSession(session.get(), progress);
        runSession(session.get(), options.noise, progress, interrupts);
    }
    writeImage(options.output, restored);
}

} // namespace mote::command
