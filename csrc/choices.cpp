// Choosing codes by queries and keys, and the gradient of that choice, a task of rows at
// a time. kdgraph/ops/native_choices.py calls this.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "layout.h"
#include "plan.h"
#include "tasks.h"

namespace kdgraph {
namespace {

constexpr int64_t kTaskSteps = 1 << 21;  // multiplications; starting a thread costs some
constexpr int64_t kMaxTasks = 64;        // with sums of their own
constexpr int64_t kSumBytes = 16 << 20;

// Rows of a task that takes about kTaskSteps, in whole blocks.
int64_t rows_of_task(const Queries& q, int64_t steps_per_choice) {
  const int64_t choices = q.positions * static_cast<int64_t>(q.choices);
  const int64_t rows = kTaskSteps / std::max<int64_t>(1, choices * steps_per_choice);
  return round_up(std::max<int64_t>(1, rows), kSoftBlocks * kRowLanes);
}

void nearest(const Queries& q, int threads, int64_t* codes, Problem& problem) {
  const int64_t each = rows_of_task(q, q.terms + 2);
  const int64_t floats = q.positions * static_cast<int64_t>(q.terms) * kRowLanes;
  run_tasks((q.rows + each - 1) / each, threads, problem, [&] {
    return [&, scratch = Floats(floats)](int64_t i) {
      chosen_kernels->nearest(q, i * each, std::min(q.rows, (i + 1) * each),
                              scratch.data(), codes);
    };
  });
}

// Rows are cut into tasks by their number alone, so that what is added to what never
// depends on the number of threads.
void soft_gradient(const Queries& q, const SoftChoice& soft, int threads, float* by_keys,
                   float* by_bias, Problem& problem) {
  const int64_t numbers = q.positions * static_cast<int64_t>(q.choices);
  const int64_t sums = numbers * (q.terms + 1);
  const int64_t bytes = sums * static_cast<int64_t>(sizeof(double));
  const int64_t most = std::max<int64_t>(1, std::min(kMaxTasks, kSumBytes / bytes));
  const int64_t least = round_up((q.rows + most - 1) / most, kSoftBlocks * kRowLanes);
  const int64_t each = std::max(rows_of_task(q, 2 * q.terms + soft.width + 20), least);
  const int64_t tasks = (q.rows + each - 1) / each;
  std::vector<double> tables(std::max<int64_t>(1, tasks) * sums);
  const int64_t floats = soft_scratch(q, soft.width, soft.additive);
  run_tasks(tasks, threads, problem, [&] {
    return [&, scratch = Floats(floats)](int64_t i) {
      chosen_kernels->soft_gradient(q, soft, i * each, std::min(q.rows, (i + 1) * each),
                                    scratch.data(), tables.data() + i * sums);
    };
  });
  if (problem.status != kFine) return;
  for (int64_t task = 1; task < tasks; task++)
    for (int64_t i = 0; i < sums; i++) tables[i] += tables[task * sums + i];
  for (int64_t i = 0; i < numbers; i++) {
    const double* sum = tables.data() + i * (q.terms + 1);
    for (int64_t t = 0; t < q.terms; t++)
      by_keys[i * q.terms + t] = static_cast<float>(sum[t]);
    by_bias[i] = static_cast<float>(sum[q.terms]);
  }
}

}  // namespace
}  // namespace kdgraph

KDGRAPH_EXPORT int kdgraph_nearest(const kdgraph::Queries* queries, int32_t threads,
                                   int64_t* codes, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::nearest(*queries, threads, codes, problem);
  });
}

KDGRAPH_EXPORT int kdgraph_soft_gradient(const kdgraph::Queries* queries,
                                         const kdgraph::SoftChoice* soft, int32_t threads,
                                         float* by_keys, float* by_bias, int64_t* detail) {
  return kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    kdgraph::soft_gradient(*queries, *soft, threads, by_keys, by_bias, problem);
  });
}
