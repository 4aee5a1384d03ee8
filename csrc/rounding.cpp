// Rounding a weight to 8-bit integers with a scale for each group of its rows, and back.
// kdgraph/ops/rounding.py says what each number must be; here it is one pass of reading
// and one of writing.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tasks.h"

namespace kdgraph {
namespace {

constexpr uint32_t kMagnitude = 0x7FFFFFFF;
constexpr float kSmallest = 1.17549435e-38f;  // the smallest normal number
constexpr float kRound = 12582912.0f;         // 1.5 * 2^23: adding it rounds to an integer

// To the nearest bfloat16, ties to even.
float rounded_scale(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (value == value) bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void round_group(const float* weight, int64_t count, float* out) {
  // As integers, magnitudes order as numbers do, and NaN is above all.
  uint32_t peak = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    std::memcpy(&bits, weight + i, sizeof(bits));
    peak = std::max(peak, bits & kMagnitude);
  }
  float scale;
  std::memcpy(&scale, &peak, sizeof(scale));
  scale = scale / 127.0f;
  scale = rounded_scale(scale < kSmallest ? kSmallest : scale);
  for (int64_t i = 0; i < count; i++) {
    const float steps = (weight[i] / scale + kRound) - kRound;
    out[i] = steps * scale;
  }
}

}  // namespace
}  // namespace kdgraph

KDGRAPH_EXPORT void kdgraph_round_int8(const float* weight, const int64_t* rows,
                                       int64_t groups, int64_t width, float* out) {
  for (int64_t g = 0; g < groups; g++) {
    const int64_t count = rows[g] * width;
    kdgraph::round_group(weight, count, out);
    weight += count;
    out += count;
  }
}
