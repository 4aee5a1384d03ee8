// The operations over codes on the CPU: plain pointers and sizes in and out, no Python
// and no torch. kdgraph/ops/native.py calls them and says what each argument is.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "edges.h"
#include "layout.h"
#include "plan.h"
#include "tasks.h"

namespace kdgraph {

const Kernels* chosen_kernels = nullptr;

namespace {

constexpr int kBlockEdges = 2048;       // their codes fit the first- or second-level cache
constexpr int64_t kBlockFloats = 16384;  // of sums, 64 KiB
constexpr int kBlockRows = 256;
constexpr int kCodesAhead = 32;         // edges whose codes are fetched ahead
constexpr int64_t kTaskCost = 1 << 16;   // of about so many edges
constexpr int64_t kStreamBytes = 8 << 20;
constexpr int64_t kCheckedRows = 1 << 16;
constexpr int64_t kScratchBytes = 16 << 20;
constexpr int64_t kMaxParts = 64;
constexpr int64_t kRunPerChoice = 64;    // edges per codeword that are summed in float
constexpr int64_t kSettleShare = 32;     // floats of a slab that are settled per edge

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
#elif defined(KDGRAPH_ARM64)
      {"neon", neon_kernels, true},
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
  // Rows of sums are `stride` floats apart, of which those behind the plan's stay zero.
  Blocks(const Plan& plan, const Edges& edges, Problem& problem, int64_t stride,
         int64_t most_edges = kBlockEdges)
      : plan_(plan), edges_(edges), problem_(problem), stride_(stride),
        most_edges_(static_cast<int>(std::min<int64_t>(most_edges, kBlockEdges))),
        codes_(static_cast<size_t>(kBlockEdges) * plan.lookups() * plan.code_bytes()),
        begin_(kBlockRows + 1),
        sums_(max_rows(stride) * stride) {
    block_.codes = codes_.data();
    block_.stride = plan.lookups();
    block_.begin = begin_.data();
    block_.sums = sums_.data();
    block_.width = static_cast<int>(stride);
    block_.by_weight = nullptr;
  }

  static int64_t max_rows(int64_t stride) {
    const int64_t rows = kBlockFloats / std::max<int64_t>(1, stride);
    return std::max<int64_t>(1, std::min<int64_t>(rows, kBlockRows));
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
      const int most = done ? 1 : static_cast<int>(max_rows(stride_));
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
  const int64_t stride_;
  const int most_edges_;
  std::vector<char> codes_;
  std::vector<int32_t> begin_;
  Floats sums_;
  Block block_;
};

int lookups_index(int lookups) { return lookups == 4 ? 2 : lookups - 1; }

// Find codes at or above their alphabets among rows node_at(0) to node_at(count - 1).
template <typename NodeAt>
void check_codes(const Plan& plan, int64_t count, int threads, Problem& problem,
                 NodeAt&& node_at) {
  const std::vector<uint8_t> bad = plan.bad_bytes();
  const int64_t nodes = plan.codes().nodes;
  run_tasks(count / kCheckedRows + 1, threads, problem, [&] {
    return [&](int64_t task) {
      const int64_t last = std::min(count, (task + 1) * kCheckedRows);
      for (int64_t i = task * kCheckedRows; i < last; i++) {
        const int64_t node = node_at(i);
        int64_t position, code;
        if (node < 0 || node >= nodes)
          problem.tell(kBadSource, node);
        else if (plan.is_bad(node, bad, &position, &code))
          problem.tell(kBadCode, code, position, node);
        else
          continue;
        return;
      }
    };
  });
}

// Whether everything that is read by index is in range; sources are looked at here only
// where codes have to be.
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
  if (nodes <= edges.edges) {
    Problem anywhere;
    check_codes(*plan, nodes, edges.threads, anywhere, [](int64_t node) { return node; });
    if (anywhere.status == kFine) return true;
  }
  // Few edges, or codes that are wrong, and perhaps not read.
  check_codes(*plan, edges.edges, edges.threads, problem,
              [&](int64_t edge) { return edges.source(edge); });
  return problem.status == kFine;
}

float share(const Edges& edges, int64_t target) {
  if (!edges.mean) return 1.0f;
  return 1.0f / static_cast<float>(edges.begin(target + 1) - edges.begin(target));
}

int64_t task_count(const Edges& edges) { return edges.cost() / kTaskCost + 1; }

// The targets of one of `count` shares of about the same cost.
void targets_of(const Edges& edges, int64_t i, int64_t count, int64_t* from, int64_t* to) {
  *from = edges.target_at(edges.cost() * i / count);
  *to = i + 1 == count ? edges.targets : edges.target_at(edges.cost() * (i + 1) / count);
}

void add_codewords(const Plan& plan, float* table, const Block& block) {
  for (const Unit& unit : plan.units())
    chosen_kernels->forward[plan.code_bytes() - 1][lookups_index(unit.lookups)]
                           [unit.vectors - 1][unit.shared]
                           [block.weight != nullptr](unit, table, block);
}

// Divide the rows of a mean by their edges.
void divide(const Edges& edges, const Block& block, int64_t target) {
  for (int r = 0; edges.mean && r < block.rows; r++) {
    if (edges.begin(target + r) == edges.begin(target + r + 1)) continue;
    const float factor = share(edges, target + r);
    float* row = block.sums + static_cast<int64_t>(r) * block.width;
    for (int c = 0; c < block.width; c++) row[c] *= factor;
  }
}

// Sum along the edges of all targets: make_write() gives each thread write(block, first
// target), which is called with rows whose sums are complete.
template <typename MakeWrite>
void sum_targets(const Plan& plan, const Edges& edges, int64_t stride, Problem& problem,
                 MakeWrite&& make_write) {
  const Floats table(plan.table_floats());
  plan.fill(table.data());
  const int64_t count = task_count(edges);
  run_tasks(count, edges.threads, problem, [&] {
    return [&, write = make_write(), hub = std::vector<double>(stride),
            blocks = Blocks(plan, edges, problem, stride)](int64_t i) mutable {
      int64_t from, to;
      targets_of(edges, i, count, &from, &to);
      blocks.walk(from, to, [&](Block& block, int64_t target, int64_t, bool starts, bool ends) {
        const int64_t floats = static_cast<int64_t>(block.rows) * block.width;
        std::memset(block.sums, 0, floats * sizeof(float));
        add_codewords(plan, table.data(), block);
        if (!starts || !ends) {  // a target of several blocks, whose rounding adds up
          for (int64_t c = 0; c < stride; c++) {
            hub[c] = (starts ? 0.0 : hub[c]) + block.sums[c];
            block.sums[c] = static_cast<float>(hub[c]);
          }
        }
        if (!ends) return;
        divide(edges, block, target);
        write(block, target);
      });
#if defined(__SSE2__)
      _mm_sfence();
#endif
    };
  });
}

// Rows of a result of `channels` floats, written past the caches where it is large.
class Result {
 public:
  Result(float* out, int64_t rows, int64_t channels)
      : out_(out), channels_(channels), streams_(rows * channels * bytes_each >= kStreamBytes) {
    if (streams_) advise(out, rows * channels * bytes_each);
  }

  // Copy `count` rows that are `stride` floats apart.
  void write(int64_t row, const float* from, int64_t count, int64_t stride) const {
    float* to = out_ + row * channels_;
    const bool dense = stride == channels_;
    const int64_t pieces = dense ? 1 : count;
    const int64_t floats = dense ? count * channels_ : channels_;
    for (int64_t i = 0; i < pieces; i++, to += floats, from += stride) {
      if (streams_)
        stream(to, from, floats);
      else
        std::memcpy(to, from, floats * sizeof(float));
    }
  }

  float* row(int64_t row) const { return out_ + row * channels_; }

 private:
  static constexpr int64_t bytes_each = sizeof(float);
  float* out_;
  int64_t channels_;
  bool streams_;
};

void spmm(const Codes& codes, const Edges& edges, float* out, Problem& problem) {
  const Plan plan(codes);
  if (!sound(&plan, edges, problem)) return;
  const Result result(out, edges.targets, plan.channels());
  sum_targets(plan, edges, plan.width(), problem, [&] {
    return [&](const Block& block, int64_t target) {
      if (plan.dense()) {
        result.write(target, block.sums, block.rows, block.width);
        return;
      }
      for (int r = 0; r < block.rows; r++)
        plan.unpad(block.sums + static_cast<int64_t>(r) * block.width,
                   result.row(target + r));
    };
  });
}

// A matrix [depth, columns] in panels, as a product reads it; columns that fill the last
// panel are zeros.
class Panels {
 public:
  Panels(int64_t depth, int64_t columns)
      : depth_(depth), columns_(round_up(columns, kPanel)), data_(depth * columns_) {}

  float& at(int64_t k, int64_t n) {
    return data_.data()[n / kPanel * depth_ * kPanel + k * kPanel + n % kPanel];
  }
  int64_t columns() const { return columns_; }

  // c [rows, columns()] = a [rows, depth] times this.
  void multiply(const float* a, int64_t a_row, int64_t rows, float* c) const {
    chosen_kernels->product({a, a_row, 1, data_.data(), kPanel, depth_ * kPanel, c, columns_,
                             rows, depth_, columns_, false});
  }

 private:
  int64_t depth_, columns_;
  Floats data_;
};

// The map of a layer, [height, channels], its columns where sums have theirs.
struct Map {
  const float* matrix;
  int64_t height;

  template <typename Visit>
  void visit(const Plan& plan, Visit&& visit) const {
    const Floats padded(plan.width());
    for (int64_t h = 0; h < height; h++) {
      plan.pad(matrix + h * plan.channels(), 1.0f, padded.data());
      for (int64_t column = 0; column < plan.width(); column++)
        visit(h, column, padded.data()[column]);
    }
  }
};

// out [targets, height] = the sums times the map, a block at a time: they are never all
// there.
void linear(const Codes& codes, const Edges& edges, const Map& map, float* out,
            Problem& problem) {
  const Plan plan(codes);
  if (!sound(&plan, edges, problem)) return;
  Panels panels(plan.width(), map.height);
  map.visit(plan, [&](int64_t h, int64_t column, float x) { panels.at(column, h) = x; });
  const Result result(out, edges.targets, map.height);
  sum_targets(plan, edges, plan.width(), problem, [&] {
    // A map may be much wider than the sums: as many rows at a time as have room.
    const int64_t most = Blocks::max_rows(panels.columns());
    return [&, most, mapped = Floats(most * panels.columns())](const Block& block,
                                                               int64_t target) {
      for (int64_t row = 0; row < block.rows; row += most) {
        const int64_t rows = std::min(most, block.rows - row);
        panels.multiply(block.sums + row * block.width, block.width, rows, mapped.data());
        result.write(target + row, mapped.data(), rows, panels.columns());
      }
    };
  });
}

void load_gradient(const Plan& plan, const Edges& edges, const float* grad,
                   const Block& block, int64_t target) {
  for (int r = 0; r < block.rows; r++)
    plan.pad(grad + (target + r) * plan.channels(), share(edges, target + r),
             block.sums + static_cast<int64_t>(r) * block.width);
}

// Edges are cut into parts, each with tables of its own, and where tables are large
// between units: what is added to what never depends on the number of threads.
struct Cut {
  int64_t parts;
  int64_t shares;  // of the units, of each part

  // With tables of floats and of doubles, and further bytes for each part.
  Cut(const Plan& plan, const Edges& edges, int64_t further) {
    const int64_t each = sizeof(float) + sizeof(double);
    const int64_t bytes = plan.table_floats() * each + further;
    parts = std::max<int64_t>(
        1, std::min({kMaxParts, kScratchBytes / bytes, task_count(edges)}));
    const int64_t units = static_cast<int64_t>(plan.units().size());
    shares = parts >= 8 ? 1 : std::min<int64_t>(units, 8);
  }
};

// Add the gradient of a loss by sums to the codewords they are of: make_load(part, whether
// it is the first share of it) gives load(block, first target), which puts that gradient
// in the place of sums. Without an `out` it is called, and no more.
template <typename MakeLoad>
void scatter(const Plan& plan, const Edges& edges, const Cut& cut, int64_t stride,
             float* out, Problem& problem, MakeLoad&& make_load) {
  const int64_t parts = cut.parts, shares = out ? cut.shares : 1;
  const int64_t floats = plan.table_floats();
  const std::vector<Unit>& all = plan.units();
  const int64_t units = static_cast<int64_t>(all.size());
  // A codeword may add up as many terms as there are edges: few in float, their sums in
  // double.
  const Floats fresh_tables(out ? parts * floats : 0);
  std::vector<double> tables(out ? parts * floats : 0);
  std::vector<int64_t> runs(units);
  for (int64_t u = 0; u < units; u++)
    runs[u] = std::max(kRunPerChoice * plan.fewest_choices(all[u]),
                       (plan.slab_end(u) - all[u].slab) / kSettleShare);
  const int64_t shortest = *std::min_element(runs.begin(), runs.end());
  run_tasks(parts * shares, edges.threads, problem, [&] {
    return [&, pending = std::vector<int64_t>(units),
            blocks = Blocks(plan, edges, problem, stride, shortest)](int64_t i) mutable {
      const int64_t part = i / shares;
      const int64_t first = units * (i % shares) / shares;
      const int64_t last = units * (i % shares + 1) / shares;
      float* fresh = fresh_tables.data() + part * floats;
      double* table = tables.data() + part * floats;
      const auto settle = [&](int64_t u) {
        for (int64_t at = all[u].slab; at < plan.slab_end(u); at++) {
          table[at] += fresh[at];
          fresh[at] = 0;
        }
        pending[u] = 0;
      };
      auto load = make_load(part, i % shares == 0);
      int64_t from, to;
      targets_of(edges, part, parts, &from, &to);
      blocks.walk(from, to, [&](Block& block, int64_t target, int64_t, bool, bool) {
        load(block, target);
        for (int64_t u = first; out && u < last; u++) {
          const Unit& unit = all[u];
          chosen_kernels->by_codewords[plan.code_bytes() - 1][lookups_index(unit.lookups)]
                                      [unit.vectors - 1][unit.shared]
                                      [block.weight != nullptr](unit, fresh, block);
          pending[u] += block.begin[block.rows];
          if (pending[u] >= runs[u]) settle(u);
        }
      });
      for (int64_t u = first; out && u < last; u++) settle(u);
    };
  });
  if (problem.status != kFine || !out) return;
  for (int64_t part = 1; part < parts; part++)
    for (int64_t i = 0; i < floats; i++) tables[i] += tables[part * floats + i];
  plan.collect(tables.data(), out);
}

void grad_codebooks(const Codes& codes, const Edges& edges, const float* grad, float* out,
                    Problem& problem) {
  const Plan plan(codes);
  const Cut cut(plan, edges, 0);
  scatter(plan, edges, cut, plan.width(), out, problem, [&](int64_t, bool) {
    return [&](const Block& block, int64_t target) {
      load_gradient(plan, edges, grad, block, target);
    };
  });
}

// The gradients by codebooks and by the map, null where one is not asked for, from that
// by the mapped sums, which are summed again for it, a block at a time.
void grad_linear(const Codes& codes, const Edges& edges, const Map& map, const float* grad,
                 float* out, float* by_map, Problem& problem) {
  const Plan plan(codes);
  const Floats table(plan.table_floats());
  plan.fill(table.data());
  Panels panels(map.height, plan.width());
  map.visit(plan, [&](int64_t h, int64_t column, float x) { panels.at(h, column) = x; });
  const int64_t stride = panels.columns(), map_floats = by_map ? map.height * stride : 0;
  const Cut cut(plan, edges, map_floats * static_cast<int64_t>(sizeof(float)));
  const Floats by_maps(cut.parts * map_floats);
  scatter(plan, edges, cut, stride, out, problem, [&](int64_t part, bool first) {
    return [&, part, first, sums = Floats(Blocks::max_rows(stride) * stride)](
               Block& block, int64_t target) {
      const float* rows = grad + target * map.height;
      if (by_map && first) {
        float* by_sums = block.sums;
        block.sums = sums.data();
        std::memset(block.sums, 0, static_cast<int64_t>(block.rows) * stride * sizeof(float));
        add_codewords(plan, table.data(), block);
        chosen_kernels->product({rows, 1, map.height, block.sums, stride, kPanel,
                                 by_maps.data() + part * map_floats, stride, map.height,
                                 block.rows, stride, true});
        block.sums = by_sums;
      }
      if (out) panels.multiply(rows, map.height, block.rows, block.sums);
    };
  });
  if (problem.status != kFine || !by_map) return;
  for (int64_t part = 1; part < cut.parts; part++)
    for (int64_t i = 0; i < map_floats; i++)
      by_maps.data()[i] += by_maps.data()[part * map_floats + i];
  for (int64_t h = 0; h < map.height; h++)
    plan.unpad(by_maps.data() + h * stride, by_map + h * plan.channels());
}

void grad_weight(const Codes& codes, const Edges& edges, const float* grad, float* out,
                 Problem& problem) {
  const Plan plan(codes);
  const Floats table(plan.table_floats());
  plan.fill(table.data());
  std::memset(out, 0, edges.edges * sizeof(float));
  const int64_t count = task_count(edges);
  run_tasks(count, edges.threads, problem, [&] {
    return [&, blocks = Blocks(plan, edges, problem, plan.width())](int64_t i) mutable {
      int64_t from, to;
      targets_of(edges, i, count, &from, &to);
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
  const int64_t count = task_count(edges);
  run_tasks(count, edges.threads, problem, [&] {
    return [&](int64_t i) {
      int64_t from, to;
      targets_of(edges, i, count, &from, &to);
      chosen_kernels->rows(rows, from, to);
    };
  });
}

}  // namespace
}  // namespace kdgraph

using kdgraph::Codes;
using kdgraph::Edges;

// The number that Python expects; see ABI in kdgraph/ops/core.py.
KDGRAPH_EXPORT int kdgraph_abi() { return 5; }

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

KDGRAPH_EXPORT int kdgraph_linear(const Codes* codes, const Edges* edges,
                                  const float* matrix, int64_t height, float* out,
                                  int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::linear(*codes, *edges, {matrix, height}, out, problem);
  });
}

KDGRAPH_EXPORT int kdgraph_grad_linear(const Codes* codes, const Edges* edges,
                                       const float* matrix, int64_t height,
                                       const float* grad, float* by_codebooks,
                                       float* by_matrix, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::grad_linear(*codes, *edges, {matrix, height}, grad, by_codebooks, by_matrix,
                         problem);
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
