// Lookups in a few codebooks by many rows of codes, and their gradient.
// kdgraph/ops/lookup.py calls this.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "plan.h"
#include "tasks.h"

namespace kdgraph {
namespace {

constexpr int64_t kRun = 1 << 12;       // rows that are summed in float, their sums in double
constexpr int64_t kTaskFloats = 1 << 19;
constexpr int64_t kMaxTasks = 64;
constexpr int64_t kTableBytes = 16 << 20;

struct Lookups {
  const int64_t* index;  // [rows, positions]
  int64_t rows, positions;
  const float* grad;     // [rows, positions, width], or [rows, width] by a sum
  const float* scale;    // [rows, positions], or null
  int64_t width;
  bool additive;
  int64_t entries;       // rows of the codebooks
};

// out [rows, positions, width]: a size that is known is copied without a call. Whether
// all codes are of entries.
template <int fixed>
bool copy_rows(const int64_t* codes, const int64_t* offsets, int64_t from, int64_t to,
               int64_t positions, const float* books, int64_t entries, int64_t floats,
               float* out) {
  const int64_t width = fixed ? fixed : floats;
  for (int64_t row = from; row < to; row++)
    for (int64_t j = 0; j < positions; j++) {
      const int64_t entry = codes[row * positions + j] + offsets[j];
      if (entry < 0 || entry >= entries) return false;
      std::memcpy(out + (row * positions + j) * width, books + entry * width,
                  width * sizeof(float));
    }
  return true;
}

template <int fixed>
void add_rows(const Lookups& all, int64_t from, int64_t to, float* table) {
  const int64_t width = fixed ? fixed : all.width;
  for (int64_t row = from; row < to; row++) {
    const int64_t* index = all.index + row * all.positions;
    const float* grad = all.grad + row * width * (all.additive ? 1 : all.positions);
    for (int64_t j = 0; j < all.positions; j++) {
      const float factor = all.scale ? all.scale[row * all.positions + j] : 1.0f;
      float* at = table + index[j] * width;
      for (int64_t c = 0; c < width; c++) at[c] += grad[c] * factor;
      if (!all.additive) grad += width;
    }
  }
}

void add_run(const Lookups& all, int64_t from, int64_t to, float* table) {
  switch (all.width) {  // widths that the compiler unrolls
    case 1: return add_rows<1>(all, from, to, table);
    case 2: return add_rows<2>(all, from, to, table);
    case 4: return add_rows<4>(all, from, to, table);
    case 8: return add_rows<8>(all, from, to, table);
    case 16: return add_rows<16>(all, from, to, table);
    case 32: return add_rows<32>(all, from, to, table);
    default: return add_rows<0>(all, from, to, table);
  }
}

// Rows are cut into tasks with tables of their own by their number alone: what is added
// to what never depends on the number of threads.
void lookup_gradient(const Lookups& all, int threads, float* out, Problem& problem) {
  const int64_t size = all.entries * all.width;
  const int64_t by_row = all.positions * all.width;
  const int64_t bytes = size * static_cast<int64_t>(sizeof(double));
  const int64_t most = std::max<int64_t>(1, std::min(kMaxTasks, kTableBytes / (bytes + 1)));
  const int64_t wanted = 1 + all.rows * by_row / std::max(kTaskFloats, 4 * size);
  const int64_t tasks = std::min(most, wanted);
  if (all.rows <= kRun) {
    std::fill(out, out + size, 0.0f);
    add_run(all, 0, all.rows, out);
    return;
  }
  std::vector<double> tables(tasks * size);
  run_tasks(tasks, threads, problem, [&] {
    return [&, run = std::vector<float>(size)](int64_t task) mutable {
      const int64_t end = all.rows * (task + 1) / tasks;
      // Emptying a large table for few rows would cost more than adding them.
      const int64_t most_rows = std::max(kRun, size / std::max<int64_t>(1, by_row));
      double* table = tables.data() + task * size;
      for (int64_t row = all.rows * task / tasks; row < end; row += most_rows) {
        add_run(all, row, std::min(end, row + most_rows), run.data());
        for (int64_t i = 0; i < size; i++) {
          table[i] += run[i];
          run[i] = 0;
        }
      }
    };
  });
  if (problem.status != kFine) return;
  for (int64_t i = 0; i < size; i++) {
    double sum = 0;
    for (int64_t task = 0; task < tasks; task++) sum += tables[task * size + i];
    out[i] = static_cast<float>(sum);
  }
}

void lookup(const int64_t* codes, const int64_t* offsets, int64_t rows, int64_t positions,
            const float* books, int64_t entries, int64_t width, float* out, int threads,
            Problem& problem) {
  const auto copy = width == 2   ? copy_rows<2>
                    : width == 4 ? copy_rows<4>
                    : width == 8 ? copy_rows<8>
                                 : copy_rows<0>;
  const int64_t each = std::max<int64_t>(1, kTaskFloats / (positions * width));
  run_tasks((rows + each - 1) / each, threads, problem, [&] {
    return [&](int64_t task) {
      const int64_t end = std::min(rows, (task + 1) * each);
      if (!copy(codes, offsets, task * each, end, positions, books, entries, width, out))
        problem.tell(kBadCode, 0);
    };
  });
}

}  // namespace
}  // namespace kdgraph

KDGRAPH_EXPORT int kdgraph_lookup(const int64_t* codes, const int64_t* offsets,
                                  int64_t rows, int64_t positions, const float* books,
                                  int64_t entries, int64_t width, int32_t threads,
                                  float* out, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::lookup(codes, offsets, rows, positions, books, entries, width, out, threads,
                    problem);
  });
}

KDGRAPH_EXPORT int kdgraph_lookup_gradient(const int64_t* index, int64_t rows,
                                           int64_t positions, const float* grad,
                                           const float* scale, int64_t width,
                                           int32_t additive, int64_t entries,
                                           int32_t threads, float* out, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::lookup_gradient(
        {index, rows, positions, grad, scale, width, additive != 0, entries}, threads, out,
        problem);
  });
}
