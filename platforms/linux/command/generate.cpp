// mote generate: an image from noise.
#include "commands.h"
#include "description.h"
#include "files.h"
#include "image/image.h"
#include "progress.h"

namespace mote::command {

void runGenerate(const GenerateOptions &options, Interrupts &interrupts) {
    imageFileKind(options.output);
    checkWritable(options.output);
    const std::string path = modelPath(options.model);
    const DeviceHandle device = openDevice(options.device);
    const ModelHandle handle = openModel(device.get(), path);
    const ModelDescription model = describe(handle.get());
    for (const PortDescription *port : model.appInputs())
        throw CommandError(ExitCode::Usage,
                           path + ": inputs: found " + port->kind + " '" + port->name +
                               "', expected none for generating from noise alone; give another "
                               "--model, or use 'mote restore'");
    Image image;
    image.channels = model.stateChannels();
    if (image.channels != 1 && image.channels != 3)
        throw CommandError(ExitCode::Usage, path + ": state: found " + std::to_string(image.channels) +
                                                " channels, expected 1 (gray) or 3 (RGB)");
    image.width = options.size.width ? options.size.width : model.statisticsWindow;
    image.height = options.size.height ? options.size.height : model.statisticsWindow;
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
    desc.recipe = chooseRecipe(model, options.recipe, path).name.c_str();
    const SessionHandle session = createSession(handle.get(), desc);
    image.pixels.resize(static_cast<size_t>(image.width) * image.height * image.channels);
    mote_image output = MOTE_IMAGE_INIT;
    output.format = image.channels == 1 ? MOTE_GRAY8 : MOTE_RGB8;
    output.width = image.width;
    output.height = image.height;
    output.pixels = image.pixels.data();
    check(mote_session_bind_output_image(session.get(), &output));
    {
        Progress progress("generate");
        prepareSession(session.get(), progress);
        runSession(session.get(), options.noise, progress, interrupts);
    }
    writeImage(options.output, image);
}

} // namespace mote::command
