// Packed rows of codes as integers. kdgraph/ops/unpacking.py calls this.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tasks.h"

namespace kdgraph {
namespace {

constexpr int64_t kTaskRows = 1 << 14;
constexpr int64_t kRowsAhead = 16;

// A code of at most 16 bits that starts within a byte ends within three.
int64_t code_at(const uint8_t* row, int64_t bytes, int64_t bit, int width) {
  const int64_t first = bit / 8, last = (bit + width - 1) / 8;
  uint32_t value = 0;
  for (int64_t byte = first; byte <= last && byte < bytes; byte++)
    value |= static_cast<uint32_t>(row[byte]) << (8 * (byte - first));
  return (value >> bit % 8) & ((1u << width) - 1);
}

}  // namespace
}  // namespace kdgraph

// The codes [rows, positions] of nodes, or of the first `rows` where n_id is null.
KDGRAPH_EXPORT int kdgraph_unpack(const uint8_t* packed, int64_t nodes, int64_t bytes,
                                  const int64_t* n_id, int64_t rows, const int32_t* bits,
                                  int64_t positions, int32_t threads, int64_t* codes,
                                  int64_t* detail) {
  using namespace kdgraph;
  return guarded(detail, [&](Problem& problem) {
    run_tasks((rows + kTaskRows - 1) / kTaskRows, threads, problem, [&] {
      return [&](int64_t task) {
        const int64_t end = std::min(rows, (task + 1) * kTaskRows);
        for (int64_t i = task * kTaskRows; i < end; i++) {
          const int64_t node = n_id ? n_id[i] : i;
          if (node < 0 || node >= nodes) return problem.tell(kBadSource, node);
          if (n_id && i + kRowsAhead < end)
            __builtin_prefetch(packed + n_id[i + kRowsAhead] * bytes);
          const uint8_t* row = packed + node * bytes;
          int64_t* out = codes + i * positions;
          uint64_t word = 0;
          if (bytes <= 8) {  // a row is one number
            std::memcpy(&word, row, std::min<int64_t>(bytes, 8));
            for (int64_t j = 0; j < positions; j++) {
              out[j] = static_cast<int64_t>(word & ((1u << bits[j]) - 1));
              word >>= bits[j];
            }
            continue;
          }
          for (int64_t j = 0, bit = 0; j < positions; bit += bits[j++])
            out[j] = code_at(row, bytes, bit, bits[j]);
        }
      };
    });
  });
}
