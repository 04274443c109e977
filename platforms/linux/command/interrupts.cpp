#include "interrupts.h"

#include "files.h"

#include <mote/mote.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace mote::command {

Interrupts::Interrupts() {
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM}) {
        struct sigaction present = {};
        sigaction(signal, nullptr, &present);
        if (present.sa_handler != SIG_IGN) // started by nohup, or in the background: stays ignored
            sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    signalDescriptor = signalfd(-1, &signals, SFD_CLOEXEC);
    stopDescriptor = eventfd(0, EFD_CLOEXEC);
    if (signalDescriptor < 0 || stopDescriptor < 0)
        throw std::system_error(errno, std::generic_category(), "signalfd");
    thread = std::thread([this] { wait(); });
}

Interrupts::~Interrupts() {
    const uint64_t one = 1;
    if (write(stopDescriptor, &one, sizeof one) == static_cast<ssize_t>(sizeof one))
        thread.join();
    else
        thread.detach();
    close(signalDescriptor);
    close(stopDescriptor);
}

void Interrupts::wait() {
    for (;;) {
        pollfd waited[2] = {{signalDescriptor, POLLIN, 0}, {stopDescriptor, POLLIN, 0}};
        if (poll(waited, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        if (waited[1].revents != 0)
            return;
        signalfd_siginfo information = {};
        if (read(signalDescriptor, &information, sizeof information) !=
            static_cast<ssize_t>(sizeof information))
            continue;
        const std::lock_guard lock(mutex);
        const bool again = flag.exchange(true);
        if (!running || again) {
            removeTemporaryFiles();
            _exit(128 + static_cast<int>(information.ssi_signo));
        }
        mote_session_cancel(running);
    }
}

Interrupts::Run::Run(Interrupts &of, mote_session *session) : interrupts(of) {
    const std::lock_guard lock(interrupts.mutex);
    interrupts.running = session;
}

Interrupts::Run::~Run() {
    const std::lock_guard lock(interrupts.mutex);
    interrupts.running = nullptr;
}

} // namespace mote::command
