#include "serve.h"

#include "device_timer.h"
#include "expect.h"
#include "made_ops.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace mote::bench {

void serve(const std::shared_ptr<gpu::Device> &device, const std::string &shape) {
    const std::vector<MadeOp> all = makeOps();
    const auto made =
        std::find_if(all.begin(), all.end(), [&](const MadeOp &op) { return op.name == shape; });
    if (made == all.end()) {
        std::string names;
        for (const MadeOp &op : all)
            names += (names.empty() ? "" : ", ") + op.name;
        throw std::runtime_error("--serve: found '" + shape + "', expected one of " + names);
    }
    Subject subject(device, made->name, made->path, made->width, made->height);
    const std::vector<Unit> units{unitOf(*made, subject)};
    const double error = errorsOf(subject, units)[0]; // its run also leaves inputs on the device
    DeviceTimer timer(*device, subject.session().buffers(), commandsOf(subject.session(), units[0]));
    std::string word;
    while (std::cin >> word) {
        if (word == "run")
            std::printf("%.6f\n", 1e3 * timer.run().wall);
        else if (word == "error")
            std::printf("%.6e\n", error);
        else
            throw std::runtime_error("--serve: found '" + word + "', expected run or error");
        std::fflush(stdout);
    }
}

} // namespace mote::bench
