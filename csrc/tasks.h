// Work shared by threads, and how what goes wrong in it reaches the caller.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#define KDGRAPH_EXPORT extern "C" __attribute__((visibility("default")))

namespace kdgraph {

enum Status {
  kFine = 0,
  kBadRowptr = 1,
  kBadSource = 2,
  kBadCode = 3,
  kNoMemory = 4,
  kTwice = 5
};

// What a thread found wrong; the first to find something is heard.
struct Problem {
  std::atomic<int> status{kFine};
  int64_t detail[3] = {0, 0, 0};

  void tell(int code, int64_t a, int64_t b = 0, int64_t c = 0) {
    int none = kFine;
    if (!status.compare_exchange_strong(none, code)) return;
    detail[0] = a;
    detail[1] = b;
    detail[2] = c;
  }
};

// Run task(0) to task(count - 1), each once, on up to `threads` threads: each takes a run
// of them, so that no two write to the same pages, and then what others have left.
// Threads live as long as the call: nothing survives it that a forked process could wait
// for.
template <typename MakeTask>
void run_tasks(int64_t count, int threads, Problem& problem, MakeTask&& make_task) {
  const int64_t runs = std::max<int64_t>(1, std::min<int64_t>(threads, count));
  std::vector<std::atomic<int64_t>> next(runs);
  for (int64_t run = 0; run < runs; run++) next[run] = count * run / runs;
  const auto work = [&](int64_t own) {
    try {
      auto task = make_task();
      for (int64_t turn = 0; turn < runs; turn++) {
        const int64_t run = (own + turn) % runs;
        const int64_t end = count * (run + 1) / runs;
        for (int64_t i = next[run]++; i < end && problem.status == kFine; i = next[run]++)
          task(i);
      }
    } catch (const std::exception&) {
      problem.tell(kNoMemory, 0);
    }
  };
  std::vector<std::thread> others;
  for (int64_t run = 1; run < runs; run++) {
    try {
      others.emplace_back(work, run);
    } catch (const std::exception&) {
      break;  // the system gives no more threads: those that run share the tasks
    }
  }
  work(0);
  for (std::thread& other : others) other.join();
}

template <typename Operation>
int guarded(int64_t* detail, Operation&& operation) {
  Problem problem;
  try {
    operation(problem);
  } catch (const std::exception&) {
    problem.tell(kNoMemory, 0);
  }
  std::copy(problem.detail, problem.detail + 3, detail);
  return problem.status;
}

}  // namespace kdgraph
