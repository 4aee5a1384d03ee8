// Ids that repeat: each once, and the sum of what belongs to each.
// kdgraph/ops/repeats.py calls this.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "plan.h"
#include "tasks.h"

namespace kdgraph {
namespace {

constexpr int64_t kColumns = 32;      // floats of a row that a task adds
constexpr int64_t kThreaded = 1 << 18;  // floats from which threads pay

// Each id once in the order of its first place, and of which each id is a repeat.
int64_t distinct(const int64_t* ids, int64_t count, int64_t* once, int64_t* back) {
  int64_t bits = 4;
  while ((static_cast<int64_t>(1) << bits) < 2 * count) bits++;
  const uint64_t mask = (static_cast<uint64_t>(1) << bits) - 1;
  std::vector<int64_t> slots(mask + 1, -1);  // places in `once`
  int64_t found = 0;
  for (int64_t i = 0; i < count; i++) {
    uint64_t at = (static_cast<uint64_t>(ids[i]) * 0x9E3779B97F4A7C15u) >> (64 - bits);
    while (slots[at] >= 0 && once[slots[at]] != ids[i]) at = (at + 1) & mask;
    if (slots[at] < 0) {
      once[found] = ids[i];
      slots[at] = found++;
    }
    back[i] = slots[at];
  }
  return found;
}

// out[back[i]] += rows[i]; a sum is of the same terms in the same order for any number of
// threads, which share out columns.
void add_repeats(const int64_t* back, const float* rows, int64_t count, int64_t width,
                 float* out, int threads, Problem& problem) {
  const int64_t each = count * width < kThreaded ? width : std::min(width, kColumns);
  run_tasks((width + each - 1) / each, threads, problem, [&] {
    return [&](int64_t task) {
      const int64_t first = task * each, last = std::min(width, first + each);
      for (int64_t i = 0; i < count; i++) {
        const float* from = rows + i * width;
        float* to = out + back[i] * width;
        for (int64_t c = first; c < last; c++) to[c] += from[c];
      }
    };
  });
}

}  // namespace
}  // namespace kdgraph

// `once` has room for `count` ids; what is returned is how many there are.
KDGRAPH_EXPORT int kdgraph_distinct(const int64_t* ids, int64_t count, int64_t* once,
                                    int64_t* back, int64_t* detail) {
  int64_t found = 0;
  const int status = kdgraph::guarded(detail, [&](kdgraph::Problem&) {
    found = kdgraph::distinct(ids, count, once, back);
  });
  detail[0] = found;
  return status;
}

KDGRAPH_EXPORT int kdgraph_add_repeats(const int64_t* back, const float* rows,
                                       int64_t count, int64_t width, float* out,
                                       int32_t threads, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::add_repeats(back, rows, count, width, out, threads, problem);
  });
}
