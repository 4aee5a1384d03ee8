// Edges as Python hands them over; see CoreEdges in kdgraph/ops/core.py.
#pragma once

#include <cstdint>

namespace kdgraph {

constexpr int64_t kRowCost = 8;  // what a target costs, in edges

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

}  // namespace kdgraph
