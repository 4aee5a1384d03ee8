// A signal that stays with whoever handles it while a library sets traps of its own.

#include "tasks.h"

#if defined(__unix__) || defined(__APPLE__)

#include <chrono>
#include <csignal>
#include <new>
#include <system_error>

namespace kdgraph {

namespace {

// Looks until the trap is set, and then puts back what was there before: METIS jumps out
// of its handler wherever the signal strikes, and were it within malloc, whose lock then
// nobody opens; or in a thread that does not run METIS, which has nowhere to jump to.
class Kept {
 public:
  explicit Kept(int number) : number_(number) {
    sigaction(number_, nullptr, &usual_);
    // The thread takes no signals that are meant for others.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { watch(); });
    } catch (const std::system_error&) {  // the system gives no more threads
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Kept() {
    done_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void watch() {
    while (!done_) {
      struct sigaction now;
      sigaction(number_, nullptr, &now);
      if (now.sa_handler != usual_.sa_handler) {
        sigaction(number_, &usual_, nullptr);
        return;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  const int number_;
  struct sigaction usual_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace
}  // namespace kdgraph

KDGRAPH_EXPORT void* kdgraph_keep_signal(int32_t number) {
  return new (std::nothrow) kdgraph::Kept(number);
}

KDGRAPH_EXPORT void kdgraph_release_signal(void* kept) {
  delete static_cast<kdgraph::Kept*>(kept);
}

#else

KDGRAPH_EXPORT void* kdgraph_keep_signal(int32_t) { return nullptr; }

KDGRAPH_EXPORT void kdgraph_release_signal(void*) {}

#endif
