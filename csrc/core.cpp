// The operations over codes on the CPU: plain pointers and sizes in and out, no Python
// and no torch. kdgraph/ops/native.py calls them and says what each argument is.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "layout.h"
#include "plan.h"

namespace kdgraph {
namespace {

constexpr int kBlockEdges = 2048;       // their codes fit the first- or second-level cache
constexpr int64_t kBlockFloats = 16384;  // of sums, 64 KiB
constexpr int kBlockRows = 256;
constexpr int kCodesAhead = 32;         // edges whose codes are fetched ahead
constexpr int64_t kTaskCost = 1 << 16;   // of about so many edges
constexpr int64_t kRowCost = 8;         // what a target costs, in edges
constexpr int64_t kStreamBytes = 8 << 20;
constexpr int64_t kCheckedRows = 1 << 16;
constexpr int64_t kScratchBytes = 16 << 20;
constexpr int64_t kMaxParts = 64;
constexpr int64_t kRunPerCode = 256;     // edges per codeword that are summed at a time

enum Status { kFine = 0, kBadRowptr = 1, kBadSource = 2, kBadCode = 3, kNoMemory = 4 };

const Kernels* chosen_kernels = nullptr;
const char* chosen_name = "";

bool choose(const char* name) {
  struct Choice {
    const char* name;
    const Kernels* (*kernels)();
    bool there;
  };
  const Choice choices[] = {
#if defined(KDGRAPH_X86)
      {"avx512", avx512_kernels,
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")},
      {"avx2", avx2_kernels,
       __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#endif
      {"portable", portable_kernels, true},
  };
  for (const Choice& choice : choices) {
    if (!choice.there || (name[0] && std::strcmp(name, choice.name) != 0)) continue;
    chosen_kernels = choice.kernels();
    chosen_name = choice.name;
    return true;
  }
  return false;
}

}  // namespace

// Edges by target; see kdgraph/ops/edges.py.
struct Edges {
  const int64_t* rowptr64;  // [targets + 1]; with both null, one edge per target
  const int32_t* rowptr32;
  const int64_t* col64;     // [edges]; with both null, 0 to edges - 1
  const int32_t* col32;
  const float* weight;      // [edges], or null for ones
  int64_t targets;
  int64_t edges;
  int32_t mean;
  int32_t check;            // whether sources and codes are checked
  int32_t threads;

  int64_t begin(int64_t target) const {
    if (rowptr32) return rowptr32[target];
    return rowptr64 ? rowptr64[target] : target;
  }
  int64_t source(int64_t edge) const {
    if (col32) return col32[edge];
    return col64 ? col64[edge] : edge;
  }
  int64_t cost(int64_t target) const { return begin(target) + kRowCost * target; }
  int64_t cost() const { return edges + kRowCost * targets; }

  // The first target at which the cost of those before reaches a bound.
  int64_t target_at(int64_t bound) const {
    int64_t low = 0, high = targets;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (cost(middle) < bound)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
};

namespace {

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

// Ask for large pages where a large output is written for the first time.
void advise(void* memory, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = 2 << 20;
  const uintptr_t start = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t stop = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
  if (start < stop) madvise(reinterpret_cast<void*>(start), stop - start, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

// Copy to memory that will not be read soon, past the caches.
void stream(float* to, const float* from, int64_t count) {
#if defined(__SSE2__)
  if (reinterpret_cast<uintptr_t>(to) % 16 == 0 && count % 4 == 0) {
    for (int64_t i = 0; i < count; i += 4)
      _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
    return;
  }
#endif
  std::memcpy(to, from, count * sizeof(float));
}

// Walks over the edges of targets in blocks, with the codes of their sources copied out.
class Blocks {
 public:
  Blocks(const Plan& plan, const Edges& edges, Problem& problem,
         int64_t most_edges = kBlockEdges)
      : plan_(plan), edges_(edges), problem_(problem),
        most_edges_(static_cast<int>(std::min<int64_t>(most_edges, kBlockEdges))),
        codes_(static_cast<size_t>(kBlockEdges) * plan.lookups() * plan.code_bytes()),
        begin_(kBlockRows + 1),
        sums_(static_cast<int64_t>(max_rows()) * plan.width()) {
    block_.codes = codes_.data();
    block_.stride = plan.lookups();
    block_.begin = begin_.data();
    block_.sums = sums_.data();
    block_.width = plan.width();
    block_.by_weight = nullptr;
  }

  // Go through targets [from, to): visit(block, first target, first edge, whether the
  // block begins its first target, whether it ends its last). A target with more edges
  // than a block holds fills several blocks of its own.
  template <typename Visit>
  void walk(int64_t from, int64_t to, Visit&& visit) {
    int64_t target = from;
    int64_t done = 0;  // edges of the target in earlier blocks
    while (target < to) {
      const int64_t first = edges_.begin(target) + done;
      int rows = 0;
      begin_[0] = 0;
      const int most = done ? 1 : max_rows();
      while (rows < most && target + rows < to) {
        const int64_t end = edges_.begin(target + rows + 1) - first;
        if (end > most_edges_) break;
        begin_[++rows] = static_cast<int32_t>(end);
      }
      const bool starts = done == 0;
      const bool ends = rows > 0;
      if (!ends) begin_[rows = 1] = most_edges_;
      const int count = begin_[rows];
      if (!read(first, count)) return;
      block_.rows = rows;
      block_.weight = edges_.weight ? edges_.weight + first : nullptr;
      visit(block_, target, first, starts, ends);
      if (ends) {
        target += rows;
        done = 0;
      } else {
        done += count;
      }
    }
  }

 private:
  int max_rows() const {
    const int64_t rows = kBlockFloats / std::max(1, plan_.width());
    return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(rows, kBlockRows)));
  }

  bool read(int64_t first, int count) {
    if (edges_.col32) return read_from(edges_.col32 + first, first, count);
    if (edges_.col64) return read_from(edges_.col64 + first, first, count);
    return read_from(Counter{first}, first, count);
  }

  // Sources where each edge is its own.
  struct Counter {
    int64_t first;
    int64_t operator[](int64_t edge) const { return first + edge; }
  };

  template <typename Sources>
  bool read_from(Sources sources, int64_t first, int count) {
    if (edges_.check) {
      const int64_t nodes = plan_.codes().nodes;
      int64_t lowest = 0, highest = -1;
      for (int i = 0; i < count; i++) {
        const int64_t source = sources[i];
        lowest = std::min(lowest, source);
        highest = std::max(highest, source);
      }
      if (lowest < 0 || highest >= nodes) {
        problem_.tell(kBadSource, lowest < 0 ? lowest : highest);
        return false;
      }
    }
    const int64_t last = edges_.edges - 1 - first;
    switch (plan_.copied_bytes()) {  // sizes the compiler copies without a call
      case 4: copy<4>(sources, count, last); break;
      case 8: copy<8>(sources, count, last); break;
      case 16: copy<16>(sources, count, last); break;
      case 32: copy<32>(sources, count, last); break;
      default: copy<0>(sources, count, last);
    }
    return true;
  }

  template <int fixed, typename Sources>
  void copy(Sources sources, int count, int64_t last) {
    const Codes& codes = plan_.codes();
    const char* rows = static_cast<const char*>(codes.codes);
    const int64_t bytes = fixed ? fixed : plan_.lookups() * plan_.code_bytes();
    const bool copied = plan_.copied_bytes() > 0;
    char* to = codes_.data();
    for (int i = 0; i < count; i++, to += bytes) {
      const int64_t ahead = sources[std::min<int64_t>(i + kCodesAhead, last)];
      __builtin_prefetch(rows + ahead * codes.row_bytes);
      const char* from = rows + static_cast<int64_t>(sources[i]) * codes.row_bytes;
      if (fixed || copied)
        std::memcpy(to, from, bytes);
      else
        plan_.extract(from, to);
    }
  }

  const Plan& plan_;
  const Edges& edges_;
  Problem& problem_;
  const int most_edges_;
  std::vector<char> codes_;
  std::vector<int32_t> begin_;
  Floats sums_;
  Block block_;
};

int lookups_index(int lookups) { return lookups == 4 ? 2 : lookups - 1; }

// Whether everything that is read by index, but the sources, is in range.
bool sound(const Plan* plan, const Edges& edges, Problem& problem) {
  if (!edges.check) return true;
  if (edges.rowptr32 || edges.rowptr64) {
    bool rises = edges.begin(0) == 0 && edges.begin(edges.targets) == edges.edges;
    for (int64_t v = 0; v < edges.targets; v++)
      rises &= edges.begin(v) <= edges.begin(v + 1);
    if (!rises) {
      problem.tell(kBadRowptr, edges.edges);
      return false;
    }
  }
  if (!plan || !plan->may_exceed()) return true;
  const int64_t nodes = plan->codes().nodes;
  run_tasks(nodes / kCheckedRows + 1, edges.threads, problem, [&] {
    return [&](int64_t i) {
      const int64_t from = i * kCheckedRows;
      const int64_t to = std::min(nodes, from + kCheckedRows);
      int64_t row, position, code;
      if (plan->find_bad_code(from, to, &row, &position, &code))
        problem.tell(kBadCode, code, position, row);
    };
  });
  return problem.status == kFine;
}

float share(const Edges& edges, int64_t target) {
  if (!edges.mean) return 1.0f;
  return 1.0f / static_cast<float>(edges.begin(target + 1) - edges.begin(target));
}

void spmm(const Codes& codes, const Edges& edges, float* out, Problem& problem) {
  const Plan plan(codes);
  if (!sound(&plan, edges, problem)) return;
  const Floats table(plan.table_floats());
  plan.fill(table.data());
  const int64_t channels = plan.channels();
  const int64_t bytes = edges.targets * channels * static_cast<int64_t>(sizeof(float));
  const bool streams = bytes >= kStreamBytes;
  if (streams) advise(out, bytes);
  const int64_t count = edges.cost() / kTaskCost + 1;
  run_tasks(count, edges.threads, problem, [&] {
    return [&, blocks = Blocks(plan, edges, problem)](int64_t i) mutable {
      const int64_t from = edges.target_at(edges.cost() * i / count);
      const int64_t to =
          i + 1 == count ? edges.targets : edges.target_at(edges.cost() * (i + 1) / count);
      blocks.walk(from, to, [&](Block& block, int64_t target, int64_t, bool starts, bool ends) {
        const int64_t floats = static_cast<int64_t>(block.rows) * block.width;
        if (starts) std::memset(block.sums, 0, floats * sizeof(float));
        for (const Unit& unit : plan.units())
          chosen_kernels->forward[plan.code_bytes() - 1][lookups_index(unit.lookups)]
                                 [unit.vectors - 1][unit.shared]
                                 [block.weight != nullptr](unit, table.data(), block);
        if (!ends) return;
        for (int r = 0; edges.mean && r < block.rows; r++) {
          if (block.begin[r] == block.begin[r + 1] && starts) continue;
          const float factor = share(edges, target + r);
          float* row = block.sums + static_cast<int64_t>(r) * block.width;
          for (int c = 0; c < block.width; c++) row[c] *= factor;
        }
        float* to_rows = out + target * channels;
        if (plan.dense() && streams) {
          stream(to_rows, block.sums, floats);
        } else if (plan.dense()) {
          std::memcpy(to_rows, block.sums, floats * sizeof(float));
        } else {
          for (int r = 0; r < block.rows; r++)
            plan.unpad(block.sums + static_cast<int64_t>(r) * block.width,
                       to_rows + r * channels);
        }
      });
#if defined(__SSE2__)
      _mm_sfence();
#endif
    };
  });
}

void load_gradient(const Plan& plan, const Edges& edges, const float* grad,
                   const Block& block, int64_t target) {
  for (int r = 0; r < block.rows; r++)
    plan.pad(grad + (target + r) * plan.channels(), share(edges, target + r),
             block.sums + static_cast<int64_t>(r) * block.width);
}

void grad_codebooks(const Codes& codes, const Edges& edges, const float* grad, float* out,
                    Problem& problem) {
  const Plan plan(codes);
  // Edges are cut into parts, each with a table of its own, and large tables between
  // units: what is added to what never depends on the number of threads.
  const int64_t table_bytes = plan.table_floats() * static_cast<int64_t>(sizeof(float));
  const int64_t parts =
      std::max<int64_t>(1, std::min({kMaxParts, kScratchBytes / (2 * table_bytes),
                                     edges.cost() / kTaskCost + 1}));
  const int64_t units = static_cast<int64_t>(plan.units().size());
  const int64_t shares = parts >= 8 ? 1 : std::min<int64_t>(units, 8);
  // Each has two of them: what few edges add to is then added to the other, since a sum
  // of few terms at a time loses less to rounding.
  const Floats tables(2 * parts * plan.table_floats());
  const int64_t run = plan.fewest_rows() * kRunPerCode;
  run_tasks(parts * shares, edges.threads, problem, [&] {
    return [&, blocks = Blocks(plan, edges, problem, run)](int64_t i) mutable {
      const int64_t part = i / shares;
      const int64_t first = units * (i % shares) / shares;
      const int64_t last = units * (i % shares + 1) / shares;
      float* table = tables.data() + 2 * part * plan.table_floats();
      float* fresh = table + plan.table_floats();
      const int64_t begin = plan.units()[first].slab;
      const int64_t end = last == units ? plan.table_floats() : plan.units()[last].slab;
      const auto settle = [&] {
        for (int64_t i = begin; i < end; i++) {
          table[i] += fresh[i];
          fresh[i] = 0;
        }
      };
      int64_t pending = 0;
      const int64_t from = edges.target_at(edges.cost() * part / parts);
      const int64_t to = part + 1 == parts
                             ? edges.targets
                             : edges.target_at(edges.cost() * (part + 1) / parts);
      blocks.walk(from, to, [&](Block& block, int64_t target, int64_t, bool, bool) {
        load_gradient(plan, edges, grad, block, target);
        for (int64_t u = first; u < last; u++) {
          const Unit& unit = plan.units()[u];
          chosen_kernels->by_codewords[plan.code_bytes() - 1][lookups_index(unit.lookups)]
                                      [unit.vectors - 1][unit.shared]
                                      [block.weight != nullptr](unit, fresh, block);
        }
        pending += block.begin[block.rows];
        if (pending < run) return;
        settle();
        pending = 0;
      });
      settle();
    };
  });
  if (problem.status != kFine) return;
  std::memset(out, 0, codes.rows * codes.width * sizeof(float));
  for (int64_t part = 1; part < parts; part++) {
    const float* table = tables.data() + 2 * part * plan.table_floats();
    for (int64_t i = 0; i < plan.table_floats(); i++) tables.data()[i] += table[i];
  }
  plan.collect(tables.data(), out);
}

void grad_weight(const Codes& codes, const Edges& edges, const float* grad, float* out,
                 Problem& problem) {
  const Plan plan(codes);
  const Floats table(plan.table_floats());
  plan.fill(table.data());
  std::memset(out, 0, edges.edges * sizeof(float));
  const int64_t count = edges.cost() / kTaskCost + 1;
  run_tasks(count, edges.threads, problem, [&] {
    return [&, blocks = Blocks(plan, edges, problem)](int64_t i) mutable {
      const int64_t from = edges.target_at(edges.cost() * i / count);
      const int64_t to =
          i + 1 == count ? edges.targets : edges.target_at(edges.cost() * (i + 1) / count);
      blocks.walk(from, to, [&](Block& block, int64_t target, int64_t edge, bool, bool) {
        load_gradient(plan, edges, grad, block, target);
        block.by_weight = out + edge;
        for (const Unit& unit : plan.units())
          chosen_kernels->by_weights[plan.code_bytes() - 1][lookups_index(unit.lookups)]
                                    [unit.vectors - 1][unit.shared](unit, table.data(),
                                                                    block);
      });
    };
  });
}

void neighbor_sum(const Edges& edges, const float* x, int64_t nodes, int64_t channels,
                  float* out, Problem& problem) {
  if (!sound(nullptr, edges, problem)) return;
  for (int64_t edge = 0; edges.check && edge < edges.edges; edge++) {
    const int64_t source = edges.source(edge);
    if (source >= 0 && source < nodes) continue;
    problem.tell(kBadSource, source);
    return;
  }
  const int64_t bytes = edges.targets * channels * static_cast<int64_t>(sizeof(float));
  if (bytes >= kStreamBytes) advise(out, bytes);
  const Rows rows{edges.rowptr64, edges.rowptr32, edges.col64, edges.col32, edges.weight,
                  x,              channels,       out,         edges.edges};
  const int64_t count = edges.cost() / kTaskCost + 1;
  run_tasks(count, edges.threads, problem, [&] {
    return [&](int64_t i) {
      const int64_t from = edges.target_at(edges.cost() * i / count);
      const int64_t to =
          i + 1 == count ? edges.targets : edges.target_at(edges.cost() * (i + 1) / count);
      chosen_kernels->rows(rows, from, to);
    };
  });
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

}  // namespace
}  // namespace kdgraph

using kdgraph::Codes;
using kdgraph::Edges;

#define KDGRAPH_EXPORT extern "C" __attribute__((visibility("default")))

// Choose an instruction set by name, or the best there is by an empty one; 0 if there is
// no such.
KDGRAPH_EXPORT int kdgraph_choose(const char* name) { return kdgraph::choose(name); }

KDGRAPH_EXPORT const char* kdgraph_chosen() { return kdgraph::chosen_name; }

KDGRAPH_EXPORT int kdgraph_spmm(const Codes* codes, const Edges* edges, float* out,
                                int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::spmm(*codes, *edges, out, problem);
  });
}

KDGRAPH_EXPORT int kdgraph_grad_codebooks(const Codes* codes, const Edges* edges,
                                          const float* grad, float* out, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::grad_codebooks(*codes, *edges, grad, out, problem);
  });
}

KDGRAPH_EXPORT int kdgraph_grad_weight(const Codes* codes, const Edges* edges,
                                       const float* grad, float* out, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::grad_weight(*codes, *edges, grad, out, problem);
  });
}

KDGRAPH_EXPORT int kdgraph_neighbor_sum(const Edges* edges, const float* x, int64_t nodes,
                                        int64_t channels, float* out, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::neighbor_sum(*edges, x, nodes, channels, out, problem);
  });
}
